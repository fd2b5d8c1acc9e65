"""Requests to a gateway of the local cluster: one, or a load on it while something changes."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from dev.demo import load as demo

HELLO = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}


@dataclass
class Outcome:
    """What came back: requests by status (0: none at all), the first failures, and the longest wait in seconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    longest: float = 0.0
    revisions: Counter[str] = field(default_factory=Counter)
    """Answers by the revision that they say gave them."""

    @property
    def failed(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != 200)


class Load(demo.Load):
    """Says hello to a model so many times a second as nobody in particular, from `with` to its end."""

    def __init__(self, url: str, model: str, per_second: float = 3.0) -> None:
        super().__init__(url, model, per_second, lambda _: ("", HELLO))

    @property
    def outcome(self) -> Outcome:
        return Outcome(
            statuses=Counter(answer.status for answer in self.answers),
            failures=[answer.error for answer in self.answers if answer.error][:5],
            longest=max((answer.ended - answer.started for answer in self.answers), default=0.0),
            revisions=Counter(answer.revision for answer in self.answers if answer.status),
        )


def ask(
    url: str, model: str, text: str = "hello", **more: Any
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Ask once; returns status, body and headers."""

    async def one() -> tuple[int, dict[str, Any], dict[str, str]]:
        headers = more.pop("headers", {})
        body = {
            "model": model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": 24,
            **more,
        }
        timeout = aiohttp.ClientTimeout(total=demo.ANSWER_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(f"{url}/chat/completions", json=body, headers=headers) as answer,
        ):
            return answer.status, await answer.json(), dict(answer.headers)

    return asyncio.run(one())
