"""The request log: one JSON object for each answer, to standard output, to files on a claim, or to a collector.

What is collected for a line is what the replica measures and keeps anyway. The rest (the record, redaction, the write) is done by a thread
after the answer has ended. A sink that is slow, full or gone costs lines, which are counted, and never an answer.
"""

import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmdeployment_serving.config import RequestLogConfig
from llmdeployment_serving.log_entry import (
    LONGEST_NAME,
    LogEntry,
    Outcome,
    build_record,
    drop_content,
    keep_prompt,
    measure,
)
from llmdeployment_serving.log_files import MOUNT, FileSink, Retention
from llmdeployment_serving.log_queue import LogCounts, LogWriter, Sink
from llmdeployment_serving.log_stdout import StdoutSink
from llmdeployment_serving.metrics import Owner
from llmdeployment_serving.redaction import Redactor

logger = logging.getLogger(__name__)

_HEADERS = {
    b"x-request-id": "llmdeployment.request_id",
    b"x-llm-unique-id": "llmdeployment.answer_id",
    b"x-llm-arm": "llmdeployment.arm",
    b"x-llm-key-name": "llmdeployment.key",
    b"x-llm-bucket": "llmdeployment.bucket",
}
"""Headers that are kept, by name in the record. The gateway removes what clients send of `x-llm-*`."""
_OPERATIONS = {
    "/v1/completions": "text_completion",
    "/generate_text": "text_completion",
    "/v1/embeddings": "embeddings",
    "/v1/rerank": "rerank",
    "/v2/rerank": "rerank",
    "/v1/score": "score",
    "/classify": "classify",
    "/pooling": "pooling",
}
"""What is not a chat. The conventions have no names for the last four."""
_SHADOW = b"x-llm-shadow"
_GIB = 2**30


class RequestLog:
    """Makes lines of requests, as a configuration says.

    Args:
        config: what is logged, and where.
        owner: the LLMDeployment.
        build_sink: returns where lines go; the event is set when the log ends.
        draw: a random number from 0 to 1.
    """

    def __init__(
        self,
        config: RequestLogConfig,
        owner: Owner,
        build_sink: Callable[[RequestLogConfig, Owner, threading.Event], Sink] | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._owner = owner
        self._build_sink = build_sink or choose_sink
        self._draw = draw
        self.counts = LogCounts()
        self._start(config)

    def take(self, config: RequestLogConfig) -> None:
        """Log as this configuration says from now on; lines that wait still go where they were meant to."""
        if config == self._config:
            return
        self._writer.end()
        self._start(config)

    def begin(self, path: str, headers: Mapping[bytes, bytes], revision: str) -> LogEntry | None:
        """Return the entry of a request, or None if it is not drawn, or is one that no client sent."""
        config = self._config
        if _SHADOW in headers or self._draw() * 100 >= config.sample_percent:
            return None
        operation = _OPERATIONS.get(path, "chat")
        known = {
            name: value.decode("latin-1")[:LONGEST_NAME]
            for header, name in _HEADERS.items()
            if (value := headers.get(header))
        }
        return LogEntry(time.time(), operation, revision, known, config.level == "Content")

    def add(self, entry: LogEntry, outcome: Outcome) -> None:
        """Take a request that has ended. Returns at once."""
        redactor, percent = self._redactor, self._config.sample_percent
        line = {**self._static}
        if not entry.with_content:
            # Lines that wait would hold texts that none of them needs.
            outcome = drop_content(outcome)

        def make() -> dict[str, Any]:
            return build_record(entry, outcome, redactor, percent) | line

        self._writer.put(make, measure(entry, outcome))

    def end(self) -> None:
        """Write what waits, and log nothing more."""
        self._writer.end()

    def close(self) -> None:
        """Write what waits, and return when it is written or takes too long."""
        self._writer.close()

    def describe(self) -> dict[str, Any]:
        """Return this part of `/stats`."""
        return {"requestLog": self.counts.describe()}

    def _start(self, config: RequestLogConfig) -> None:
        self._config = config
        self._redactor = Redactor((each.name, each.pattern) for each in config.redact)
        self._static = describe_pod(self._owner) if config.sink != "OTLP" else {}
        ends = threading.Event()
        self._writer = LogWriter(
            lambda: self._build_sink(config, self._owner, ends), self.counts, ends
        )


def update_log(
    log: RequestLog | None, config: RequestLogConfig | None, owner: Owner
) -> RequestLog | None:
    """Return the log that a configuration asks for; None without one, so that requests cost nothing."""
    if config is None:
        if log is not None:
            log.end()
        return None
    if log is None:
        return RequestLog(config, owner)
    log.take(config)
    return log


def note_request(entry: LogEntry, body: Mapping[str, Any], model: str) -> None:
    """Put into an entry which model was asked for, and with `Content` what for. Called before the revision's prompt is added.

    It raises nothing: a prompt that cannot be read is one that is not logged.
    """
    entry.model = model
    if not entry.with_content:
        return
    try:
        entry.prompt = keep_prompt(body)
    except Exception:  # because a line must not end the request that it is of
        logger.exception("a prompt could not be read for the request log")


def describe_pod(owner: Owner) -> dict[str, str]:
    """Return who writes, by OpenTelemetry's names of resources."""
    found = {
        "k8s.namespace.name": owner.namespace,
        "llmdeployment.name": owner.name,
        "k8s.pod.name": socket.gethostname(),
    }
    return {name: value for name, value in found.items() if value}


def choose_sink(
    config: RequestLogConfig, owner: Owner, ends: threading.Event | None = None
) -> Sink:
    """Return where lines go, until `ends` is set."""
    if config.sink == "OTLP":
        from llmdeployment_serving.log_otlp import OtlpSink, build_exporter  # noqa: PLC0415  # because few replicas have a collector

        resource = {"service.name": owner.name or "llmdeployment", **describe_pod(owner)}
        return OtlpSink(build_exporter(config.endpoint), resource, ends=ends)
    if config.sink == "PVC":
        folder = Path(owner.namespace or "-", owner.name or "-", socket.gethostname())
        retention = Retention(config.retention_days, config.max_size_gib * _GIB)
        return FileSink(MOUNT, folder, retention)
    return StdoutSink()
