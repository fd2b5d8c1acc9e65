"""The gateway's access log: a line for each request with its id, and never too many."""

import json
from dataclasses import replace

import pytest

from llmdeployment_gateway.logs import AccessLog, start_logging
from llmdeployment_gateway.request_lines import RequestLines
from llmdeployment_gateway.tally import EndedRequest

ENDED = EndedRequest(200, 1.5, "client", "main", "3", 'id "7"')


pytestmark = pytest.mark.usefixtures("root_logger")


def test_a_request_is_found_by_its_id(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"LLMD_LOG_FORMAT": "json", "LLMD_NAMESPACE": "shop", "LLMD_NAME": "chat"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    start_logging()
    AccessLog(lambda: 0.0).write(ENDED)

    line = json.loads(capsys.readouterr().err)
    assert line.pop("time")
    assert line == {
        "level": "INFO",
        "logger": "access",
        "message": '200 in 1.500 s, arm main, revision 3, request id "7"',
        "namespace": "shop",
        "name": "chat",
        "status": 200,
        "seconds": 1.5,
        "cut_by": "client",
        "arm": "main",
        "revision": "3",
        "request_id": 'id "7"',
    }


def test_a_refusal_is_a_line_of_the_request_log_also_in_a_rush_of_answers() -> None:
    written: list[str] = []
    log = AccessLog(lambda: 0.1, RequestLines({}, write=written.append))
    for _ in range(150):
        log.write(ENDED)
    assert written == []
    for _ in range(101):
        log.write(replace(ENDED, arm="", revision="", status=401))
    assert len(written) == 100


def test_a_rush_is_counted_and_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging()
    clock = iter([0.1] * 150 + [1.0])
    log = AccessLog(lambda: next(clock))
    for _ in range(151):
        log.write(ENDED)

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 102
    assert lines[100].endswith("50 more requests ended in that second and are not logged")
