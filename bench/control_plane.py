"""What the operator costs the API server and itself: 200 LLMDeployments at once, no kubelet, real API server.

    python bench/control_plane.py [--crs 200] [--idle-seconds 60]

Writes are counted by the operator's own metric and checked against the children that exist. Last line: one JSON object.
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from dev.cluster import api
from dev.cluster import control_plane as planes
from tests.support.cluster_client import CHILD_KINDS, ClusterClient
from tests.support.control_plane import make_namespace
from tests.support.crd import install
from tests.support.ports import free_port

RESYNC_SECONDS = 20


def sample(name: str) -> dict[str, Any]:
    """Return a small LLMDeployment."""
    return {
        "apiVersion": "llmdeployment.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": name},
        "spec": {"model": {"source": "file:///none"}, "engine": {"name": "simulated"}},
    }


class Operator:
    """The operator as a process of its own, measured from outside."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.port = free_port()
        self._env = {
            **os.environ,
            "LLMD_KUBECONFIG": str(kubeconfig),
            "LLMD_NAMESPACES": namespace,
            "LLMD_SERVING_IMAGE": "serving",
            "LLMD_GATEWAY_IMAGE": "gateway",
            "LLMD_OPERATOR_NAMESPACE": "llm-system",
            "LLMD_RESYNC_SECONDS": str(RESYNC_SECONDS),
            "LLMD_PORT": str(self.port),
            "LLMD_LOG_LEVEL": "WARNING",
        }

    async def start(self) -> None:
        """Start the process and wait until it watches."""
        command = [sys.executable, "-c", "from llmdeployment_operator.main import main; main()"]
        self._process = await asyncio.create_subprocess_exec(*command, env=self._env)
        await reached(lambda: self._get("/readyz") is not None, 30, "the operator is ready")

    async def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        await self._process.wait()

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return None

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        lines = (self._get("/metrics") or "").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def cpu_seconds(self) -> float:
        """Return the CPU time the process has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_kb(self) -> int:
        """Return the memory the process holds."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() // 1024


async def reached(ask: Any, seconds: float, what: str) -> None:  # noqa: ANN401  because any predicate will do
    """Wait until `ask` is true."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(ask):
        if time.monotonic() > deadline:
            sys.exit(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(0.2)  # why: how often a benchmark looks is part of what it measures


def settled(operator: Operator, crs: int) -> bool:
    """Say whether every object was reported on and nothing waits."""
    reported = operator.metric("llmdeployment_operator_objects{")
    return reported == crs and operator.metric("llmdeployment_operator_queue_length") == 0


def delays(cluster: ClusterClient) -> list[float]:
    """Return, for each LLMDeployment, the seconds from its creation to its last child's, to a second."""
    created = {o["metadata"]["name"]: stamp(o) for o in cluster.items("LLMDeployment")}
    last = dict.fromkeys(created, 0.0)
    for kind in CHILD_KINDS:
        for obj in cluster.items(kind, "llmdeployment.dev/name"):
            owner = obj["metadata"]["labels"]["llmdeployment.dev/name"]
            last[owner] = max(last[owner], stamp(obj))
    return sorted(last[name] - created[name] for name in created)


def stamp(obj: dict[str, Any]) -> float:
    """Return an object's creation as seconds since the epoch."""
    text = obj["metadata"]["creationTimestamp"]
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


async def measured(
    cluster: ClusterClient, operator: Operator, crs: int, idle: float
) -> dict[str, Any]:
    """Create the objects, wait, resync, idle; return the figures."""
    base = operator.rss_kb()
    for number in range(crs):
        await asyncio.to_thread(cluster.create, sample(f"llm-{number}"))
    await reached(lambda: settled(operator, crs), 600, "every object is reported on")
    # Passes may still be due for the events of the last children.
    await quiet(operator)
    writes, cpu, rss = writes_of(operator), operator.cpu_seconds(), operator.rss_kb()
    children = len(cluster.children("llm-0"))
    passes = operator.metric("llmdeployment_operator_reconciles_total")
    await reached(
        lambda: operator.metric("llmdeployment_operator_reconciles_total") >= passes + crs,
        RESYNC_SECONDS * 4,
        "a resync of every object",
    )
    after_resync = writes_of(operator)
    await asyncio.sleep(idle)  # why: an idle minute is what is measured
    times = delays(cluster)
    return {
        "crs": crs,
        "children": children,
        "writes_per_cr": writes / crs,
        "passes_per_cr": passes / crs,
        "noop_writes": after_resync - writes,
        "idle_writes": writes_of(operator) - after_resync,
        "cpu_ms_per_cr": round(cpu * 1000 / crs, 1),
        "rss_kb_per_cr": round((rss - base) / crs, 1),
        "apply_to_children_p99_ms": times[int(len(times) * 0.99)] * 1000,
        "children_exist": sum(len(cluster.items(k, "llmdeployment.dev/name")) for k in CHILD_KINDS),
    }


async def quiet(operator: Operator) -> None:
    """Wait until no pass was made for a second."""
    seen = -1.0
    while seen != (now := operator.metric("llmdeployment_operator_reconciles_total")):
        seen = now
        await asyncio.sleep(1)  # why: a second without a pass is what is waited for


def writes_of(operator: Operator) -> float:
    """Return the number of writes so far."""
    return operator.metric("llmdeployment_operator_writes_total")


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--crs", type=int, default=200)
    parser.add_argument("--idle-seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plane = planes.start(Path(folder) / "plane")
        try:
            install(plane)
            cluster = ClusterClient(plane.access, make_namespace(plane, "bench"))
            operator = Operator(plane.kubeconfig, cluster.namespace)
            await operator.start()
            try:
                result = await measured(cluster, operator, options.crs, options.idle_seconds)
            finally:
                await operator.stop()
        except api.ApiError as error:
            sys.exit(str(error))
        finally:
            plane.stop()
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main())
