import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvicorn
from click.testing import Result
from dev.cluster import tools
from dev.cluster.control_plane import ControlPlane
from tests.component.gateway.conftest import haproxy_binary
from tests.component.gateway.loopback import Loopback
from tests.component.gateway.pod import Pod, row
from tests.component.gateway.replica import PORT
from tests.support.cluster_client import ClusterClient
from tests.support.crd import install
from typer.testing import CliRunner

from llmdeployment_cli.main import app
from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.start import start_engine

KubectlLlm = Callable[..., Result]
"""Runs `kubectl llm` with these words; its result has the exit code and what was printed."""


@pytest.fixture(scope="session")
def crd(control_plane: ControlPlane) -> None:
    """The CRD, installed and served."""
    install(control_plane)


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str, crd: None) -> ClusterClient:  # noqa: ARG001  # because the CRD must be there first
    return ClusterClient(control_plane.access, namespace)


@pytest.fixture
def environment(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What a user's shell has: a kubeconfig, kubectl on PATH, a terminal of 100 columns."""
    kubectl = Path(tools.find("kubectl"))
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    monkeypatch.setenv("PATH", f"{kubectl.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("LLMD_API_KEY", raising=False)
    return monkeypatch


@pytest.fixture
def kubectl_llm(cluster: ClusterClient, environment: pytest.MonkeyPatch) -> KubectlLlm:  # noqa: ARG001  # because the command reads the environment
    def run(*words: str, said: str = "") -> Result:
        return CliRunner().invoke(app, [*words, "-n", cluster.namespace], input=said)

    return run


@pytest.fixture
async def replica() -> AsyncIterator[str]:
    """The address of a replica with the simulated engine, which shouts in revision 3."""
    config = parse(ServingConfig, {"servedName": "chat", "engine": {"name": "simulated"}})
    engine = await start_engine(config)
    front = ReplicaApp(config, engine, await engine.build_app())
    front.user_config = parse(UserConfig, {"revisions": {"3": {"prompt": {"system": "Shout."}}}})
    host = f"127.19.{os.getpid() % 250}.1"
    server = uvicorn.Server(uvicorn.Config(front, host, PORT, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    yield host
    server.should_exit = True
    await serving
    engine.shutdown()


@pytest.fixture
async def gateway(
    control_plane: ControlPlane, cluster: ClusterClient, replica: str
) -> AsyncIterator[Pod]:
    """A gateway that asks for keys, before one replica that answers as revision 3."""
    kube = Loopback(control_plane)
    await kube.start()
    pod = Pod(cluster, kube, haproxy_binary())
    pod.env["LLMD_AUTH"] = "apikey"
    pod.write_key("alice", "sk-alice")
    pod.write_endpoints(replica)
    pod.write_routes([row(revision=3)])
    await pod.up()
    await pod.serving(1)
    yield pod
    await pod.close()
    await kube.stop()
