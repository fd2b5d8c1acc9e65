"""One answer of one revision, streamed: from its replicas, past the gateway, so that a revision without traffic answers too.

The replicas keep such a request out of the counts of their revisions (`x-llm-uncounted`), so no verdict and no latency target sees it.
"""

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from llmdeployment_cli.arms import Object
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.history import Record
from llmdeployment_console.answer_cost import AnswerPrice, describe_cost, find_price
from llmdeployment_console.forwards import Place, Ways
from llmdeployment_operator.api.status_document import read_status

_TIMEOUT = aiohttp.ClientTimeout(total=600, connect=5, sock_read=120)
_LINE_BYTES = 1 << 20
_ERROR_BYTES = 2000


class ChatMessage(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(BaseModel):
    """What the page asks for."""

    model_config = ConfigDict(extra="forbid")
    revision: int = Field(ge=1)
    messages: list[ChatMessage] = Field(min_length=1, max_length=200)
    max_tokens: int = Field(default=512, ge=1, le=8192, alias="maxTokens")


@dataclass(frozen=True)
class Event:
    """One event of the stream: `text`, `end` or `error`, and its data."""

    name: str
    data: dict[str, Any]


def find_replicas(deployment: Object, number: int) -> Place:
    """Return where the replicas of a revision answer.

    Raises:
        Refusal: it has none.
    """
    status, meta = read_status(deployment.get("status")), deployment["metadata"]
    row = next((row for row in status.revisions if row.number == number), None)
    if row is None or row.url is None:
        raise Refusal(
            f"revision {number} has no replicas, so nobody can answer. Choose one that has."
        )
    service, _, _ = (urlsplit(row.url).hostname or "").partition(".")
    return meta["namespace"], f"svc/{service}", urlsplit(row.url).port or 80


def build_fields(request: ChatRequest) -> dict[str, Any]:
    """Return the fields of a request of the page."""
    messages = [message.model_dump() for message in request.messages]
    return {"messages": messages, "max_tokens": request.max_tokens}


@dataclass(frozen=True)
class Question:
    """What one revision is asked.

    Attributes:
        revision: its number.
        place: where its replicas answer.
        body: of the request.
        price: of its answers; None where it is not known.
    """

    revision: int
    place: Place
    body: Mapping[str, Any]
    price: AnswerPrice | None = None


def build_question(
    deployment: Object, records: Sequence[Record], revision: int, fields: Mapping[str, Any]
) -> Question:
    """Return what one revision is asked.

    Args:
        deployment: as the API server has it.
        records: of its revisions.
        revision: the number of one.
        fields: `messages` and others of the request.

    Raises:
        Refusal: it has no replicas.
    """
    model = read_status(deployment.get("status")).model or deployment["metadata"]["name"]
    own = {"model": model, "stream": True, "stream_options": {"include_usage": True}}
    place = find_replicas(deployment, revision)
    return Question(revision, place, {**fields, **own}, find_price(deployment, records, revision))


async def stream_answer(
    session: aiohttp.ClientSession,
    ways: Ways,
    question: Question,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Event]:
    """Yield an answer piece by piece, then how it went; or an error, after which nothing follows."""
    try:
        place = question.place
        base, started = await ways.find(place), clock()
        try:
            answer = await _send(session, base, question)
        except aiohttp.ClientConnectionError:
            # The pod that the forward led to is gone: once more, to another one.
            await ways.drop(place)
            base, started = await ways.find(place), clock()
            answer = await _send(session, base, question)
        async with answer:
            async for event in _read(answer, clock, started, question.price):
                yield event
    except Refusal as refusal:
        yield Event("error", {"message": str(refusal)})
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        reason = str(error) or type(error).__name__
        yield Event("error", {"message": f"The answer was cut off ({reason}). Ask again."})


async def _send(
    session: aiohttp.ClientSession, base: str, question: Question
) -> aiohttp.ClientResponse:
    return await session.post(
        f"{base}/v1/chat/completions",
        json=dict(question.body),
        headers={
            "accept": "text/event-stream",
            "x-llm-revision": str(question.revision),
            "x-llm-uncounted": "true",
        },
        timeout=_TIMEOUT,
        read_bufsize=_LINE_BYTES,
        # A replica runs a tenant's code, and must not lead the console to somebody else's.
        allow_redirects=False,
    )


async def _read(
    answer: aiohttp.ClientResponse,
    clock: Callable[[], float],
    started: float,
    price: AnswerPrice | None,
) -> AsyncIterator[Event]:
    if answer.status != HTTPStatus.OK:
        body = await answer.content.read(_ERROR_BYTES)
        raise Refusal(f"The replica answered {answer.status}: {_read_message(body)}")
    first, chunks, reason, done = None, 0, None, False
    usage: dict[str, Any] = {}
    async for line in answer.content:
        text = line.decode("utf-8", "replace").strip()
        data = text.removeprefix("data:").strip()
        if data == "[DONE]":
            done = True
        if done or not text.startswith("data:"):
            continue
        event = _parse_event(data)
        usage = event.get("usage") or usage
        for choice in event.get("choices") or ():
            reason = choice.get("finish_reason") or reason
            if content := (choice.get("delta") or {}).get("content"):
                first = clock() if first is None else first
                chunks += 1
                yield Event("text", {"text": str(content)})
    if reason is None and not done:
        raise Refusal("The answer was cut off: the replica or the connection ended. Ask again.")
    ended, tokens = clock(), usage.get("completion_tokens") or chunks
    cost = describe_cost(price, ended - started, usage)
    yield Event("end", {**summarize(started, first, ended, tokens, reason), "cost": cost})


def summarize(
    started: float, first: float | None, ended: float, tokens: int, reason: str | None
) -> dict[str, Any]:
    """Return how an answer went. The first token is not among those per second: it is what was waited for.

    Args:
        started: when it was asked for, in seconds; likewise the others.
        first: when its first text came; None if it has none.
        ended: when it ended.
        tokens: how many it has.
        reason: why it ended; None if the engine does not say.

    >>> summarize(10.0, 10.5, 12.5, 41, "stop")
    {'ttft': 0.5, 'seconds': 2.5, 'tokens': 41, 'tokensPerSecond': 20.0, 'finishReason': 'stop'}
    """
    rate = (
        (tokens - 1) / (ended - first)
        if first is not None and tokens > 1 and ended > first
        else None
    )
    return {
        "ttft": round(first - started, 3) if first is not None else None,
        "seconds": round(ended - started, 3),
        "tokens": tokens,
        "tokensPerSecond": round(rate, 1) if rate is not None else None,
        "finishReason": reason,
    }


def _parse_event(data: str) -> dict[str, Any]:
    event = json.loads(data)
    if not isinstance(event, dict):
        raise Refusal("The replica's answer is not a chat completion.")
    if "error" in event:
        raise Refusal(f"The model's server failed: {_read_message(data.encode())}")
    return event


def _read_message(body: bytes) -> str:
    try:
        found = json.loads(body)["error"]
        return str(found["message"] if isinstance(found, dict) else found)
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")
