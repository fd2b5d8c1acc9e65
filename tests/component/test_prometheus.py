"""A real Prometheus scrapes the pages of operator, agent and replica, and evaluates every rule and every panel."""

import asyncio
import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from dev import prometheus
from dev.cluster.stages import StageError
from dev.monitoring.boards import BOARDS
from dev.monitoring.files import MANIFESTS
from dev.monitoring.rules import list_alerts
from dev.pictures.ask import QueryError, connect
from dev.pictures.draw_files import Request, draw_files
from dev.pictures.layout import WIDTH
from PIL import Image
from tests.component.prometheus_pages import TARGETS, build_config, serve_pages
from tests.support.ports import free_port

pytestmark = pytest.mark.component

RULES = MANIFESTS / "monitoring" / "rules.yaml"
SECONDS = 60


@pytest.fixture(scope="module")
def programs() -> Path:
    try:
        return prometheus.ensure()
    except StageError as error:
        pytest.skip(reason=f"Prometheus cannot be had here: {error.explain()}")


async def query(client: aiohttp.ClientSession, text: str) -> list[dict[str, str]]:
    """The labels of the series that a query finds, or nothing while Prometheus starts."""
    try:
        async with client.get("/api/v1/query", params={"query": text}) as answer:
            if answer.status == 503:
                return []
            found = json.loads(await answer.text())
    except aiohttp.ClientConnectionError:
        return []
    assert found["status"] == "success", (text, found)
    return [cast("dict[str, str]", row["metric"]) for row in found["data"]["result"]]


async def test_prometheus_scrapes_every_page_and_no_pod_speaks_for_another(
    programs: Path, tmp_path: Path
) -> None:
    ports = {name: free_port() for name in TARGETS}
    with prometheus.run(programs, build_config(ports, tmp_path), tmp_path) as url:
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
    assert (resident["pod"], resident["container"]) == ("gateway-0", "main")
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


def list_panel_queries() -> Iterator[tuple[str, str]]:
    """The queries of each panel and each mark, as Grafana asks them."""
    for board in BOARDS:
        asked = [(p.title, q.expression) for r in board.rows for p in r.panels for q in p.queries]
        asked += [(mark.name, mark.expression) for mark in board.marks]
        for title, expression in asked:
            text = expression.replace("$namespace", "team").replace("$name", "chat")
            yield title, text.replace("$__rate_interval", "1m")


async def list_failed_rules(client: aiohttp.ClientSession) -> tuple[int, list[dict[str, Any]]]:
    async with client.get("/api/v1/rules") as answer:
        groups = json.loads(await answer.text())["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return len(rules), [rule for rule in rules if rule["health"] != "ok"]


async def draw_all(url: str, folder: Path) -> dict[str, bytes]:
    """Every dashboard as PNG. The last queries to have data need two scrapes for a rate, so it may take a few tries."""
    request = Request({"namespace": "team", "name": "chat"}, minutes=1, scrape_seconds=1)
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                paths = await asyncio.to_thread(lambda: list(draw_files(connect(url), request, folder)))  # fmt: skip
                return {path.name: path.read_bytes() for path in paths}
            except QueryError:
                await asyncio.sleep(0.5)  # why: the interval of a wait with a deadline


async def test_every_panel_and_every_rule_is_answered_by_prometheus(
    programs: Path, tmp_path: Path
) -> None:
    ports = {name: free_port() for name in TARGETS}
    with prometheus.run(programs, build_config(ports, tmp_path, RULES), tmp_path) as url:
        async with serve_pages(ports), aiohttp.ClientSession(url) as client:
            waiting = set(list_panel_queries())
            try:
                async with asyncio.timeout(SECONDS):
                    while waiting:
                        found = [each for each in waiting if await query(client, each[1])]
                        waiting -= set(found)
                        await asyncio.sleep(0.5)  # why: the interval of a wait with a deadline
            except TimeoutError:
                assert waiting == set()
            for alert in list_alerts():
                await query(client, alert.expression)
            pulled = await query(client, 'ALERTS{alertname="LLMDeploymentImagePullFailed"}')
            count, failed = await list_failed_rules(client)
            drawn = await draw_all(url, tmp_path)

    assert failed == []
    assert count > len(list_alerts())
    assert {(row["namespace"], row["name"]) for row in pulled} == {("team", "chat")}
    assert drawn.keys() == {f"dashboard-{board.uid.removeprefix('llmdeployment-')}.png" for board in BOARDS}  # fmt: skip
    for name, text in drawn.items():
        picture = Image.open(io.BytesIO(text))
        assert picture.width == WIDTH, name
        assert len(picture.getcolors(1 << 24) or ()) > 50, f"{name} is blank"
