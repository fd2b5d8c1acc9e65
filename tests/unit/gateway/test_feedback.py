"""The agent's side of `POST /v1/feedback`: what is counted, and what each refusal says."""

import json
import logging
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from llmdeployment_gateway.feedback import FeedbackServer
from llmdeployment_gateway.logs import FeedbackLog
from llmdeployment_gateway.signed_ids import sign
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


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> FeedbackServer:
    return FeedbackServer(KEY, Tally(), clock.read, FeedbackLog(lambda: 0.0))


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
    server = FeedbackServer(KEY, tally, lambda: START, FeedbackLog(lambda: 0.0))
    server.take(write(owner=OWNER, comment='not\n"good"'), OWNER)
    assert refuse(server, write(owner=OWNER, score=1), OWNER) == (409, "feedback_given")

    assert tally.rows["main", "2"].badness[70 % 64] == 750
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
    server = FeedbackServer(KEY, tally, clock.read, FeedbackLog(lambda: 0.0))
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
    server = FeedbackServer(KEY, Tally(), lambda: START, FeedbackLog(lambda: now))
    for number in range(150):
        server.take(write(START + number), "")
    now = 1.0
    server.take(write(START + 200), "")
    assert len(caplog.records) == 102
    assert caplog.records[100].getMessage().startswith("50 more votes")
