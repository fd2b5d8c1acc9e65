"""A real Prometheus that scrapes pages of the operator, an agent and replicas, by the rules of the chart's PodMonitors.

Every page counts on with each scrape, so that rates are above 0.
"""

import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from aiohttp import web
from prometheus_client import Counter, Gauge, Histogram
from tests.support.ports import free_port

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
    """The endpoint of each PodMonitor of the chart."""
    documents = yaml.safe_load_all(GOLDEN.read_text(encoding="utf-8"))
    found = {d["metadata"]["name"]: d for d in documents if d and d["kind"] == "PodMonitor"}
    ends = {name.rpartition("-")[2]: d["spec"]["podMetricsEndpoints"][0] for name, d in found.items()}  # fmt: skip
    return {"operator": ends["operator"], "gateway": ends["gateways"], "replica": ends["replicas"]}


def build_config(ports: dict[str, int], *rules: Path) -> str:
    """What the Prometheus operator makes of monitors and rules, for pods on this machine."""
    monitors = read_monitors()
    jobs = []
    for job, port in ports.items():
        endpoint = monitors["replica" if job == "liar" else job]
        owner = {"namespace": "llm-system"} if job == "operator" else {"namespace": "team", "name": "chat"}  # fmt: skip
        target = {"targets": [f"127.0.0.1:{port}"], "labels": owner}
        jobs.append(
            {
                "job_name": job,
                "honor_labels": endpoint.get("honorLabels", False),
                "metric_relabel_configs": endpoint.get("metricRelabelings", []),
                "static_configs": [target],
            }
        )
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

    def count_on() -> float:
        for each in counters:
            each.inc()
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


@contextmanager
def run_prometheus(programs: Path, config: str, folder: Path) -> Iterator[str]:
    port = free_port()
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    command = [
        str(programs / "prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)
