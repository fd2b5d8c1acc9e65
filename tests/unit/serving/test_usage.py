"""Tokens: what an answer reports of itself, and what a replica counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.serving.test_asgi import CACHED, HELLO, ROLE, TOKEN, TOLD, answering, counted

from llmdeployment_serving.usage import Usage, find_usage

if TYPE_CHECKING:
    from llmdeployment_serving.engine import ASGIApp


@pytest.mark.parametrize(
    ("app", "tokens"),
    [
        (answering(ROLE, TOKEN, TOKEN, TOKEN), 3),
        (answering(TOKEN, TOKEN), 2),
        (answering(ROLE, TOKEN, TOLD), 70),
        (answering(CACHED, kind=b"application/json"), 20),
    ],
    ids=["after the role", "without a role", "a stream's usage", "a whole answer's usage"],
)
async def test_an_answers_tokens_are_its_usage_or_else_its_chunks(
    app: ASGIApp, tokens: int
) -> None:
    found = (await counted(app, HELLO))["outputTokens"]
    assert (found["count"], found["sum"]) == (1, tokens)


@pytest.mark.parametrize(
    "app",
    [
        answering(b'{"choices": []}', kind=b"application/json"),
        answering(ROLE, TOKEN, TOLD, ends=False),
    ],
    ids=["no usage", "cut short"],
)
async def test_an_answer_of_unknown_length_and_one_cut_short_are_not_counted(app: ASGIApp) -> None:
    assert (await counted(app, HELLO))["outputTokens"]["count"] == 0


async def test_the_caches_part_is_told_only_where_the_engine_tells() -> None:
    told = await counted(answering(CACHED, kind=b"application/json"), HELLO)
    assert (told["promptTokens"], told["cachedPromptTokens"]) == (90, 64)
    assert "promptTokens" not in await counted(answering(ROLE, TOKEN, TOLD), HELLO)


async def test_prompt_tokens_are_counted_of_every_answer_that_reports_its_usage() -> None:
    usage = (await counted(answering(ROLE, TOKEN, TOLD), HELLO))["usage"]
    assert usage == {"answers": 1, "promptTokens": 9}
    silent = answering(b'{"choices": []}', kind=b"application/json")
    assert (await counted(silent, HELLO))["usage"] == {"answers": 0, "promptTokens": 0}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (TOKEN + TOLD + b"data: [DONE]\n\n", Usage(70, 9, None)),
        (CACHED, Usage(20, 90, 64)),
        (b'{"usage":null}', None),
        (b'{"usage":{"prompt_tokens":1}}', None),
        (b'{"usage":{"prompt_tokens":1,"completion_tokens":-1}}', None),
        (b'{"usage":{"prompt_tokens":"1","completion_tokens":1}}', None),
        (b'{"usage":', None),
        (b'["usage"]', None),
    ],
)
def test_usage_is_read_or_it_is_none(body: bytes, expected: Usage | None) -> None:
    assert find_usage(body) == expected
