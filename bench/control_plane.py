"""What the operator costs the API server and itself: many LLMDeployments at once, no kubelet, real API server.

    python -m bench.control_plane [--crs 300] [--idle-seconds 30] [--edits 30] [--peer]

Requests are counted by the API server's own metrics, CPU and memory by the kernel, so that nothing depends on what the
operator says of itself but the number of its passes. `--peer` measures a bare kopf operator beside it (`bench/bare_operator.py`),
which writes the same children with the same client and does nothing else. Last line: one JSON object.
"""

import argparse
import asyncio
import json
import os
import re
import resource
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from dev.cluster import api
from dev.cluster import control_plane as planes
from tests.support.cluster_client import CHILD_KINDS, ClusterClient
from tests.support.control_plane import make_namespace
from tests.support.crd import install
from tests.support.ports import free_port

RESYNC_SECONDS, RESYNC_RATE, AUTOSCALED = 20, 50, 300
"""Seconds between two resyncs at least, objects that a resync has for each second, and the most objects that are autoscaled."""

LABEL = "llmdeployment.dev/name"
RESOURCES = frozenset(
    {
        *(f"{kind.lower()}s" for kind in CHILD_KINDS),
        "networkpolicies",
        "llmdeployments",
        "pods",
        "events",
        "nodes",
        "httproutes",
    }
)


def sample(name: str) -> dict[str, Any]:
    """Return a small LLMDeployment."""
    return {
        "apiVersion": "llmdeployment.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": name},
        "spec": {"model": {"source": "file:///none"}, "engine": {"name": "simulated"}},
    }


class Process:
    """A process of its own, measured from outside."""

    _process: asyncio.subprocess.Process

    async def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        await self._process.wait()

    def cpu_seconds(self) -> float:
        """Return the CPU time the process has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_kb(self) -> int:
        """Return the memory the process holds."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() // 1024


class Bare(Process):
    """The bare kopf operator."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._command = [sys.executable, "-m", "bench.bare_operator", str(kubeconfig), namespace]

    async def start(self) -> None:
        """Start the process and wait until it watches."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.PIPE
        )
        if self._process.stdout is not None:
            await self._process.stdout.readline()


class Operator(Process):
    """The operator."""

    def __init__(self, kubeconfig: Path, namespace: str, crs: int) -> None:
        self.port = free_port()
        self.resync = max(RESYNC_SECONDS, crs // RESYNC_RATE)
        self._env = {
            **os.environ,
            "LLMD_KUBECONFIG": str(kubeconfig),
            "LLMD_NAMESPACES": namespace,
            "LLMD_SERVING_IMAGE_GPU": "serving",
            "LLMD_SERVING_IMAGE_CPU": "serving",
            "LLMD_SERVING_IMAGE_SIMULATED": "serving",
            "LLMD_GATEWAY_IMAGE": "gateway",
            "LLMD_OPERATOR_NAMESPACE": "llm-system",
            "LLMD_RESYNC_SECONDS": str(self.resync),
            "LLMD_PORT": str(self.port),
            "LLMD_LOG_LEVEL": "WARNING",
        }

    async def start(self) -> None:
        """Start the process and wait until it watches."""
        command = [sys.executable, "-c", "from llmdeployment_operator.main import main; main()"]
        self._process = await asyncio.create_subprocess_exec(*command, env=self._env)
        await wait_until(lambda: self._get("/readyz") is not None, 30, "the operator is ready")

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


async def wait_until(ask: Any, seconds: float, what: str, every: float = 0.2) -> None:  # noqa: ANN401  # because any predicate will do
    """Wait until `ask` is true."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(ask):
        if time.monotonic() > deadline:
            sys.exit(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(every)  # why: how often a benchmark looks is part of what it measures


def is_settled(operator: Operator, crs: int) -> bool:
    """Return whether every object was reported on and nothing waits."""
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


async def measure(
    cluster: ClusterClient, operator: Operator, options: argparse.Namespace
) -> dict[str, Any]:
    """Create the objects, wait, resync, idle, edit, restart; return the figures."""
    crs = options.crs
    cluster.create(sample("edited"))
    await wait_until(lambda: is_settled(operator, 1), 60, "the first object is reported on")
    await quiet(operator)
    base, cpu_before, writes_before = operator.rss_kb(), operator.cpu_seconds(), writes_of(operator)
    passes_before = passes_of(operator)
    creating = asyncio.create_task(asyncio.to_thread(create_all, cluster, crs))
    during = await edit_in_a_row(cluster, options.edits, pause=options.pause)
    await creating
    await wait_until(lambda: is_settled(operator, crs + 1), 3600, "every object is reported on")
    # Passes may still be due for the events of the last children.
    await quiet(operator)
    edits_written = 2 * len(during)
    storm = {
        "crs": crs,
        "children": len(cluster.children("llm-0")),
        "writes_per_cr": (writes_of(operator) - writes_before - edits_written) / crs,
        "passes_per_cr": (passes_of(operator) - passes_before) / crs,
        "cpu_ms_per_cr": round((operator.cpu_seconds() - cpu_before) * 1000 / crs, 1),
        "rss_kb_per_cr": round((operator.rss_kb() - base) / crs, 1),
        "apply_to_children_p99_ms": delays(cluster)[int(crs * 0.99)] * 1000,
        "edit_during_storm_ms": percentiles(during),
        "children_exist": sum(len(cluster.items(k, LABEL)) for k in CHILD_KINDS),
    }
    return {
        **storm,
        "resync": await count_requests(cluster, operator, resync(operator, crs)),
        "idle": await count_requests(cluster, operator, asyncio.sleep(options.idle_seconds)),
        "edit_at_rest_ms": percentiles(await edit_in_a_row(cluster, options.edits, pause=0)),
        "restart": await measure_restart(operator, crs + 1),
        "autoscaling": await measure_autoscaling(
            cluster, operator, min(AUTOSCALED, crs * 3 // 10), options.idle_seconds
        ),
    }


def create_all(cluster: ClusterClient, crs: int) -> None:
    """Create the objects, one request after the other."""
    for number in range(crs):
        cluster.create(sample(f"llm-{number}"))


async def edit_in_a_row(cluster: ClusterClient, edits: int, *, pause: float) -> list[float]:
    """Change the number of gateways of one object again and again; return the seconds until each is written."""
    found = []
    for number in range(edits):
        replicas = 3 + number % 2
        began = time.monotonic()
        body = {"spec": {"gateway": {"replicas": replicas}}}
        await asyncio.to_thread(cluster.patch, "LLMDeployment", "edited", body)
        await wait_until(
            lambda want=replicas: gateways(cluster) == want, 600, "the edit", every=0.01
        )  # type: ignore[misc]  # because mypy does not infer a lambda's default
        found.append(time.monotonic() - began)
        await asyncio.sleep(pause)  # why: the edits are spread over the storm
    return found


def gateways(cluster: ClusterClient) -> int:
    """Return how many gateways the edited object is to have."""
    obj = cluster.get("Deployment", "edited-gateway")
    return int(obj["spec"]["replicas"]) if obj is not None else 0


def percentiles(seconds: list[float]) -> dict[str, int]:
    """Return the median and the 99th percentile in ms."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return {
        name: round(1000 * ordered[round(part * last)])
        for name, part in (("p50", 0.5), ("p99", 0.99))
    }


async def resync(operator: Operator, crs: int) -> None:
    """Wait until every object had a pass though nothing changed."""
    passes = passes_of(operator)
    await wait_until(
        lambda: passes_of(operator) >= passes + crs, operator.resync * 4, "a resync of every object"
    )


async def count_requests(
    cluster: ClusterClient, operator: Operator, wait: Awaitable[None]
) -> dict[str, Any]:
    """Return the requests that the API server got meanwhile, by verb, without this program's own; and the CPU."""
    before, cpu = requests(cluster), operator.cpu_seconds()
    await wait
    after = requests(cluster)
    found = {verb: round(after[verb] - before.get(verb, 0)) for verb in after}
    return {
        "requests": {verb: number for verb, number in found.items() if number and verb != "WATCH"},
        "cpu_seconds": round(operator.cpu_seconds() - cpu, 2),
    }


def requests(cluster: ClusterClient) -> dict[str, float]:
    """Return how often each verb was asked for of the kinds that the operator touches, so far."""
    found: dict[str, float] = {}
    text = str(api.call(cluster.access, "GET", "/metrics"))
    for line in text.splitlines():
        if not line.startswith("apiserver_request_total{"):
            continue
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        if labels.get("resource") in RESOURCES:
            verb = labels["verb"]
            found[verb] = found.get(verb, 0) + float(line.rsplit(" ", 1)[1])
    return found


async def measure_restart(operator: Operator, crs: int) -> dict[str, float]:
    """Stop the operator, start it, and return how long it takes until it is quiet, and what it wrote."""
    await operator.stop()
    began = time.monotonic()
    await operator.start()
    await wait_until(lambda: is_settled(operator, crs), 600, "every object is reported on again")
    return {"seconds": round(time.monotonic() - began, 1), "writes": writes_of(operator)}


async def measure_autoscaling(
    cluster: ClusterClient, operator: Operator, number: int, seconds: float
) -> dict[str, Any]:
    """Let some of the objects autoscale, and return the cores in use and the passes made of those due, one in 2 s each.

    No replica is ready here, so nobody is asked: this is what the passes cost by themselves.
    """
    scaling = {"maxReplicas": 4, "targets": {"ttft": {"milliseconds": 500}}}
    for index in range(number):
        await asyncio.to_thread(
            cluster.patch, "LLMDeployment", f"llm-{index}", {"spec": {"scaling": scaling}}
        )
    await quiet_enough(operator)
    passes, cpu, began = passes_of(operator), operator.cpu_seconds(), time.monotonic()
    await asyncio.sleep(seconds)  # why: this time is what is measured
    took = time.monotonic() - began
    return {
        "objects": number,
        "cores": round((operator.cpu_seconds() - cpu) / took, 2),
        "passes_made_of_due": round((passes_of(operator) - passes) / (number * took / 2), 2),
    }


async def quiet_enough(operator: Operator) -> None:
    """Wait until the queue is empty."""
    await wait_until(
        lambda: operator.metric("llmdeployment_operator_queue_length") == 0, 120, "an empty queue"
    )


def passes_of(operator: Operator) -> float:
    """Return the number of passes so far."""
    return operator.metric("llmdeployment_operator_reconciles_total")


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
    parser.add_argument("--crs", type=int, default=300)
    parser.add_argument("--idle-seconds", type=float, default=30)
    parser.add_argument("--edits", type=int, default=30)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two edits")
    parser.add_argument("--peer", action="store_true", help="measure a bare kopf operator too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plane = planes.start(Path(folder) / "plane")
        try:
            install(plane)
            result = await ours(plane, options)
            if options.peer:
                result["bare_kopf"] = await peer(plane, options.crs)
        except api.ApiError as error:
            sys.exit(str(error))
        finally:
            plane.stop()
    print(json.dumps(result))


async def ours(plane: planes.ControlPlane, options: argparse.Namespace) -> dict[str, Any]:
    """Return the operator's figures."""
    cluster = ClusterClient(plane.access, make_namespace(plane, "bench"))
    operator = Operator(plane.kubeconfig, cluster.namespace, options.crs)
    await operator.start()
    try:
        return await measure(cluster, operator, options)
    finally:
        await operator.stop()


async def peer(plane: planes.ControlPlane, crs: int) -> dict[str, Any]:
    """Return the figures of a bare kopf operator that writes the same children."""
    cluster = ClusterClient(plane.access, make_namespace(plane, "peer"))
    bare = Bare(plane.kubeconfig, cluster.namespace)
    await bare.start()
    try:
        before = bare.cpu_seconds()
        create_all(cluster, crs)
        await wait_until(lambda: len(cluster.items("Deployment")) == 2 * crs, 1200, "all children")
        await asyncio.sleep(3)  # why: the last objects' other children are on their way
        cpu = bare.cpu_seconds() - before
    finally:
        await bare.stop()
    return {"cpu_ms_per_cr": round(cpu * 1000 / crs, 1)}


if __name__ == "__main__":
    asyncio.run(main())
