"""Lines of the request log that only the gateway knows of."""

import json
from typing import Any

import pytest

from llmdeployment_gateway.logs import AccessLog, FeedbackLog
from llmdeployment_gateway.request_lines import RequestLines
from llmdeployment_gateway.settings import read_settings
from llmdeployment_gateway.signed_ids import SignedId
from llmdeployment_gateway.tally import EndedRequest
from llmdeployment_gateway.votes import Vote

NAMED = {"LLMD_NAMESPACE": "team", "LLMD_NAME": "chat", "HOSTNAME": "chat-gateway-0"}
STATIC = {
    "k8s.namespace.name": "team",
    "llmdeployment.name": "chat",
    "k8s.pod.name": "chat-gateway-0",
}
VOTE = Vote(request_id="signed", score=0.25, comment="my card is 4111 1111 1111 1111")
VOTED = SignedId("u-1", 1_700_000_000, 17, "3", "blue", b"signature")


class Written:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.log = RequestLines(NAMED, lambda: 1_700_000_000.25, self.take)

    def take(self, line: str) -> None:
        assert line.endswith("\n")
        self.lines.append(json.loads(line))


def test_a_vote_is_a_line_with_the_id_of_the_answer_and_without_its_comment() -> None:
    written = Written()
    FeedbackLog(lambda: 0.0, written.log).write(VOTE, VOTED)
    assert written.lines == [
        {
            "time": "2023-11-14T22:13:20.250Z",
            "event": "feedback",
            "llmdeployment.answer_id": "u-1",
            "llmdeployment.arm": "blue",
            "llmdeployment.revision": "3",
            "llmdeployment.bucket": "17",
            "llmdeployment.score": 0.25,
            **STATIC,
        }
    ]


@pytest.mark.parametrize(
    ("status", "arm", "is_line"),
    [(401, "", True), (413, "", True), (400, "", True), (200, "", False), (-1, "", False), (503, "blue", False)],
)  # fmt: skip
def test_a_request_that_no_replica_was_asked_is_a_line(
    status: int, arm: str, *, is_line: bool
) -> None:
    written = Written()
    AccessLog(lambda: 0.0, written.log).write(EndedRequest(status, 0.5, "", arm, "", "r-1"))
    line = {
        "time": "2023-11-14T22:13:20.250Z",
        "event": "answer",
        "llmdeployment.request_id": "r-1",
        "http.response.status_code": status,
        "llmdeployment.duration_seconds": 0.5,
        "error.type": str(status),
        **STATIC,
    }
    assert written.lines == ([line] if is_line else [])


def test_a_rush_of_refusals_does_not_fill_a_disk() -> None:
    written = Written()
    log = AccessLog(lambda: 0.0, written.log)
    for _ in range(500):
        log.write(EndedRequest(401, 0.5, "", "", "", "r-1"))
    assert len(written.lines) == 100


def test_lines_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    RequestLines(NAMED).write_vote(VOTE, VOTED)
    RequestLines({}).write_vote(VOTE, VOTED)
    one, two = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert one.items() >= STATIC.items()
    assert not STATIC.keys() & two.keys()


def test_they_are_written_only_where_somebody_asked_for_them() -> None:
    assert not read_settings(NAMED).request_log
    assert read_settings({**NAMED, "LLMD_REQUEST_LOG": "true"}).request_log
