"""Passes an answer on to the client, measures its times and lets somebody look at its text."""

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from llmdeployment_serving.answer_spans import Answer
from llmdeployment_serving.bodies import CLIENT_LEFT
from llmdeployment_serving.body_forms import CHAT
from llmdeployment_serving.engine import Message, Send
from llmdeployment_serving.log_entry import LogEntry, Outcome
from llmdeployment_serving.stats import RevisionStats, Sample
from llmdeployment_serving.usage import Usage, find_pooled_usage, find_usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmdeployment_serving.answer_spans import Trace
    from llmdeployment_serving.answer_watch import AnswerWatch
    from llmdeployment_serving.body_forms import AnswerForm

REVISION_HEADER = b"x-llm-revision"


class Probe:
    """Passes an answer on and measures its times.

    `bucket` is the prompt's length bucket, and `watch` looks at what the model says; both are known once the body was read. `group` is
    the user's, if a gateway sent the request. `samples` are what the request is counted in. `trace` is that of the request, where
    traces are wanted, and `entry` its line of the log, if it has one. Without a `form`, the answer has no tokens.
    """

    def __init__(self, stats: RevisionStats, started: float, number: str, send: Send) -> None:
        self._stats = stats
        self._started = started
        self._number = number
        self._send = send
        self._status = CLIENT_LEFT
        self._streams = False
        self._first_chunk: float | None = None
        self._last_chunk: float | None = None
        self._chunks = 0
        self._usage: Usage | None = None
        self.bucket = 0
        self.group: int | None = None
        self.samples: tuple[Sample, ...] = (stats.whole,)
        self.watch: AnswerWatch | None = None
        self.entry: LogEntry | None = None
        self._found: dict[str, bool] = {}
        self.form: AnswerForm | None = CHAT.answer
        self.trace: Trace | None = None
        self._ended = False
        self._cut = False

    @property
    def is_answered(self) -> bool:
        """Whether the client has a whole answer with status 200."""
        return self._ended and self._status == HTTPStatus.OK

    def describe_request(self, path: str, body: "Mapping[str, Any]") -> None:
        """Note for the span, if there may be one, what the client asked for."""
        if self.trace is not None:
            self.trace.describe_request(path, body)

    async def send(self, message: Message) -> None:
        """Forward one ASGI message."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = list(message.get("headers", ()))
            self._streams = any(
                name.lower() == b"content-type" and value.startswith(b"text/event-stream")
                for name, value in headers
            )
            if self.watch is not None:
                self.watch.start(headers)
            headers.append((REVISION_HEADER, self._number.encode()))
            message = {**message, "headers": headers}
        await self._send(message)
        if message["type"] == "http.response.body":
            if self._streams and message.get("body"):
                self._count_chunk(message["body"])
            if self.watch is not None:
                self.watch.add(message.get("body", b""))
            find = find_pooled_usage if self.form is None else find_usage
            self._usage = find(message.get("body", b"")) or self._usage
            self._ended = not message.get("more_body", False)

    def _count_chunk(self, body: bytes) -> None:
        """Count a chunk that carries tokens; the role, usage and [DONE] chunks come together with another one, without a gap."""
        if self.form is None or not self.form.token.search(body):
            return
        now = time.monotonic()
        if self._last_chunk is None:
            self._first_chunk = now - self._started
            for sample in self.samples:
                sample.ttft.observe(self._first_chunk, self.bucket, self.group)
            role = self.form.role is not None and bool(self.form.role.search(body))
            self._last_chunk = -1.0 if role else now
            self._chunks = 0 if role else 1
            return
        if self._last_chunk >= 0:
            for sample in self.samples:
                sample.itl.observe(now - self._last_chunk, self.bucket, self.group)
        self._last_chunk = now
        self._chunks += 1

    def mark_cut(self) -> None:
        """Record that the answer was cut off, and not because the client left."""
        self._ended, self._status = True, HTTPStatus.BAD_GATEWAY
        self._cut = True
        self.refuse("answer_cut")

    def mark_failed(self) -> None:
        """Record that an error of the replica or the engine ended the request, and not its client."""
        if not self._ended:
            self._ended, self._status = True, HTTPStatus.INTERNAL_SERVER_ERROR

    def refuse(self, code: str | None) -> None:
        """Record by which code a request is refused, for the request log."""
        if self.entry is not None:
            self.entry.error = code or ""

    def finish(self) -> None:
        """Count the request, and export its span if it gets one."""
        if not self._ended:
            self._status = CLIENT_LEFT
        elif self._status < HTTPStatus.BAD_REQUEST:
            self._count_finished(time.monotonic() - self._started)
            self._count_tokens()
        self._stats.requests[str(int(self._status))] += 1
        if self.trace is not None:
            self._finish_trace(self.trace)

    def _finish_trace(self, trace: "Trace") -> None:
        status, seconds = int(self._status), time.monotonic() - self._started
        if trace.is_wanted(status, seconds):
            trace.finish(
                Answer(
                    status=status,
                    seconds=seconds,
                    first_chunk=self._first_chunk,
                    cut=self._cut,
                    usage=self._usage,
                    output_tokens=self._chunks or None,
                    finish_reasons=() if self.watch is None else self.watch.read_finish_reasons(),
                )
            )

    def describe(self) -> Outcome:
        """Return what the answer was like, for the request log; after `finish`."""
        watch = self.watch
        if watch is not None and not watch.choices:
            watch.read()
        return Outcome(
            status=self._status,
            seconds=time.monotonic() - self._started,
            first_chunk_seconds=self._first_chunk,
            usage=self._usage,
            chunks=self._chunks,
            found=self._found,
            choices=() if watch is None else watch.choices,
            error="" if watch is None else watch.error,
        )

    def _count_finished(self, seconds: float) -> None:
        found = self._found = {} if self.watch is None else self.watch.finish()
        for sample in self.samples:
            sample.e2e.observe(seconds, self.bucket, self.group)
            sample.shares.add(found, self.bucket, self.group)

    def _count_tokens(self) -> None:
        usage = self._usage
        tokens = usage.output_tokens if usage else self._chunks or None
        if tokens is not None and self.form is not None:
            for sample in self.samples:
                sample.output_tokens.observe(tokens, self.bucket, self.group)
        if usage:
            self._stats.usage_answers += 1
            self._stats.usage_prompt_tokens += usage.prompt_tokens
        if usage and usage.cached_tokens is not None:
            self._stats.prompt_tokens += usage.prompt_tokens
            self._stats.cached_prompt_tokens += usage.cached_tokens
