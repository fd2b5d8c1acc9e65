"""OpenAI's answers of `engine: transformers`, as documents and as streams."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from llmdeployment_serving.errors import EngineDeadError, build_openai_error


@dataclass(frozen=True)
class Piece:
    """A part of an answer.

    Attributes:
        text: what is new.
        tokens: the answer's tokens so far.
        finish_reason: `stop` or `length` in the last piece, else None.
    """

    text: str
    tokens: int
    finish_reason: str | None = None


@dataclass(frozen=True)
class Head:
    """What all parts of an answer have in common.

    Attributes:
        created: Unix seconds.
    """

    identifier: str
    model: str
    created: int
    chat: bool
    prompt_tokens: int

    def build_usage(self, tokens: int) -> dict[str, int]:
        """Return OpenAI's `usage` of an answer of so many tokens."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": self.prompt_tokens + tokens,
        }


async def render_whole(head: Head, pieces: AsyncIterator[Piece]) -> dict[str, Any]:
    """Return the answer as one document, when it is complete."""
    texts: list[str] = []
    last = Piece("", 0)
    async for last in pieces:
        texts.append(last.text)
    text = "".join(texts)
    content: dict[str, Any] = (
        {"message": {"role": "assistant", "content": text}} if head.chat else {"text": text}
    )
    choice = {"index": 0, **content, "logprobs": None, "finish_reason": last.finish_reason}
    kind = "chat.completion" if head.chat else "text_completion"
    usage = head.build_usage(last.tokens)
    return {**_build_envelope(head, kind), "choices": [choice], "usage": usage}


async def render_stream(
    head: Head, pieces: AsyncIterator[Piece], *, include_usage: bool
) -> AsyncIterator[bytes]:
    """Yield the answer as server-sent events; leaving early closes `pieces`."""
    try:
        async for event in _render_events(head, pieces, include_usage=include_usage):
            yield event
    except EngineDeadError as error:
        yield _format_event(build_openai_error(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)))
    finally:
        await pieces.aclose()  # type: ignore[attr-defined]  # because it is an async generator
    yield b"data: [DONE]\n\n"


async def _render_events(
    head: Head, pieces: AsyncIterator[Piece], *, include_usage: bool
) -> AsyncIterator[bytes]:
    envelope = _build_envelope(head, "chat.completion.chunk" if head.chat else "text_completion")
    last: Piece | None = None
    async for piece in pieces:
        if head.chat and last is None:
            role = {"delta": {"role": "assistant", "content": ""}, "finish_reason": None}
            yield _format_event({**envelope, "choices": [{"index": 0, **role}]})
        last = piece
        yield _format_event({**envelope, "choices": [_build_choice(head, piece)]})
    if include_usage and last is not None:
        usage = head.build_usage(last.tokens)
        yield _format_event({**envelope, "choices": [], "usage": usage})


def _build_choice(head: Head, piece: Piece) -> dict[str, Any]:
    content: dict[str, Any] = (
        {"delta": {"content": piece.text}} if head.chat else {"text": piece.text}
    )
    return {"index": 0, **content, "logprobs": None, "finish_reason": piece.finish_reason}


def _build_envelope(head: Head, kind: str) -> dict[str, Any]:
    return {
        "id": head.identifier,
        "object": kind,
        "created": head.created,
        "model": head.model,
    }


def _format_event(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return b"data: " + text.encode(errors="replace") + b"\n\n"
