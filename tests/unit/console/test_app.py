"""The console as a browser meets it: who is let in, what is read and written, and what is streamed."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.unit.console.fakes import (
    ONE,
    OPERATOR,
    WRITE,
    FakeCluster,
    FakeWays,
    browse,
    moving,
    open_console,
    point,
)
from tests.unit.console.pods import run_pod

from llmdeployment_console import operator_points
from llmdeployment_console.app import Console, _watch
from llmdeployment_console.cache import SECONDS
from llmdeployment_console.events import MOST, EventStream
from llmdeployment_console.guard import BODY_BYTES, HEADERS
from llmdeployment_console.viewers import ANYBODY

PROMOTE = {"action": "promote", "preview": True}
OWNER = ("shop", "chat")


def act(browser: TestClient, body: Any = PROMOTE, **headers: str | None) -> Any:
    """Send an action with the page's headers, some of them changed or left out."""
    sent = {**WRITE, **headers}
    kept = {name: value for name, value in sent.items() if value is not None}
    return browser.post(f"{ONE}/actions", content=json.dumps(body), headers=kept)


async def test_a_token_works_once_and_leaves_a_cookie_that_pages_cannot_read() -> None:
    async with open_console(FakeCluster(moving())) as (console, _):
        token = console.sessions.issue_token()
        browser = browse(console, known=False)
        assert browser.get("/", params={"token": "wrong"}).status_code == 401
        first = browser.get("/", params={"token": token})
        assert (first.status_code, first.headers["location"]) == (303, "/")
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert token not in cookie
        stranger = browse(console, known=False)
        used = stranger.get("/", params={"token": token})
        assert used.status_code == 401
        assert "kubectl llm console" in used.text
        # The browser that has the cookie may open the address again.
        assert browser.get("/", params={"token": token}).status_code == 303


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8001", "origin": "http://localhost:8001"}, 200),
        ({"host": "evil.example:8001"}, 421),
        ({"host": "127.0.0.1:9999"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://localhost:8001"}, 403),
        ({"origin": None}, 403),
        ({"origin": "null"}, 403),
        ({"x-llm-console": None}, 403),
        ({"x-llm-console": "0"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": None}, 415),
        ({"cookie": "llm-console-8001=guessed"}, 401),
        ({"content-length": "many"}, 413),
        ({"content-length": str(BODY_BYTES + 1)}, 413),
    ],
)
async def test_only_the_consoles_own_page_may_write(headers: dict[str, Any], status: int) -> None:
    async with open_console(FakeCluster(moving())) as (console, _):
        browser = browse(console)
        if "cookie" in headers:
            browser.cookies.clear()
        answer = act(browser, **headers)
        assert answer.status_code == status
        if status != 200:
            assert set(answer.json()["error"]) == {"message", "code"}


@pytest.mark.parametrize("path", ["/api/fleet", ONE, f"{ONE}/live"])
async def test_nothing_is_read_without_the_cookie(path: str) -> None:
    cluster = FakeCluster(moving())
    async with open_console(cluster) as (console, _):
        answer = browse(console, known=False).get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "no_session")
        assert cluster.reads == 0


@pytest.mark.parametrize("path", ["/", "/api/fleet", "/api/nothing", "/nothing.js", "/../secret"])
async def test_every_answer_forbids_what_the_page_does_not_need(path: str) -> None:
    async with open_console(FakeCluster(moving())) as (console, _):
        for browser in (browse(console), browse(console, known=False)):
            answer = browser.get(path)
            assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    policy = HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


async def test_a_body_without_a_length_is_measured_while_it_arrives() -> None:
    def pieces() -> Iterator[bytes]:
        yield from (b" " * (BODY_BYTES // 2) for _ in range(3))

    async with open_console(FakeCluster(moving())) as (console, _):
        answer = browse(console).post(f"{ONE}/actions", content=pieces(), headers=WRITE)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"action": "delete", "preview": True},
        {"action": "promote"},
        {"action": "promote", "preview": True, "patch": {}},
        [],
    ],
)
async def test_a_body_that_is_not_of_the_contract_is_refused(body: Any) -> None:
    async with open_console(FakeCluster(moving())) as (console, _):
        answer = act(browse(console), body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


async def test_the_page_is_served_with_its_files_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page/index.html").write_text("<p>page</p>")
    (tmp_path / "page/main.js").write_text("1")
    (tmp_path / "secret").write_text("s")
    async with open_console(FakeCluster(moving()), page=tmp_path / "page") as (console, _):
        browser = browse(console)
        assert browser.get("/").text == "<p>page</p>"
        assert browser.get("/main.js").text == "1"
        for path in ("/%2e%2e/secret", "/..%2fsecret", "/main.css"):
            assert browser.get(path).status_code == 404
        assert browse(console, known=False).get("/").status_code == 401


async def test_without_its_files_the_page_says_so() -> None:
    async with open_console(FakeCluster(moving())) as (console, _):
        answer = browse(console).get("/")
        assert (answer.status_code, "dev.console_page" in answer.text) == (503, True)


async def test_texts_of_users_are_data_and_never_html() -> None:
    evil = moving()
    evil["status"]["conditions"][1]["message"] = "<script>alert(1)</script>"
    async with open_console(FakeCluster(evil)) as (console, _):
        for path in ("/api/fleet", ONE, "/api/llmdeployments/<b>/<i>"):
            answer = browse(console).get(path)
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_all_browsers_share_one_read_in_two_seconds() -> None:
    cluster = FakeCluster(moving())
    async with open_console(cluster) as (console, clock):
        one, other = browse(console), browse(console)
        assert one.get("/api/fleet").json() == other.get("/api/fleet").json()
        assert one.get(ONE).json()["name"] == "chat"
        assert cluster.reads == 1
        clock.now += SECONDS
        one.get("/api/fleet")
        assert cluster.reads == 2


async def test_an_api_server_that_starts_again_is_waited_for_and_then_named() -> None:
    cluster = FakeCluster(moving())
    async with open_console(cluster) as (console, clock):
        browser = browse(console)
        assert browser.get("/api/fleet").status_code == 200
        cluster.answers = False
        clock.now += 10
        assert browser.get("/api/fleet").status_code == 200
        clock.now += 60
        gone = browser.get("/api/fleet")
        assert (gone.status_code, gone.json()["error"]["message"]) == (
            502,
            "the API server does not answer",
        )


async def test_an_unknown_deployment_is_named() -> None:
    async with open_console(FakeCluster(moving())) as (console, _):
        answer = browse(console).get("/api/llmdeployments/shop/other")
        assert answer.status_code == 404
        assert "no LLMDeployment other in namespace shop" in answer.json()["error"]["message"]


async def test_an_action_is_shown_first_and_then_done() -> None:
    cluster = FakeCluster(moving())
    async with open_console(cluster) as (console, _):
        browser = browse(console)
        shown = act(browser).json()
        assert shown["command"] == "kubectl llm promote chat -n shop"
        assert shown["patch"]["metadata"]["annotations"] == {"llmdeployment.dev/promote": "4/2"}
        assert cluster.applied == []
        assert act(browser, {"action": "promote", "preview": False}).json() == {"applied": True}
        assert cluster.applied == [(OWNER, "promote", None)]
        # What was written is read at once.
        browser.get("/api/fleet")
        assert cluster.reads == 2


async def test_an_action_that_is_not_possible_says_why() -> None:
    cluster = FakeCluster(moving())
    async with open_console(cluster) as (console, _):
        for preview in (True, False):
            answer = act(browse(console), {"action": "resume", "preview": preview})
            assert answer.status_code == 409
            assert "is not paused" in answer.json()["error"]["message"]
        assert cluster.applied == []


async def read_events(console: Console, count: int) -> list[tuple[str, Any]]:
    """Return the first events of a stream."""
    found: list[tuple[str, Any]] = []
    async with asyncio.timeout(10):
        async for raw in _watch(console, ANYBODY, OWNER):
            name, _, data = raw.decode().partition("\n")
            if not name.startswith(":"):
                found.append(
                    (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
                )
            if len(found) == count:
                break
    return found


async def test_a_stream_has_the_past_then_the_document_and_then_each_point() -> None:
    cluster = FakeCluster(moving())
    async with open_console(cluster) as (console, clock):

        async def let_time_pass() -> None:
            for _ in range(400):
                clock.now += 0.1
                # The streams look at the test's clock.
                await asyncio.sleep(0.001)  # why: it lets both loops take a turn

        passing = asyncio.create_task(let_time_pass())
        one, other = await asyncio.gather(read_events(console, 3), read_events(console, 3))
        passing.cancel()
        for events in (one, other):
            assert [name for name, _ in events] == ["history", "deployment", "point"]
        ((_, past), (_, document), (_, later)) = one
        assert later["at"] > past["points"][-1]["at"]
        assert later == other[2][1]
        assert "does not give its points" in past["message"]
        assert past["points"][0]["replicas"] == {"ready": 4, "desired": 4}
        assert past["points"][0]["analysis"]["ttft>500ms"]["requests"] == 412
        assert document["name"] == "chat"


async def test_a_stream_sends_the_document_again_when_it_changes_and_ends_with_the_object() -> None:
    cluster = FakeCluster(moving())
    async with open_console(cluster) as (console, clock):
        names = []
        async with asyncio.timeout(10):
            async for raw in _watch(console, ANYBODY, OWNER):
                names.append(raw.decode().partition("\n")[0])
                if names == ["event: history", "event: deployment"]:
                    cluster.deployments = [moving(resourceVersion="78")]
                    clock.now += SECONDS
                elif names[-1] == "event: deployment":
                    cluster.deployments = []
                    clock.now += SECONDS
        assert names == ["event: history", "event: deployment", "event: deployment"]


async def test_too_many_streams_are_refused() -> None:
    async with open_console(FakeCluster(moving())) as (console, _):
        console.places.open = MOST
        answer = browse(console).get(f"{ONE}/live")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_many_streams")
        assert console.places.open == MOST


async def test_a_stream_gives_its_place_back_however_it_ends() -> None:
    async with open_console(FakeCluster(moving())) as (console, _):

        async def break_off() -> Any:
            yield b"one"
            raise ConnectionResetError

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(_: Any) -> None:
            assert console.places.open == 1

        scope: Any = {"type": "http", "asgi": {"spec_version": "2.3"}}
        with pytest.raises(ConnectionResetError):
            await EventStream(break_off(), console.places)(scope, receive, send)
        assert console.places.open == 0


async def test_points_come_from_the_operator_and_only_those_that_are_new() -> None:
    past = [point(), {**point(), "at": "2026-11-24T12:00:05.000Z"}]
    fleet = {
        "items": [
            {"namespace": "shop", "name": "chat", "point": past[1], "ttftP90ByMinute": [0.4] * 60}
        ]
    }
    documents = {"/live/shop/chat": {"points": past}, "/live": fleet}
    with run_pod(**documents) as (base, pod):
        ways = FakeWays(base)
        async with open_console(FakeCluster(moving(), operators=[OPERATOR]), ways) as (
            console,
            clock,
        ):
            events = await read_events(console, 2)
            pod.documents = {"/live/shop/chat": {"points": []}, "/live": fleet}
            clock.now += 5
            history = console.histories.find(OWNER, "u-1")
            await history.refresh(moving(), console.clock())
            item = (await console.points.read_fleet())[OWNER]
    assert events[0] == ("history", {"points": past, "message": None})
    assert events[1][1]["revisions"][0]["ttftP90"] == past[1]["revisions"]["4"]["ttftP90"]
    assert item["ttftP90ByMinute"][0] == 0.4
    asked = [path for path, _, _ in pod.requests if path.startswith("/live/")]
    assert asked == ["/live/shop/chat", "/live/shop/chat?after=2026-11-24T12:00:05.000Z"]
    assert set(ways.places) == {("llm-system", "deploy/llm", 8080)}


async def test_an_operator_that_is_older_is_not_asked_again_at_once() -> None:
    with run_pod() as (base, pod):
        async with open_console(FakeCluster(moving(), operators=[OPERATOR]), FakeWays(base)) as (
            console,
            clock,
        ):
            await read_events(console, 2)
            assert len(pod.requests) == 1
            clock.now += 31
            await console.points.read_fleet()
            assert len(pod.requests) == 2


async def test_the_fleet_does_not_wait_for_an_operator_that_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(operator_points, "_PATIENCE", 0)
    opened = asyncio.Event()

    class SlowWays(FakeWays):
        async def find(self, place: Any) -> str:
            await opened.wait()
            return await super().find(place)

    fleet = {"items": [{"namespace": "shop", "name": "chat", "point": point()}]}
    with run_pod(**{"/live": fleet}) as (base, _pod):
        cluster = FakeCluster(moving(), operators=[OPERATOR])
        async with open_console(cluster, SlowWays(base)) as (console, _), asyncio.timeout(10):
            assert await console.points.read_fleet() == {}
            opened.set()
            assert console.points._reading is not None
            await console.points._reading
            found = await console.points.read_fleet()
    assert found[OWNER]["point"] == point()
