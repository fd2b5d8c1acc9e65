import json
import logging
import logging.config
import logging.handlers
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmdeployment_serving.serve_log import (
    LOG,
    LOG_FORMAT,
    PACKAGE,
    list_log_targets,
    name_request,
    restore_log_targets,
    write_own_log,
)


@pytest.fixture
def own_logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger(PACKAGE)
    before = (logger.handlers, logger.level, logger.propagate)
    yield logger
    logger.handlers, logger.level, logger.propagate = before


def test_the_replicas_log_goes_to_the_pods(
    own_logger: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "log"
    monkeypatch.setenv(LOG, str(file))
    write_own_log()
    (handler,) = own_logger.handlers
    assert isinstance(handler, logging.StreamHandler)
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    logging.getLogger(f"{PACKAGE}.keeper").info("the next engine answers")
    logging.getLogger("another").warning("a line of somebody else")
    handler.stream.close()
    (line,) = file.read_text().splitlines()
    assert line.endswith(f"INFO {PACKAGE}.keeper the next engine answers")


@pytest.mark.parametrize("path", [None, "/nowhere/log"])
def test_without_a_file_it_goes_to_stderr(
    own_logger: logging.Logger, path: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LOG, raising=False)
    if path is not None:
        monkeypatch.setenv(LOG, path)
    write_own_log()
    (handler,) = own_logger.handlers
    assert isinstance(handler, logging.StreamHandler)
    assert handler.stream is sys.stderr


def test_a_library_that_configures_logging_takes_no_target_away() -> None:
    logger = logging.getLogger("test.serve_log")
    target = logging.StreamHandler()
    handler = logging.handlers.MemoryHandler(10, target=target)
    logger.addHandler(handler)
    try:
        kept = list_log_targets()
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        assert handler.target is None
        restore_log_targets(kept)
        assert handler.target is target
    finally:
        logger.removeHandler(handler)
        handler.close()


def test_a_line_in_json_names_the_model_and_the_request(
    own_logger: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "log"
    for name, value in {
        LOG: str(file),
        LOG_FORMAT: "json",
        "LLMD_NAMESPACE": "shop",
        "LLMD_NAME": "chat",
    }.items():
        monkeypatch.setenv(name, value)
    write_own_log()
    with name_request('abc "1', "3"):
        own_logger.warning("an engine stopped")
    own_logger.warning("later")
    (handler,) = own_logger.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.stream.close()
    first, second = map(json.loads, file.read_text().splitlines())
    assert first.pop("time")
    assert first == {
        "level": "WARNING",
        "logger": PACKAGE,
        "message": "an engine stopped",
        "namespace": "shop",
        "name": "chat",
        "request_id": 'abc "1',
        "revision": "3",
    }
    assert "request_id" not in second
