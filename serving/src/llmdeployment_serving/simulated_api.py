"""OpenAI's API of the simulated engine: parses requests and renders answers, without state."""

import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from llmdeployment_serving.errors import EngineDeadError, build_openai_error
from llmdeployment_serving.queueing import Rates

MARK = "[simulated]"
FINGERPRINT = "simulated"
REFUSAL = ("As", "an", "AI", "language", "model,", "I", "cannot", "help", "with", "that.")
"""The words of an answer that refuses, after the mark."""
REFUSAL_TOKENS = 1 + len(REFUSAL)


class BadRequestError(Exception):
    """A request that the engine cannot answer."""

    def __init__(self, message: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class CompletionRequest:
    """A parsed request."""

    model: str
    prompt: tuple[str, ...]
    """Words; each counts as a token."""
    output_tokens: int
    finish_reason: str
    stream: bool
    include_usage: bool
    chat: bool
    adapter: str | None = None
    refuses: bool = False

    def get_word(self, index: int) -> str:
        """Return the answer's token at `index`: the mark with the adapter, then the words of prompt or refusal again and again."""
        if index == 0:
            return MARK if self.adapter is None else f"{MARK[:-1]} {self.adapter}]"
        words = REFUSAL if self.refuses else self.prompt
        return " " + words[(index - 1) % len(words)]

    def refuse(self) -> "CompletionRequest":
        """Return the request with a refusal for an answer, which is as long as its words unless the client's limit is lower."""
        if self.output_tokens < REFUSAL_TOKENS and self.finish_reason == "length":
            return replace(self, refuses=True)
        return replace(self, refuses=True, output_tokens=REFUSAL_TOKENS, finish_reason="stop")

    def build_usage(self) -> dict[str, int]:
        """Return OpenAI's `usage`."""
        return {
            "prompt_tokens": len(self.prompt),
            "completion_tokens": self.output_tokens,
            "total_tokens": len(self.prompt) + self.output_tokens,
        }


@dataclass(frozen=True)
class Reply:
    """An answer: its request, id and time of creation (Unix seconds)."""

    request: CompletionRequest
    identifier: str
    created: int


def parse_request(
    body: dict[str, Any], model: str, rates: Rates, *, chat: bool, adapter: str | None = None
) -> CompletionRequest:
    """Return the request in `body`.

    Raises:
        BadRequestError: the request names another model, has no prompt, asks for several answers, or exceeds the engine's tokens.
    """
    if body.get("model") not in (None, model):
        raise BadRequestError(f"the model {body['model']!r} does not exist", HTTPStatus.NOT_FOUND)
    if body.get("n") not in (None, 1):
        raise BadRequestError("the simulated engine gives one answer only: set n to 1")
    prompt = _read_chat_words(body.get("messages")) if chat else _read_words(body.get("prompt"))
    if not prompt:
        raise BadRequestError("messages is empty" if chat else "prompt is empty")
    output_tokens, finish_reason = _count_output_tokens(body, prompt, rates)
    total = len(prompt) + output_tokens
    limit = min(rates.max_model_len, rates.kv_cache_tokens)
    if total > limit:
        raise BadRequestError(
            f"the model's context is {limit} tokens, but {len(prompt)} of the prompt and "
            f"{output_tokens} of the answer make {total}"
        )
    options = body.get("stream_options")
    return CompletionRequest(
        model=model,
        prompt=prompt,
        output_tokens=output_tokens,
        finish_reason=finish_reason,
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        chat=chat,
        adapter=adapter,
    )


def _count_output_tokens(
    body: dict[str, Any], prompt: tuple[str, ...], rates: Rates
) -> tuple[int, str]:
    """Return the answer's length and why it ends there; the same prompt and seed give the same length."""
    asked = body.get("max_completion_tokens") or body.get("max_tokens")
    if asked is not None and (not isinstance(asked, int) or asked < 1):
        raise BadRequestError("max_tokens is not a positive whole number")
    if asked is not None and body.get("ignore_eos") is True:
        return asked, "length"
    source = random.Random(f"{rates.seed}:{' '.join(prompt)}")  # noqa: S311  # because a simulation keeps no secret
    own = 1 + int(source.expovariate(1.0 / rates.mean_output_tokens))
    limit = asked or max(1, rates.max_model_len - len(prompt))
    return (own, "stop") if own < limit else (limit, "length")


def _read_chat_words(messages: Any) -> tuple[str, ...]:  # noqa: ANN401  # because a client's JSON may be anything
    if not isinstance(messages, list) or not all(isinstance(item, dict) for item in messages):
        raise BadRequestError("messages is not a list of messages")
    return tuple(word for message in messages for word in _read_words(message.get("content")))


def _read_words(content: Any) -> tuple[str, ...]:  # noqa: ANN401  # because a client's JSON may be anything
    if isinstance(content, str):
        return tuple(content.split())
    if isinstance(content, list):
        texts = (part.get("text") if isinstance(part, dict) else part for part in content)
        return tuple(word for text in texts if isinstance(text, str) for word in text.split())
    return ()


def render_whole(reply: Reply) -> dict[str, Any]:
    """Return the answer as one document."""
    asked = reply.request
    text = "".join(map(asked.get_word, range(asked.output_tokens)))
    content: dict[str, Any] = (
        {"message": {"role": "assistant", "content": text}} if asked.chat else {"text": text}
    )
    choice = {"index": 0, **content, "logprobs": None, "finish_reason": asked.finish_reason}
    kind = "chat.completion" if asked.chat else "text_completion"
    return {**_build_envelope(reply, kind), "choices": [choice], "usage": asked.build_usage()}


async def render_chunks(reply: Reply, tokens: AsyncIterator[int]) -> AsyncIterator[bytes]:
    """Yield the answer as server-sent events, one per token, each as soon as its token is produced."""
    asked = reply.request
    kind = "chat.completion.chunk" if asked.chat else "text_completion"
    envelope = _build_envelope(reply, kind)
    try:
        async for index in tokens:
            if asked.chat and index == 0:
                role = {"delta": {"role": "assistant", "content": ""}, "finish_reason": None}
                yield _format_event({**envelope, "choices": [{"index": 0, **role}]})
            yield _format_event({**envelope, "choices": [_build_choice(asked, index)]})
    except EngineDeadError as error:
        yield _format_event(build_openai_error(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)))
        yield b"data: [DONE]\n\n"
        return
    if asked.include_usage:
        yield _format_event({**envelope, "choices": [], "usage": asked.build_usage()})
    yield b"data: [DONE]\n\n"


def _build_choice(asked: CompletionRequest, index: int) -> dict[str, Any]:
    word = asked.get_word(index)
    content: dict[str, Any] = {"delta": {"content": word}} if asked.chat else {"text": word}
    reason = asked.finish_reason if index == asked.output_tokens - 1 else None
    return {"index": 0, **content, "finish_reason": reason}


def _build_envelope(reply: Reply, kind: str) -> dict[str, Any]:
    return {
        "id": reply.identifier,
        "object": kind,
        "created": reply.created,
        "model": reply.request.model,
        "system_fingerprint": FINGERPRINT,
    }


def _format_event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"
