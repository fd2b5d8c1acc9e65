"""The agent's side of `POST /v1/feedback`: what is counted, and what each refusal says."""

import json
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from llmdeployment_gateway.feedback import FeedbackServer
from llmdeployment_gateway.forwarding import SEAL_HEADER, Forwarder, ForwardError, seal
from llmdeployment_gateway.logs import FeedbackLog
from llmdeployment_gateway.peers import Peers, choose_pod
from llmdeployment_gateway.signed_ids import read_id, sign
from llmdeployment_gateway.tally import Tally
from llmdeployment_gateway.votes import BODY_BYTES, VoteError

KEY, OWNER = bytes(range(32)), "0123456789abcdef" * 4
START, DAY = 1_700_000_000, 86_400


class Clock:
    """Seconds since 1970."""

    def __init__(self) -> None:
        self.now = float(START)

    def read(self) -> float:
        return self.now


class Line:
    """Stands in for the network: what is sent to each address."""

    def __init__(self, answer: tuple[int, bytes] | str = "nobody is there") -> None:
        self.sent: list[tuple[str, bytes, str]] = []
        self._answer = answer

    async def send(self, host: str, body: bytes, owner: str) -> tuple[int, bytes]:
        self.sent.append((host, body, owner))
        if isinstance(self._answer, str):
            raise ForwardError(self._answer)
        return self._answer


def see(*pods: str, own: str = "a") -> Peers:
    """Return what pod `own` knows that saw these pods when they all began."""
    peers = Peers(own)
    peers.see({pod: f"10.0.0.{ord(pod)}" for pod in pods}, START - 100)
    return peers


def build(
    tally: Tally,
    read_time: Callable[[], float] = lambda: START,
    read_clock: Callable[[], float] = lambda: 0.0,
    peers: Peers | None = None,
    line: Line | None = None,
) -> FeedbackServer:
    """Return the server of a pod that is alone, or has these peers."""
    log = FeedbackLog(read_clock)
    return FeedbackServer(
        KEY, tally, read_time, log, peers or see("a"), cast("Any", line or Line())
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> FeedbackServer:
    return build(Tally(), clock.read)


def write(at: int = START, owner: str = "", score: object = 0.25, **more: Any) -> bytes:
    number = sign(f"u.{at}.70.2.main", owner, KEY)
    return json.dumps({"request_id": number, "score": score, **more}).encode()


def refuse(server: FeedbackServer, body: bytes, owner: str = "") -> tuple[int, str]:
    with pytest.raises(VoteError) as found:
        server.take(body, owner)
    refusal = found.value.refusal
    assert refusal.param == "request_id"
    assert refusal.message.endswith(".")
    return refusal.status, refusal.code


def test_a_vote_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tally = Tally()
    server = build(tally)
    server.take(write(owner=OWNER, comment='not\n"good"'), OWNER)
    assert refuse(server, write(owner=OWNER, score=1), OWNER) == (409, "feedback_given")

    row = tally.rows["main", "2"]
    assert row.groups.describe()["feedback"] == {**row.groups.sum_votes(), "byUser": [[6, 1, 750]]}
    (line,) = caplog.records
    assert line.getMessage().startswith("score 0.25, arm main, revision 2, request u.1700000000.70")
    assert line.getMessage().endswith(', comment "not\\n\\"good\\""')
    found = vars(line)
    assert {name: found[name] for name in ("score", "arm", "revision", "comment")} == {
        "score": 0.25,
        "arm": "main",
        "revision": "2",
        "comment": 'not\n"good"',
    }


def test_a_foreign_id_is_unknown(server: FeedbackServer) -> None:
    assert refuse(server, write(owner=OWNER)) == (404, "unknown_request_id")
    assert refuse(server, write(), OWNER) == (404, "unknown_request_id")


@pytest.mark.parametrize(("at", "taken"), [(0, True), (-1, False), (300, True), (301, False)])
def test_votes_are_for_answers_since_the_start_and_of_a_clock_that_is_little_ahead(
    server: FeedbackServer, at: int, *, taken: bool
) -> None:
    if taken:
        server.take(write(START + at), "")
    else:
        assert refuse(server, write(START + at)) == (410, "feedback_too_late")


def test_votes_come_within_a_day(server: FeedbackServer, clock: Clock) -> None:
    clock.now = START + DAY
    server.take(write(START), "")
    clock.now += 1
    assert refuse(server, write(START)) == (410, "feedback_too_late")


def test_a_vote_that_is_refused_is_neither_counted_nor_remembered(
    clock: Clock,
) -> None:
    tally = Tally()
    server = build(tally, clock.read)
    clock.now = START - 301
    assert refuse(server, write()) == (410, "feedback_too_late")
    assert not tally.rows
    clock.now = START
    server.take(write(), "")


async def test_answers_are_json_in_openais_form(server: FeedbackServer) -> None:
    async with TestClient(TestServer(server.build_app())) as client:

        async def send(body: bytes) -> tuple[int, Any]:
            async with client.post(
                "/v1/feedback", data=body, headers={"x-llm-owner": OWNER}
            ) as answer:
                return answer.status, await answer.json()

        body = write(owner=OWNER)
        number = json.loads(body)["request_id"]
        assert await send(body) == (
            200,
            {"object": "feedback", "request_id": number, "score": 0.25},
        )
        for sent, status, code in (
            (body, 409, "feedback_given"),
            (b"{}", 400, "invalid_feedback"),
            (b" " * (BODY_BYTES + 1), 413, "body_too_large"),
        ):
            found, answer = await send(sent)
            assert (found, answer["error"]["code"]) == (status, code)
            assert answer["error"].keys() == {"message", "type", "param", "code"}


def test_a_rush_of_votes_is_counted_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    server = build(Tally(), read_clock=lambda: now)
    for number in range(150):
        server.take(write(START + number), "")
    now = 1.0
    server.take(write(START + 200), "")
    assert len(caplog.records) == 102
    assert caplog.records[100].getMessage().startswith("50 more votes")


def write_for(pod: str, at: int = START, **more: Any) -> bytes:
    """Return a vote that this one of the pods a and b takes."""
    for number in range(100):
        name = sign(f"u{number}.{at}.70.2.main", OWNER, KEY)
        voted = read_id(name, OWNER, KEY)
        assert voted is not None
        if choose_pod(voted.signature, ["a", "b"]) == pod:
            return json.dumps({"request_id": name, "score": 0.25, **more}).encode()
    raise AssertionError


async def post(
    server: FeedbackServer, body: bytes, **headers: str
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Send a vote as HAProxy does; with a seal, as another pod does."""
    app = server.build_app()
    if SEAL_HEADER in headers:
        app = web.Application()
        server.add_forwarded(app)
    async with TestClient(TestServer(app)) as client:
        sent = {"x-llm-owner": OWNER, **headers}
        async with client.post("/v1/feedback", data=body, headers=sent) as answer:
            return (
                answer.status,
                await answer.json(),
                {name.lower(): value for name, value in answer.headers.items()},
            )


async def test_a_vote_that_another_pod_takes_is_sent_there_with_its_owner() -> None:
    tally, line = Tally(), Line((409, b'{"error": {"code": "feedback_given"}}'))
    server = build(tally, peers=see("a", "b"), line=line)
    body = write_for("b")
    status, answer, headers = await post(server, body)
    assert (status, answer["error"]["code"]) == (409, "feedback_given")
    assert headers["x-should-retry"] == "false"
    assert line.sent == [("10.0.0.98", body, OWNER)]
    assert not tally.rows
    status, answer, headers = await post(server, write_for("a"))
    assert (status, len(line.sent), len(tally.rows)) == (200, 1, 1)
    assert "x-should-retry" not in headers


async def test_a_vote_is_to_be_sent_again_while_the_other_pod_is_away() -> None:
    server = build(Tally(), peers=see("a", "b"))
    status, answer, headers = await post(server, write_for("b"))
    assert (status, answer["error"]["code"]) == (503, "feedback_unavailable")
    assert (headers["retry-after"], answer["error"]["type"]) == ("2", "server_error")
    assert "x-should-retry" not in headers


async def test_a_vote_waits_until_the_pods_are_known() -> None:
    status, answer, _ = await post(build(Tally(), peers=Peers("a")), write(owner=OWNER))
    assert (status, answer["error"]["code"]) == (503, "feedback_unavailable")


async def test_a_foreign_id_goes_to_no_other_pod() -> None:
    line = Line()
    server = build(Tally(), peers=see("a", "b"), line=line)
    assert (await post(server, write()))[0] == HTTPStatus.NOT_FOUND
    assert line.sent == []


@pytest.mark.parametrize(
    ("pod", "sealed", "expected"),
    [
        ("a", True, (200, None)),
        ("a", False, (404, "unknown_request_id")),
        ("b", True, (503, "feedback_unavailable")),
    ],
)
async def test_a_vote_from_another_pod_has_its_seal_and_goes_no_further(
    pod: str, expected: tuple[int, str | None], *, sealed: bool
) -> None:
    line, body = Line(), write_for(pod)
    server = build(Tally(), peers=see("a", "b"), line=line)
    mark = seal(body, OWNER if sealed else "", KEY)
    status, answer, _ = await post(server, body, **{SEAL_HEADER: mark})
    assert (status, answer.get("error", {}).get("code")) == expected
    assert line.sent == []


async def test_a_large_body_from_elsewhere_is_refused_before_anything_is_computed() -> None:
    status, answer, _ = await post(build(Tally()), b" " * (BODY_BYTES + 1), **{SEAL_HEADER: ""})
    assert (status, answer["error"]["code"]) == (413, "body_too_large")


def test_a_vote_that_another_pod_may_have_counted_is_refused(clock: Clock) -> None:
    peers = see("a", "b")
    server = build(Tally(), clock.read, peers=peers)
    clock.now += 60
    body = write_for("b", START + 30)
    peers.see({"a": "10.0.0.97"}, START + 40)
    assert refuse(server, body, OWNER) == (410, "feedback_too_late")
    server.take(write_for("a", START + 30), OWNER)
    server.take(write_for("b", START + 46), OWNER)


async def test_two_pods_count_one_vote_whichever_they_come_to(
    unused_tcp_port_factory: Callable[[], int],
) -> None:
    """Two servers on one port of two addresses, with the real HTTP client between them."""
    port = unused_tcp_port_factory()
    where = {"a": "127.0.0.1", "b": "127.0.0.2"}
    tallies = {pod: Tally() for pod in where}
    fronts: dict[str, TestClient[web.Request, web.Application]] = {}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        for pod, host in where.items():
            peers = Peers(pod)
            peers.see(where, START - 100)
            server = FeedbackServer(
                KEY,
                tallies[pod],
                lambda: START,
                FeedbackLog(lambda: 0.0),
                peers,
                Forwarder(session, port, KEY),
            )
            inner = web.Application()
            server.add_forwarded(inner)
            await stack.enter_async_context(TestServer(inner, host=host, port=port))
            front = TestClient(TestServer(server.build_app()))
            fronts[pod] = await stack.enter_async_context(front)
        found = []
        for body in (write_for("a"), write_for("b")):
            for pod in ("a", "b", "a"):
                async with fronts[pod].post(
                    "/v1/feedback", data=body, headers={"x-llm-owner": OWNER}
                ) as answer:
                    found.append(answer.status)
    assert found == [200, 409, 409] * 2
    assert [t.rows["main", "2"].groups.sum_votes()["votes"] for t in tallies.values()] == [1, 1]


async def test_an_agent_that_has_no_such_path_did_not_take_the_vote(
    unused_tcp_port_factory: Callable[[], int],
) -> None:
    port = unused_tcp_port_factory()
    async with (
        aiohttp.ClientSession() as session,
        TestServer(web.Application(), host="127.0.0.1", port=port),
    ):
        with pytest.raises(ForwardError, match="takes no votes from other pods"):
            await Forwarder(session, port, KEY).send("127.0.0.1", b"{}", "")
    with pytest.raises(ForwardError):
        async with aiohttp.ClientSession() as session:
            await Forwarder(session, port, KEY).send("127.0.0.1", b"{}", "")
