"""Loads a server with streamed chats and measures it. Needs nothing but Python, so that it runs beside any server on any machine."""

import http.client
import json
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_seconds = 300.0


@dataclass(frozen=True)
class Answer:
    """One answer: seconds to its first text, and its tokens."""

    first: float
    tokens: int


@dataclass(frozen=True)
class Load:
    """One turn's result; `ttft_seconds` is the median over its requests."""

    tokens_per_second: float
    ttft_seconds: float


def run_load(url: str, bodies: Sequence[Mapping[str, Any]]) -> Load:
    """Send all bodies to `/v1/chat/completions` at once, and return what came back.

    Raises:
        RuntimeError: a request failed.
    """
    answers: list[Answer | Exception] = []

    def ask(body: Mapping[str, Any]) -> None:
        try:
            answers.append(ask_one(url, body))
        except Exception as error:  # noqa: BLE001  # because it is raised again, in the thread that waits
            answers.append(error)

    threads = [threading.Thread(target=ask, args=(body,)) for body in bodies]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    found = [answer for answer in answers if isinstance(answer, Answer)]
    if len(found) < len(bodies):
        raise RuntimeError(f"{url}: {[a for a in answers if isinstance(a, Exception)][:3]}")
    return Load(
        sum(answer.tokens for answer in found) / seconds,
        statistics.median(answer.first for answer in found),
    )


def ask_one(url: str, body: Mapping[str, Any]) -> Answer:
    """Stream one chat and return its answer; tokens are those of its usage, else the chunks with text.

    Raises:
        RuntimeError: the status is not 200.
    """
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=_seconds)
    started = time.perf_counter()
    try:
        text = json.dumps({**body, "stream": True})
        kind = {"content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", text, kind)
        with connection.getresponse() as answer:
            if answer.status != http.client.OK:
                raise RuntimeError(f"{answer.status} {answer.read()[:300]!r}")
            return _read(answer, started)
    finally:
        connection.close()


def _read(answer: http.client.HTTPResponse, started: float) -> Answer:
    first, chunks, used = 0.0, 0, 0
    for line in answer:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if "error" in event:
            raise RuntimeError(str(event["error"]))
        choices = event.get("choices") or [{}]
        if choices[0].get("delta", {}).get("content"):
            first = first or time.perf_counter() - started
            chunks += 1
        used = (event.get("usage") or {}).get("completion_tokens", used)
    return Answer(first, used or chunks)


def median_load(turns: Sequence[Load]) -> dict[str, float]:
    """Return the medians of some turns, as JSON.

    >>> median_load([Load(10.0, 0.5), Load(30.0, 0.25), Load(20.0, 1.0)])
    {'tokens_per_second': 20.0, 'ttft_ms': 500.0}
    """
    return {
        "tokens_per_second": round(statistics.median(turn.tokens_per_second for turn in turns), 1),
        "ttft_ms": round(statistics.median(turn.ttft_seconds for turn in turns) * 1000, 1),
    }


def compare_turns(ours: Sequence[Load], theirs: Sequence[Load]) -> dict[str, float]:
    """Return the medians over turns of our tokens/s and TTFT divided by theirs.

    >>> compare_turns([Load(20.0, 0.2)], [Load(10.0, 0.4)])
    {'tokens_ratio': 2.0, 'ttft_ratio': 0.5}
    """
    pairs = list(zip(ours, theirs, strict=True))
    speed = statistics.median(a.tokens_per_second / b.tokens_per_second for a, b in pairs)
    first = statistics.median(a.ttft_seconds / b.ttft_seconds for a, b in pairs)
    return {"tokens_ratio": round(speed, 3), "ttft_ratio": round(first, 3)}
