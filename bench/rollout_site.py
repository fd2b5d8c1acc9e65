"""Where the rollout matrix runs: a namespace of the local cluster, the API server through `kubectl proxy`, the operator as a process.

The operator is a process of this machine and not a pod, because it is killed at a random moment (SIGKILL) and started again, as a
kubelet would do it.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from dev.cluster.stages import StageError
from dev.demo import kube as local
from dev.demo import volumes
from dev.demo.kube import Kube
from dev.images import MOUNTED, VERSION
from tests.support.ports import free_port

NAMESPACE = "llm-bench-rollout"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
CRD = local.REPOSITORY / "manifests" / "crds"
LLMS = f"/apis/llmdeployment.dev/v1alpha1/namespaces/{NAMESPACE}/llmdeployments"
RESTART_SECONDS = 1.0
"""About what a kubelet takes for a container's first restart."""
STAND_IN = "plain-runtime"
Object = dict[str, Any]

PLAIN = {
    "spec": {
        "containers": [
            {
                "name": "ray",
                "command": ["/opt/llmdeployment/venv/bin/python", "/opt/bench/plain_runtime.py"],
                "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
                "volumeMounts": [
                    {"name": STAND_IN, "mountPath": "/opt/bench", "readOnly": True},
                ],
            }
        ],
        "volumes": [{"name": STAND_IN, "configMap": {"name": STAND_IN}}],
    }
}
"""The overlay that puts the stand-in in Ray's place."""


class Operator:
    """The operator as a process, started again whenever it ends, until `stop`."""

    def __init__(self, kubeconfig: Path, log: Path) -> None:
        self._log = log
        self._env = {
            **os.environ,
            "LLMD_KUBECONFIG": str(kubeconfig),
            "LLMD_NAMESPACES": NAMESPACE,
            "LLMD_SERVING_IMAGE_GPU": f"llmdeployment/serving:{VERSION}-gpu",
            "LLMD_SERVING_IMAGE_CPU": f"llmdeployment/serving:{VERSION}{MOUNTED.variant}",
            "LLMD_SERVING_IMAGE_SIMULATED": f"llmdeployment/serving:{VERSION}-simulated",
            "LLMD_ENVIRONMENT_CLAIM": local.ENVIRONMENT_CLAIM,
            "LLMD_GATEWAY_IMAGE": f"llmdeployment/gateway:{VERSION}",
            "LLMD_OPERATOR_NAMESPACE": NAMESPACE,
            "LLMD_OWN_NAMESPACE": "true",
            "LLMD_HEAD_STORAGE": "emptyDir",
            "LLMD_PORT": str(free_port()),
        }

    async def start(self) -> None:
        """Start it, and return once there is a process."""
        self._process = await self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    async def kill(self) -> None:
        """SIGKILL; it comes back by itself."""
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> None:
        """End it for good."""
        self._keeper.cancel()
        with suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.wait()

    async def _keep(self) -> None:
        while True:
            await self._process.wait()
            await asyncio.sleep(RESTART_SECONDS)  # why: the time a kubelet takes
            self._process = await self._spawn()

    async def _spawn(self) -> asyncio.subprocess.Process:
        command = [sys.executable, "-c", "from llmdeployment_operator.main import main; main()"]
        with self._log.open("ab") as out:
            return await asyncio.create_subprocess_exec(
                *command, env=self._env, stdout=out, stderr=out
            )


@dataclass(frozen=True)
class Site:
    """What a cell needs.

    Attributes:
        kube: for what happens once.
        api: of the API server, by `kubectl proxy`: asking twice a second must cost little.
        operator: to be killed.
    """

    kube: Kube
    api: aiohttp.ClientSession
    operator: Operator

    async def get(self, path: str) -> Object:
        """Return an object or a list; empty when there is none."""
        async with self.api.get(path) as answer:
            if answer.status == 404:  # noqa: PLR2004  # because an HTTP status is its own name
                return {}
            answer.raise_for_status()
            return dict(await answer.json())

    async def llm(self, name: str) -> Object:
        """Return an LLMDeployment."""
        return await self.get(f"{LLMS}/{name}")

    async def create(self, body: Object) -> None:
        """Create an LLMDeployment."""
        async with self.api.post(LLMS, json=body) as answer:
            if answer.status >= 300:  # noqa: PLR2004  # because an HTTP status is its own name
                raise StageError(await answer.text())

    async def patch(self, name: str, spec: Object) -> None:
        """Merge into an LLMDeployment's spec."""
        headers = {"content-type": "application/merge-patch+json"}
        async with self.api.patch(f"{LLMS}/{name}", json={"spec": spec}, headers=headers) as answer:
            if answer.status >= 300:  # noqa: PLR2004  # because an HTTP status is its own name
                raise StageError(await answer.text())

    async def delete(self, name: str) -> None:
        """Delete an LLMDeployment; its pods end in their own time."""
        async with self.api.delete(f"{LLMS}/{name}"):
            pass

    async def of(
        self, name: str, plural: str, group: str = "/api/v1", more: str = ""
    ) -> list[Object]:
        """Return an LLMDeployment's objects of a kind."""
        selector = f"llmdeployment.dev/name={name}{more}"
        path = f"{group}/namespaces/{NAMESPACE}/{plural}?labelSelector={selector}"
        return list((await self.get(path)).get("items", []))


@asynccontextmanager
async def site(log: Path, *, models: bool = False) -> AsyncIterator[Site]:
    """Prepare the namespace, with a real model if it is asked for, and remove it at the end.

    Raises:
        StageError: there is no cluster.
    """
    kube = local.connect(NAMESPACE)
    if kube.get("namespace", NAMESPACE) is not None:
        await asyncio.to_thread(remove, kube)
    folders = {local.ENVIRONMENT_CLAIM: Path(local.run_module("dev.serving_env"))}
    if models:
        folders["models"] = Path(local.run_module("dev.model")).parent
    kube.run("apply", "--server-side", "--force-conflicts", f"--filename={CRD}")
    kube.ensure_namespace(RESTRICTED)
    volumes.provide(kube, folders)
    code = (Path(__file__).parent / "plain_runtime.py").read_text()
    metadata = {"name": STAND_IN}
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"plain_runtime.py": code},
        }
    )
    port = free_port()
    command = kube.kubectl("proxy", f"--port={port}")
    proxy = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    operator = Operator(kube.kubeconfig, log)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as api:
            found = Site(kube, api, operator)
            await wait_until(lambda: _answers(found), 20, "kubectl proxy answers")
            await operator.start()
            try:
                yield found
            finally:
                await operator.stop()
    finally:
        proxy.terminate()
        await proxy.wait()
        await asyncio.to_thread(remove, kube)


def remove(kube: Kube) -> None:
    """Remove what a run left, an unfinished one too. Owner references do it all; nothing waits for an operator."""
    kube.run("delete", "llm", "--all", "--wait=false")
    kube.run("delete", "pods", "--all", "--grace-period=1", "--wait=false")
    kube.run("delete", "namespace", NAMESPACE, "--wait", "--timeout=170s", seconds=180)
    volumes.remove(kube)


async def wait_until(ask: Callable[[], Awaitable[object]], seconds: float, what: str) -> None:
    """Wait until `ask` returns something true.

    Raises:
        StageError: it did not in time.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while not await ask():
        if asyncio.get_running_loop().time() > deadline:
            raise StageError(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(0.25)  # why: how often the matrix looks


async def _answers(found: Site) -> bool:
    try:
        return bool(await found.get("/version"))
    except aiohttp.ClientError:
        return False
