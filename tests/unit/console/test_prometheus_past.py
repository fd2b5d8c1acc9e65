"""Older points from Prometheus: what is asked, what is believed, and what is said when it does not answer."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from tests.unit.cli.objects import NOW
from tests.unit.console.fakes import (
    HOST,
    ONE,
    FakeCluster,
    browse,
    build_local,
    moving,
    open_console,
)

from llmdeployment_console.prometheus_past import (
    HOURS,
    POINTS,
    PrometheusPast,
    build_queries,
    find_hours,
    merge_points,
    read_matrix,
)
from llmdeployment_console.refusals import RequestRefused
from llmdeployment_console.settings import Settings

OWNER = ("shop", "chat")
METRICS = Path(__file__).parents[3] / "docs/reference/metrics.md"


def matrix(**rows: list[tuple[float, str]]) -> dict[str, Any]:
    result = [
        {"metric": {"revision": name[1:]}, "values": [list(pair) for pair in values]}
        for name, values in rows.items()
    ]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


@contextmanager
def run_prometheus(status: int, body: bytes, **headers: str) -> Iterator[tuple[str, list[Any]]]:
    """Serve one answer to everything, and yield the URL and the forms that came."""
    forms: list[Any] = []

    class Served(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["content-length"])).decode()
            forms.append((self.path, {name: value[0] for name, value in parse_qs(sent).items()}))
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of who hangs up on an answer that is too large."""

    server = Server(("127.0.0.1", 0), Served)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/prometheus", forms
    finally:
        server.shutdown()
        server.server_close()


def test_a_point_has_what_prometheus_knows_of_each_revision() -> None:
    rates = read_matrix(matrix(r4=[(0, "2"), (60, "3")], r5=[(60, "1")], r0=[(0, "9")]))
    slow = read_matrix(matrix(r4=[(0, "NaN"), (60, "0.5")]))
    first, second, third = merge_points(
        {"requestsPerSecond": rates, "ttftP50": {}, "ttftP90": slow}, range(0, 121, 60)
    )
    none = {"ttftP50": None}
    assert first["revisions"] == {"4": {"requestsPerSecond": 2.0, "ttftP90": None, **none}}
    assert second["revisions"] == {
        "4": {"requestsPerSecond": 3.0, "ttftP90": 0.5, **none},
        "5": {"requestsPerSecond": 1.0, "ttftP90": None, **none},
    }
    assert (second["at"], second["requestsPerSecond"]) == ("1970-01-01T00:01:00.000Z", 4.0)
    assert (third["revisions"], third["requestsPerSecond"]) == ({}, None)


def test_of_many_revisions_the_newest_are_kept() -> None:
    rates = read_matrix(matrix(**{f"r{each}": [(0, "1")] for each in range(1, 21)}))
    (only,) = merge_points({"requestsPerSecond": rates}, range(1))
    assert sorted(map(int, only["revisions"])) == list(range(13, 21))


def test_a_name_cannot_change_a_query() -> None:
    for query in build_queries(("a", 'b"} or up{x="'), 120).values():
        assert r'name="b\"} or up{x=\""}' in query


def test_the_queries_are_of_metrics_that_exist() -> None:
    documented = METRICS.read_text(encoding="utf-8")
    for query in build_queries(OWNER, 120).values():
        (name,) = re.findall(r"llmdeployment_\w+", query)
        assert f"`{name.removesuffix('_bucket')}`" in documented


@pytest.mark.parametrize("hours", HOURS)
async def test_a_span_is_asked_for_in_as_many_points(hours: int) -> None:
    with run_prometheus(200, json.dumps(matrix()).encode()) as (url, forms):
        async with aiohttp.ClientSession() as session:
            points = await PrometheusPast(session, url).read(OWNER, hours, NOW)
    assert len(points) == POINTS
    assert {path for path, _ in forms} == {"/prometheus/api/v1/query_range"}
    assert len({form["query"] for _, form in forms}) == len(forms) == 3
    _, form = forms[0]
    start, end, step = (int(form[each]) for each in ("start", "end", "step"))
    assert (start, end) == (start // step * step, start + (POINTS - 1) * step)
    assert 0 <= NOW.timestamp() - end < step
    assert step == hours * 3600 / POINTS
    # A rate is over a step, and over four scrapes at least.
    assert f"[{max(step, 120)}s]" in form["query"]


async def test_an_answer_is_kept_for_half_a_minute() -> None:
    now = [0.0]
    with run_prometheus(200, json.dumps(matrix()).encode()) as (url, forms):
        async with aiohttp.ClientSession() as session:
            past = PrometheusPast(session, url, lambda: now[0])
            for at, asked in ((0.0, 3), (29.0, 3), (31.0, 6)):
                now[0] = at
                await past.read(OWNER, 24, NOW)
                assert len(forms) == asked
            await past.read(("shop", "other"), 24, NOW)
            assert len(forms) == 9


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (500, b"{}", {}),
        (302, b"", {"location": "http://127.0.0.1:1/"}),
        (200, b"nonsense", {}),
        (200, b"[]", {}),
        (200, b'{"status": "error", "data": {"resultType": "matrix", "result": []}}', {}),
        (200, b'{"status": "success", "data": {"resultType": "vector", "result": []}}', {}),
        (200, b'{"status": "success", "data": {"resultType": "matrix", "result": [{}]}}', {}),
        (200, json.dumps(matrix()).encode() + b" " * (5 << 20), {}),
    ],
)
async def test_what_is_no_answer_is_said_to_be_none(status: int, body: bytes, headers: Any) -> None:
    with run_prometheus(status, body, **headers) as (url, _):
        async with aiohttp.ClientSession() as session:
            with pytest.raises(RequestRefused, match="does not answer") as refused:
                await PrometheusPast(session, url).read(OWNER, 6, NOW)
    assert refused.value.status == 502
    assert url not in refused.value.message


async def test_a_prometheus_that_is_away_is_said_to_be() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(RequestRefused, match="does not answer"):
            await PrometheusPast(session, "http://127.0.0.1:1").read(OWNER, 6, NOW)


@pytest.mark.parametrize("hours", ["", "1", "-6", "6.0", "9999", "٦"])
def test_another_span_is_refused(hours: str) -> None:
    with pytest.raises(RequestRefused, match="hours must be one of 6, 24, 168, 720"):
        find_hours(hours)


async def test_the_page_gets_points_where_a_prometheus_is_set() -> None:
    at = int(NOW.timestamp()) // 60 * 60
    answer = json.dumps(matrix(r4=[(at, "2.5")])).encode()
    with run_prometheus(200, answer) as (url, _):
        async with open_console(FakeCluster(moving())) as (console, _clock):
            browser = browse(console)
            assert browser.get(ONE).json()["past"] is False
            assert browser.get(f"{ONE}/past?hours=6").status_code == 404
        async with open_console(FakeCluster(moving())) as (console, _clock):
            console.settings = Settings(prometheus_url=url)
            browser = browse(console)
            assert browser.get(ONE).json()["past"] is True
            assert browser.get(f"{ONE}/past?hours=7").status_code == 400
            gone = "/api/llmdeployments/shop/gone/past?hours=6"
            assert browser.get(gone).status_code == 404


async def test_a_page_reads_the_past_through_the_console() -> None:
    from httpx2 import ASGITransport, AsyncClient  # noqa: PLC0415  # because Starlette's client has a loop of its own

    end = int(NOW.timestamp()) // 60 * 60
    answer = json.dumps(matrix(r4=[(end, "2.5")])).encode()
    with run_prometheus(200, answer) as (url, _):
        async with open_console(FakeCluster(moving())) as (console, _clock):
            console.settings = Settings(prometheus_url=url)
            app: Any = build_local(console)
            assert console.sessions is not None
            value = console.sessions.exchange_token(console.sessions.issue_token())
            cookie = {"cookie": f"{console.sessions.cookie}={value}"}
            transport, base = ASGITransport(app), f"http://{HOST}"
            async with AsyncClient(transport=transport, base_url=base, headers=cookie) as browser:
                found = (await browser.get(f"{ONE}/past?hours=6")).json()["points"]
    assert len(found) == POINTS
    assert found[-1]["revisions"]["4"]["requestsPerSecond"] == 2.5
    assert found[-1]["at"] == "2026-11-24T12:00:00.000Z"
    assert found[0]["revisions"] == {}
