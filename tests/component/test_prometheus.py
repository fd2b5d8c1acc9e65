"""A real Prometheus scrapes the pages of operator, agent and replica, by the rules of the chart's PodMonitors."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
import yaml
from aiohttp import web
from dev import prometheus
from dev.cluster.stages import StageError
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

pytestmark = pytest.mark.component

GOLDEN = Path(__file__).resolve().parents[1] / "chart/golden/own-namespace.yaml"
SECONDS = 60
TARGETS = ("operator", "gateway", "replica", "liar")
"""The liar's page claims to be of another LLMDeployment."""


@pytest.fixture(scope="module")
def programs() -> Path:
    try:
        return prometheus.ensure()
    except StageError as error:
        pytest.skip(reason=f"Prometheus cannot be had here: {error.explain()}")


def read_monitors() -> dict[str, dict[str, Any]]:
    """The endpoint of each PodMonitor of the chart."""
    documents = yaml.safe_load_all(GOLDEN.read_text(encoding="utf-8"))
    found = {d["metadata"]["name"]: d for d in documents if d and d["kind"] == "PodMonitor"}
    ends = {name.rpartition("-")[2]: d["spec"]["podMetricsEndpoints"][0] for name, d in found.items()}  # fmt: skip
    return {"operator": ends["operator"], "gateway": ends["gateways"], "replica": ends["replicas"]}


def build_config(ports: dict[str, int]) -> str:
    """What the Prometheus operator makes of the monitors, for pods on this machine."""
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
    return yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs})


def render_replica(owner: Owner) -> bytes:
    stats = RevisionStats()
    stats.requests["200"] += 1
    snapshot = EngineSnapshot(1, 2, 0.5, 10, 20, {})
    page = render_metrics(build_stats("simulated", "chat", snapshot, {"1": stats}), owner)
    return page + b"# HELP vllm_x An engine's own.\n# TYPE vllm_x gauge\nvllm_x 1\n"


def build_agent() -> web.Application:
    async def count_held() -> tuple[int, int]:
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
    tally = Tally()
    tally.count_line(b"200 9 C- main 1 70 key id")
    tally.count_vote("main", "1", 70, 0)
    kube: Any = SimpleNamespace(failures=0)
    return AgentServer(steering, tally, kube, MetricsPage("team", "chat")).build_app()


@asynccontextmanager
async def serve_pages(ports: dict[str, int]) -> AsyncIterator[None]:
    metrics = Metrics()
    metrics.begin("shop", "sql", scales=True)
    metrics.condition_reason.labels("shop", "sql", "Ready", "False", "WaitingForGPU").set(1)
    runner = web.AppRunner(build_agent(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", ports["gateway"]).start()
    host = "127.0.0.1"
    try:
        async with (
            serve_health(ports["operator"], metrics, lambda: 0.0, lambda: "ok"),
            serve_metrics(lambda: render_replica(Owner("team", "chat")), host, ports["replica"]),
            serve_metrics(lambda: render_replica(Owner("shop", "sql")), host, ports["liar"]),
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


async def query(client: aiohttp.ClientSession, text: str) -> list[dict[str, str]]:
    """The labels of the series that a query finds, or nothing while Prometheus starts."""
    try:
        async with client.get("/api/v1/query", params={"query": text}) as answer:
            found = json.loads(await answer.text()) if answer.status == 200 else {"data": {"result": []}}  # fmt: skip
    except aiohttp.ClientConnectionError:
        return []
    return [cast("dict[str, str]", row["metric"]) for row in found["data"]["result"]]


async def test_prometheus_scrapes_every_page_and_no_pod_speaks_for_another(
    programs: Path, tmp_path: Path
) -> None:
    ports = {name: free_port() for name in TARGETS}
    with run_prometheus(programs, build_config(ports), tmp_path) as url:
        async with serve_pages(ports), aiohttp.ClientSession(url) as client:
            async with asyncio.timeout(SECONDS):
                while len(await query(client, "up == 1")) < len(TARGETS):  # noqa: ASYNC110  # because Prometheus announces no scrape
                    await asyncio.sleep(0.1)  # why: the interval of a wait with a deadline
            everything = await query(client, '{__name__=~"(llmdeployment|vllm).+"}')
            (reason,) = await query(
                client, 'llmdeployment_condition_reason{reason="WaitingForGPU"}'
            )
            (resident,) = await query(client, 'process_resident_memory_bytes{job="gateway"}')

    assert not [row for row in everything if any(key.startswith("exported_") for key in row)]
    assert (reason["namespace"], reason["name"]) == ("shop", "sql")
    assert (resident["namespace"], resident["name"]) == ("team", "chat")
    of_models = [row for row in everything if row["job"] != "operator"]
    assert {(row["namespace"], row["name"]) for row in of_models} == {("team", "chat")}
    assert {row["job"] for row in of_models if row["__name__"] == "vllm_x"} == {"replica", "liar"}
    names = {row["__name__"] for row in everything}
    assert {
        "llmdeployment_gateway_feedback_score_sum",
        "llmdeployment_request_seconds_bucket",
    } <= names


async def test_promtool_finds_nothing(programs: Path) -> None:
    ports = {name: free_port() for name in TARGETS}
    async with serve_pages(ports), aiohttp.ClientSession() as client:
        for name, port in ports.items():
            async with asyncio.timeout(SECONDS):
                text = None
                while text is None:
                    try:
                        async with client.get(f"http://127.0.0.1:{port}/metrics") as answer:
                            text = await answer.read()
                    except aiohttp.ClientConnectionError:
                        await asyncio.sleep(0)  # why: the server opens its port in this loop
            command = [str(programs / "promtool"), "check", "metrics"]
            done = await asyncio.to_thread(
                subprocess.run, command, input=text, capture_output=True, timeout=60, check=False
            )
            assert (done.returncode, done.stdout + done.stderr) == (0, b""), name
