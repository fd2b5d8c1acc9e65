"""Spans of answers: one for each that is sampled, and for each that failed or was slow, whatever was drawn.

A span is made once its answer has ended, from times that were noted on the way, so whether it is worth one is decided at the end. The
attributes that begin with `gen_ai.` are those of OpenTelemetry's conventions for generative AI, and `http.` and `error.` those of its
general ones (opentelemetry-semantic-conventions 0.66). The engine's own spans cannot wait for the end: an engine makes some only of a
trace that is sampled from its beginning.
"""

import logging
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from llmdeployment_serving.answer_text import shorten
from llmdeployment_serving.config import TracesConfig
from llmdeployment_serving.engine import Scope
from llmdeployment_serving.metrics import Owner
from llmdeployment_serving.shadow import SHADOW_HEADER
from llmdeployment_serving.span import Attribute, Span
from llmdeployment_serving.span_export import ENDPOINT, SpanExport
from llmdeployment_serving.trace_context import (
    TRACEPARENT,
    TRACESTATE,
    TraceContext,
    format_traceparent,
    join_trace,
)
from llmdeployment_serving.usage import Usage

logger = logging.getLogger(__name__)

MOST_CHARACTERS = 256
"""Characters of a text that a client chose, as an attribute."""
_HEADERS = (
    (b"x-llm-arm", "llmdeployment.arm"),
    (b"x-llm-bucket", "llmdeployment.bucket"),
    (b"x-request-id", "llmdeployment.request_id"),
)
_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "chat",
    "/v1/responses": "chat",
    "/v1/completions": "text_completion",
    "/generate_text": "text_completion",
    "/v1/embeddings": "embeddings",
}
"""The names of the conventions; the other paths generate nothing."""
_HELD = b"x-llm-held"
_NUMBERS = (
    ("max_tokens", "gen_ai.request.max_tokens", int),
    ("max_completion_tokens", "gen_ai.request.max_tokens", int),
    ("temperature", "gen_ai.request.temperature", float),
    ("top_p", "gen_ai.request.top_p", float),
)
_MOST_DIGITS = 9
_TOO_LARGE = 2**53
"""OTLP has no place for larger integers than 64 bits, and one of a client's or an API's must not cost a whole batch of spans."""


@dataclass(frozen=True)
class Answer:
    """What is known of an answer once it has ended.

    Attributes:
        status: HTTP status; 499 if the client left.
        seconds: from the request's arrival to the answer's end.
        first_chunk: seconds to the first chunk with tokens of a streamed answer, or None.
        cut: whether the answer was cut off, and not by the client.
        usage: its tokens, if the engine says so.
        output_tokens: tokens that were counted where it does not.
        finish_reasons: why its choices ended.
    """

    status: int
    seconds: float
    first_chunk: float | None = None
    cut: bool = False
    usage: Usage | None = None
    output_tokens: int | None = None
    finish_reasons: tuple[str, ...] = ()


@dataclass
class Trace:
    """The trace of one request, while it is answered.

    Attributes:
        context: the trace, and the span that the request was sent by.
        span_id: the answer's own span.
        known: attributes that are known so far.
        config: which answers get a span.
        engine: name of the engine.
        export: takes the span.
        operation: what was asked for, by the name of the conventions; empty if that is not known.
        model: the model that was asked for; empty if none was.
    """

    context: TraceContext
    span_id: str
    known: dict[str, Attribute]
    config: TracesConfig
    engine: str
    export: SpanExport
    operation: str = ""
    model: str = ""

    def describe_request(self, path: str, body: Mapping[str, Any]) -> None:
        """Note what the client asked for."""
        self.operation = _OPERATIONS.get(path, "")
        if isinstance(model := body.get("model"), str):
            self.model = shorten(model, MOST_CHARACTERS)
            self.known["gen_ai.request.model"] = self.model
        if body.get("stream") is True:
            self.known["gen_ai.request.stream"] = True
        for name, attribute, kind in _NUMBERS:
            value = body.get(name)
            if isinstance(value, int | float) and abs(value) < _TOO_LARGE:
                self.known[attribute] = kind(value)

    def pass_on(self, scope: Scope) -> Scope:
        """Return the request for the engine: the next span's parent is this one. A malformed trace is not passed on."""
        names = {TRACEPARENT} if self.context.parent_id else {TRACEPARENT, TRACESTATE}
        headers = [(name, value) for name, value in scope["headers"] if name not in names]
        own = format_traceparent(self.context.trace_id, self.span_id, sampled=self.context.sampled)
        return {**scope, "headers": [*headers, (TRACEPARENT, own)]}

    def is_wanted(self, status: int, seconds: float) -> bool:
        """Say whether an answer that has ended gets a span."""
        return is_exported(self.config, status, seconds, sampled=self.context.sampled)

    def finish(self, answer: Answer) -> None:
        """Export the answer's span."""
        self.export.put(build_span(self, answer, time.time_ns()))


class AnswerSpans:
    """Makes the spans of a replica's answers, while its configuration wants them; otherwise nothing, not even an import.

    Args:
        engine: name of the engine.
        owner: the LLMDeployment.
        make_export: makes what takes the spans, once, when they are first wanted. None: it sends them where the environment says.
    """

    def __init__(
        self, engine: str, owner: Owner, make_export: Callable[[], SpanExport] | None = None
    ) -> None:
        self._engine = engine
        self._owner = owner
        self._make_export = make_export
        self._config: TracesConfig | None = None
        self._export: SpanExport | None = None

    def take(self, config: TracesConfig | None) -> None:
        """Trace the next requests by this configuration; None: no more."""
        if config is not None and self._export is None:
            if self._make_export is not None:
                self._export = self._make_export()
            elif os.environ.get(ENDPOINT):
                self._export = SpanExport(self._describe_resource())
            elif self._config is None:
                logger.warning(
                    "traces are wanted, but %s of this pod is not set, so none is made. "
                    "Set telemetry.otlpEndpoint of the chart; new replicas have it.",
                    ENDPOINT,
                )
        self._config = config

    def begin(self, scope: Scope, number: str) -> tuple[Trace | None, Scope]:
        """Return the trace of a request for a revision that has just arrived, and the request for the engine.

        There is none while nobody wants traces, nor for a request that no client waits for.
        """
        if (config := self._config) is None or self._export is None:
            return None, scope
        headers = dict(scope["headers"])
        if SHADOW_HEADER.encode() in headers:
            return None, scope
        context = join_trace(
            headers.get(TRACEPARENT), config.sample_percent, random.random, _make_id
        )
        known = {**_read_headers(headers), "llmdeployment.revision": number}
        trace = Trace(context, _make_id(8), known, config, self._engine, self._export)
        return trace, trace.pass_on(scope)

    def count(self) -> dict[str, int] | None:
        """Return how many spans the collector took and how many were dropped; None where nobody ever wanted traces."""
        if self._export is None:
            return None
        return {"exported": self._export.exported, "dropped": self._export.dropped}

    def close(self, seconds: float) -> None:
        """Send what waits, for so many seconds at most."""
        if self._export is not None:
            self._export.close(seconds)

    def _describe_resource(self) -> dict[str, str]:
        return {
            "service.name": "llmdeployment-replica",
            "service.namespace": self._owner.namespace,
            "service.instance.id": os.environ.get("HOSTNAME", ""),
            "k8s.namespace.name": self._owner.namespace,
            "k8s.pod.name": os.environ.get("HOSTNAME", ""),
            "llmdeployment.name": self._owner.name,
        }


def is_exported(config: TracesConfig, status: int, seconds: float, *, sampled: bool) -> bool:
    """Say whether an answer that has ended gets a span: it is sampled, it failed, or it was slow."""
    failed = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return sampled or failed or seconds > config.slower_than_seconds


def build_span(trace: Trace, answer: Answer, ended: int) -> Span:
    """Return the span of an answer that ended at this time, in nanoseconds since 1970."""
    failed = answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    error = "cut_off" if answer.cut else str(answer.status)
    found: dict[str, Attribute | None] = {
        **trace.known,
        "gen_ai.provider.name": trace.engine,
        "gen_ai.operation.name": trace.operation or None,
        "http.response.status_code": answer.status,
        "gen_ai.response.finish_reasons": answer.finish_reasons or None,
        "gen_ai.response.time_to_first_chunk": answer.first_chunk,
        "gen_ai.usage.output_tokens": answer.output_tokens,
        "error.type": error if answer.status >= HTTPStatus.BAD_REQUEST else None,
    }
    if (usage := answer.usage) is not None:
        found["gen_ai.usage.input_tokens"] = min(usage.prompt_tokens, _TOO_LARGE)
        found["gen_ai.usage.output_tokens"] = min(usage.output_tokens, _TOO_LARGE)
        if usage.cached_tokens is not None:
            found["gen_ai.usage.cache_read.input_tokens"] = min(usage.cached_tokens, _TOO_LARGE)
    return Span(
        name=f"{trace.operation or 'request'} {trace.model}".strip(),
        trace_id=trace.context.trace_id,
        span_id=trace.span_id,
        start=ended - round(answer.seconds * 1e9),
        end=ended,
        parent_id=trace.context.parent_id,
        kind="server",
        attributes={name: value for name, value in found.items() if value is not None},
        error=_describe_error(answer) if failed else "",
    )


def _describe_error(answer: Answer) -> str:
    return "the answer was cut off" if answer.cut else f"answered with {answer.status}"


def _read_headers(headers: Mapping[bytes, bytes]) -> dict[str, Attribute]:
    """Return what the gateway says of a request."""
    found: dict[str, Attribute] = {
        attribute: value.decode("latin-1")[:MOST_CHARACTERS]
        for name, attribute in _HEADERS
        if (value := headers.get(name))
    }
    held = headers.get(_HELD, b"")
    if held.isdigit() and len(held) <= _MOST_DIGITS:
        found["llmdeployment.hold_time"] = int(held) / 1000
    return found


def _make_id(size: int) -> str:
    # `random` would do, but a fork copies its state.
    return os.urandom(size).hex()
