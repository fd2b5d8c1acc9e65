"""A real Prometheus that scrapes pages of the operator, an agent and replicas, by the rules of the chart's PodMonitors.

Every page counts on with each scrape, so that rates are above 0.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from aiohttp import web
from dev.pictures.scrape import build_job, list_targets
from prometheus_client import Counter, Gauge, Histogram

from llmdeployment_gateway.metrics import MetricsPage
from llmdeployment_gateway.routes import Routes
from llmdeployment_gateway.tally import Tally
from llmdeployment_gateway.web import AgentServer
from llmdeployment_operator.health import serve_health
from llmdeployment_operator.metrics import Metrics
from llmdeployment_serving.metrics import Owner, render_metrics
from llmdeployment_serving.metrics_port import serve_metrics
from llmdeployment_serving.stats import EngineSnapshot, RevisionStats, build_stats

GOLDEN = Path(__file__).resolve().parents[1] / "chart/golden/own-namespace.yaml"
TARGETS = ("operator", "gateway", "replica", "liar")
"""The liar's page claims to be of another LLMDeployment."""
SAMPLE = {
    "namespace": "team",
    "name": "chat",
    "arm": "main",
    "revision": "1",
    "currency": "EUR",
    "result": "success",
    "verb": "apply",
    "kind": "ConfigMap",
    "error": "ApiConflict",
    "state": "ready",
    "version": "1",
    "verdict": "Pass",
    "condition": "Available",
    "status": "False",
    "reason": "ImagePullFailed",
    "runtime": "1a2b3c4d",
    "outcome": "Running",
    "metric": "errorRate",
    "bound": "estimate",
    "side": "arm",
    "per": "tokens",
    "receiver": "chat",
}
"""A value for each label of the operator's."""


def read_monitors() -> dict[str, dict[str, Any]]:
    """The PodMonitors of the chart, for models in the namespace `team`."""
    documents = yaml.safe_load_all(GOLDEN.read_text(encoding="utf-8"))
    found = {d["metadata"]["name"].rpartition("-")[2]: d for d in documents if d and d["kind"] == "PodMonitor"}  # fmt: skip
    for name in ("gateways", "replicas"):
        found[name]["spec"]["namespaceSelector"] = {"matchNames": ["team"]}
    jobs = dict(zip(TARGETS, ("operator", "gateways", "replicas", "replicas"), strict=True))
    return {job: found[name] for job, name in jobs.items()}


def build_pod(job: str, monitor: dict[str, Any], port: int) -> dict[str, Any]:
    """A pod on this machine, as the API server has it. Its labels are the operator's, so that the monitor has to select it."""
    part = {"gateway": "gateway", "replica": "worker", "liar": "worker"}.get(job, "")
    labels = {
        "app.kubernetes.io/managed-by": "llmdeployment-operator",
        "llmdeployment.dev/component": part,
        "llmdeployment.dev/name": "chat",
    }
    own = monitor["spec"]["selector"]["matchLabels"]
    namespace = "team" if part else monitor["metadata"]["namespace"]
    (end,) = monitor["spec"]["podMetricsEndpoints"]
    container = {"name": "main", "ports": [{"name": end["port"], "containerPort": port}]}
    return {
        "metadata": {"name": f"{job}-0", "namespace": namespace, "labels": labels if part else own},
        "spec": {"containers": [container]},
        "status": {"phase": "Running", "podIP": "127.0.0.1"},
    }


def build_config(ports: dict[str, int], folder: Path, *rules: Path) -> str:
    """What the Prometheus operator makes of monitors and rules, for pods on this machine; a job for each page."""
    jobs = []
    for job, monitor in read_monitors().items():
        targets = folder / f"{job}.json"
        pod = build_pod(job, monitor, ports[job])
        targets.write_text(json.dumps(list_targets(monitor, [pod])), encoding="utf-8")
        jobs.append(build_job(monitor, str(targets)) | {"job_name": job})
    often = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    found = {"global": often, "rule_files": [str(rule) for rule in rules], "scrape_configs": jobs}
    return yaml.safe_dump(found)


def build_replica(owner: Owner) -> Callable[[], bytes]:
    """Return what renders a replica's page; there is one more answer each time."""
    stats = RevisionStats()

    def render() -> bytes:
        stats.requests["200"] += 1
        whole = stats.whole
        for histogram in (whole.ttft, whole.itl, whole.e2e, whole.output_tokens):
            histogram.observe(0.2, 0)
        whole.shares.add({"empty": False, "truncated": True}, 0)
        answers = stats.requests["200"]
        snapshot = EngineSnapshot(1, 2, 0.5, 10 * answers, 20 * answers, {})
        page = render_metrics(build_stats("simulated", "chat", snapshot, {"1": stats}), owner)
        return page + b"# HELP vllm_x An engine's own.\n# TYPE vllm_x gauge\nvllm_x 1\n"

    return render


def build_agent() -> web.Application:
    tally = Tally()

    async def count_held() -> tuple[int, int]:
        # The page asks for it once, so there is one more request each time.
        tally.count_line(b"200 9 C- main 1 70 key id")
        tally.count_vote("main", "1", 70, 0)
        return 0, 0

    async def count_services() -> dict[str, dict[str, int]]:
        return {"chat-1a2b3c4d": {"servers": 2, "up": 1}}

    route = {"arm": "main", "revision": 1, "service": "chat-1a2b3c4d", "below": 10_000}
    document = {"deployment": "chat", "servedName": "chat", "salt": "3d1f", "routes": [route]}
    steering: Any = SimpleNamespace(
        inputs=SimpleNamespace(routes=Routes.model_validate(document)),
        count_held=count_held,
        count_services=count_services,
        failures=0,
        explain_unready=str,
    )
    kube: Any = SimpleNamespace(failures=0)
    return AgentServer(steering, tally, kube, MetricsPage("team", "chat")).build_app()


def fill_operator(metrics: Metrics) -> Callable[[], float]:
    """Give every metric a series, and return a length of the queue: who reads it counts on."""
    found = [each for each in vars(metrics).values() if isinstance(each, Gauge | Counter | Histogram)]  # fmt: skip
    series = [
        each.labels(*(SAMPLE[label] for label in each._labelnames)) if each._labelnames else each
        for each in found
    ]
    for each in series:
        if isinstance(each, Gauge):
            each.set(1)
    for kind in ("Accepted", "Ready", "Scaling", "Degraded"):
        metrics.condition.labels("team", "chat", kind, "True").set(1)
        metrics.condition_reason.labels("team", "chat", kind, "True", "ImagePullFailed").set(1)
    counters = [each for each in series if isinstance(each, Counter)]
    histograms = [each for each in series if isinstance(each, Histogram)]

    def count_on() -> float:
        for each in counters:
            each.inc()
        for histogram in histograms:
            histogram.observe(0.02)
        metrics.traffic.labels("team", "chat", "main", "1").inc(0.001)
        return 1.0

    return count_on


@asynccontextmanager
async def serve_pages(ports: dict[str, int]) -> AsyncIterator[None]:
    metrics = Metrics()
    metrics.begin("shop", "sql", scales=True)
    metrics.queue.set_function(fill_operator(metrics))
    metrics.condition_reason.labels("shop", "sql", "Ready", "False", "WaitingForGPU").set(1)
    runner = web.AppRunner(build_agent(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", ports["gateway"]).start()
    host = "127.0.0.1"
    try:
        async with (
            serve_health(ports["operator"], metrics, lambda: 0.0, lambda: "ok"),
            serve_metrics(build_replica(Owner("team", "chat")), host, ports["replica"]),
            serve_metrics(build_replica(Owner("shop", "sql")), host, ports["liar"]),
        ):
            yield
    finally:
        await runner.cleanup()
