import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from dev.cluster.control_plane import ControlPlane
from tests.support.cluster_client import ClusterClient
from tests.support.crd import install
from tests.support.fault_proxy import FaultProxy
from tests.support.loops import run_as_process
from tests.support.passes import clients_for_passes
from tests.support.ports import free_port

from llmdeployment_operator.handlers.run import run
from llmdeployment_operator.kube.client import access, api_client
from llmdeployment_operator.kube.fence import Fence
from llmdeployment_operator.metrics import Metrics
from llmdeployment_operator.plan.base.settings import ServingImages, Settings
from llmdeployment_operator.reconcile import Operator
from llmdeployment_operator.settings import Notifications, ProcessSettings


@pytest.fixture(scope="session")
def crd(control_plane: ControlPlane) -> None:
    """The CRD, installed and served."""
    install(control_plane)


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str, crd: None) -> ClusterClient:  # noqa: ARG001  # because the CRD must be there first
    return ClusterClient(control_plane.access, namespace)


def plan_settings(namespace: str) -> Settings:
    return Settings(
        serving_images=ServingImages(
            gpu="llmdeployment/serving:test-gpu",
            cpu="llmdeployment/serving:test-cpu",
            simulated="llmdeployment/serving:test-simulated",
        ),
        gateway_image="llmdeployment/gateway:test",
        operator_namespace="llmdeployment-system",
        operator_labels={"app.kubernetes.io/name": "llmdeployment-operator"},
        namespaces=(namespace,),
    )


@pytest.fixture
async def operator(control_plane: ControlPlane, cluster: ClusterClient) -> AsyncIterator[Operator]:
    """What a pass needs, for tests that make passes one by one."""
    way = await access(str(control_plane.kubeconfig))
    async with (
        aiohttp.ClientSession() as session,
        api_client(way) as client,
        clients_for_passes(client, session) as clients,
    ):
        yield Operator(clients, plan_settings(cluster.namespace), Metrics())


@dataclass
class RunningOperator:
    """The whole operator, in a thread with a loop of its own."""

    kubeconfig: str
    namespace: str
    port: int
    fence: Fence = field(default_factory=Fence)
    notifications: Notifications = field(default_factory=Notifications)

    def start(self) -> None:
        started: threading.Event = threading.Event()

        async def body() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            started.set()
            way = await access(self.kubeconfig)
            runtime = ProcessSettings(
                cluster_read=True,
                workers=4,
                resync_seconds=600,
                port=self.port,
                notifications=self.notifications,
            )
            await run(way, plan_settings(self.namespace), runtime, self._stop, self.fence)

        def main() -> None:
            self._stopping = False
            while not self._stopping:
                # As kubelet does: a process that ends is started again.
                with contextlib.suppress(Exception):
                    run_as_process(body())

        self._thread = threading.Thread(target=main, daemon=True)
        self._thread.start()
        assert started.wait(10)

    def stop(self) -> None:
        self._stopping = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[FaultProxy]:
    """What stands between an operator and the API server, and can answer in its place."""
    found = FaultProxy(control_plane)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def start_operator(
    control_plane: ControlPlane, cluster: ClusterClient
) -> Iterator[Callable[[], RunningOperator]]:
    """Starts operators for this test's namespace; all are stopped at its end."""
    running: list[RunningOperator] = []

    def start(
        kubeconfig: str | None = None, notifications: Notifications | None = None
    ) -> RunningOperator:
        found = RunningOperator(
            kubeconfig or str(control_plane.kubeconfig),
            cluster.namespace,
            free_port(),
            notifications=notifications or Notifications(),
        )
        found.start()
        running.append(found)
        return found

    yield start
    for each in running:
        each.stop()
