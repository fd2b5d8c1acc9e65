"""The operator's log: a line in JSON names the LLMDeployment that a pass is about."""

import json
import logging

import pytest

from llmdeployment_operator.logs import name_object, start_logging

pytestmark = pytest.mark.usefixtures("root_logger")


def test_lines_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", "json")
    with name_object("shop", "chat"):
        logging.getLogger("llmdeployment_operator.x").info("apply %s", "Service chat")
    logging.getLogger("other").info("took the Lease")

    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first.pop("time")
    assert first == {
        "level": "INFO",
        "logger": "llmdeployment_operator.x",
        "message": "apply Service chat",
        "namespace": "shop",
        "name": "chat",
    }
    assert "namespace" not in second


def test_lines_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", "text")
    with name_object("shop", "chat"):
        logging.getLogger("x").info("hello")

    assert capsys.readouterr().err.endswith(" INFO x hello\n")
