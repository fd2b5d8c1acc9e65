"""The evaluation against a stand-in of a replica and of a judge on the loopback interface."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from llmdeployment_serving.errors import ServingError
from llmdeployment_serving.evaluate import Evaluation, Judge, evaluate
from llmdeployment_serving.golden import Question, hash_questions, parse_golden

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Reply = tuple[int, Any]


class Stand:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.reply: Callable[[str], Reply] = lambda said: (200, chat(f"You said {said}."))
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.together: asyncio.Barrier | None = None
        self.at_once = self.most_at_once = 0
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        self.server = TestServer(app, host="127.0.0.1")

    @property
    def url(self) -> str:
        return str(self.server.make_url("/")).rstrip("/")

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((headers, body))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.together is not None:
            await self.together.wait()
        self.at_once -= 1
        status, document = self.reply(body["messages"][-1]["content"])
        return web.json_response(document, status=status)


def chat(text: object) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    found = Stand()
    async with found.server:
        yield found


def examination(stand: Stand, **more: Any) -> Evaluation:
    return replace(Evaluation(stand.url, "7", "chat", pause_seconds=0.001), **more)


def questions(*rows: dict[str, Any]) -> tuple[Question, ...]:
    return parse_golden("\n".join(json.dumps(row) for row in rows))


def asks(prompt: str, **expect: Any) -> dict[str, Any]:
    return {"id": prompt, "prompt": prompt, "expect": expect}


async def test_the_score_is_the_share_of_good_answers(stand: Stand) -> None:
    golden = questions(
        asks("one", contains=["one"]), asks("two", exact="two"), asks("three", regex="thr..")
    )
    found = json.loads(await evaluate(examination(stand), golden))
    assert (found["score"], found["passed"], found["total"]) == (66, 2, 3)
    assert found["failures"] == [{"id": "two", "why": "is 'You said two.', not 'two'"}]


async def test_the_result_says_which_questions_passed_and_names_first_what_the_baseline_could(
    stand: Stand,
) -> None:
    golden = questions(asks("a", exact="no"), asks("b", contains=["b"]), asks("c", exact="no"))
    baseline = f"{hash_questions(golden)}:{base64.b64encode(bytes([0b01100000])).decode()}"
    found = json.loads(await evaluate(examination(stand, baseline=baseline), golden))
    assert base64.b64decode(found["answers"]) == bytes([0b01000000])
    assert found["wrong"] == [[3, "c"], [1, "a"]]
    assert found["contents"] == hash_questions(golden)


async def test_the_request_names_the_revision_and_is_cold_unless_the_question_says(
    stand: Stand,
) -> None:
    golden = questions(
        asks("plain", contains=["plain"]),
        {**asks("own", contains=["own"]), "parameters": {"temperature": 1, "max_tokens": 3}},
        {**asks("newer", contains=["n"]), "parameters": {"max_completion_tokens": 5}},
    )
    await evaluate(examination(stand, concurrency=1, max_tokens=64), golden)
    (headers, plain), (_, own), (_, newer) = stand.asked
    assert headers["x-llm-revision"] == "7"
    assert plain == {
        "model": "chat",
        "temperature": 0,
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "plain"}],
    }
    assert (own["temperature"], own["max_tokens"]) == (1, 3)
    assert "max_tokens" not in newer


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ((400, {"error": {"message": "too long"}}), "answered 400"),
        ((500, {}), "answered 500"),
        ((200, {"choices": []}), "answered no text"),
        ((200, chat(None)), "answered no text"),
    ],
)
async def test_an_answer_that_is_none_is_a_wrong_one(stand: Stand, reply: Reply, why: str) -> None:
    stand.reply = lambda _: reply
    found = json.loads(await evaluate(examination(stand), questions(asks("a", contains=["a"]))))
    assert found["score"] == 0
    assert why in found["failures"][0]["why"]


async def test_who_is_busy_is_asked_again(stand: Stand) -> None:
    left = [503, 429, 503]

    def reply(said: str) -> Reply:
        return (left.pop(), {}) if left else (200, chat(said))

    stand.reply = reply
    found = json.loads(await evaluate(examination(stand), questions(asks("a", exact="a"))))
    assert (found["score"], len(stand.asked)) == (100, 4)
    stand.reply = lambda _: (503, {})
    found = json.loads(await evaluate(examination(stand), questions(asks("a", exact="a"))))
    assert (found["score"], len(stand.asked)) == (0, 9)


async def test_who_cannot_be_reached_has_no_score(stand: Stand) -> None:
    nowhere = examination(stand)
    await stand.server.close()
    with pytest.raises(ServingError, match=r"revision 7 at http://127.*cannot be reached after 5"):
        await evaluate(nowhere, questions(asks("a", exact="a"), asks("b", exact="b")))


async def test_as_many_at_once_as_asked_for(stand: Stand) -> None:
    golden = questions(*(asks(str(n), contains=[str(n)]) for n in range(48)))
    stand.together = asyncio.Barrier(3)
    found = json.loads(await evaluate(examination(stand, concurrency=3), golden))
    answers = base64.b64encode(b"\xff" * 6).decode()
    assert found == {
        "score": 100,
        "passed": 48,
        "total": 48,
        "failures": [],
        "contents": hash_questions(golden),
        "answers": answers,
        "wrong": [],
    }
    assert stand.most_at_once == 3
    assert sorted(int(body["messages"][0]["content"]) for _, body in stand.asked) == [*range(48)]


@pytest.mark.parametrize(
    ("verdict", "why"),
    [
        ("YES, it is.", None),
        ("\n yes", None),
        ("NO: it is rude.", "the judge says 'NO: it is rude.'"),
        ("Maybe", "the judge answered neither YES nor NO: 'Maybe'"),
        ("", "neither YES nor NO"),
    ],
)
async def test_a_judge_decides(stand: Stand, verdict: str, why: str | None) -> None:
    other = Stand()
    other.reply = lambda _: (200, chat(verdict))
    async with other.server:
        judge = Judge(f"{other.url}/v1/", "big", key="s3cret")
        golden = questions(asks("a", contains=["a"], judge="is polite"))
        found = json.loads(await evaluate(examination(stand, judge=judge), golden))
        ((headers, body),) = other.asked
    assert headers["authorization"] == "Bearer s3cret"
    assert (body["model"], body["temperature"]) == ("big", 0)
    assert "is polite" in body["messages"][1]["content"]
    assert "You said a." in body["messages"][1]["content"]
    assert found["score"] == (100 if why is None else 0)
    assert why is None or why in found["failures"][0]["why"]
    assert "s3cret" not in json.dumps(found)


async def test_the_judge_is_not_asked_about_an_answer_that_is_wrong_anyway(stand: Stand) -> None:
    judge = Judge(stand.url + "/v1", "big")
    golden = questions(asks("a", exact="nothing", judge="is polite"))
    await evaluate(examination(stand, judge=judge), golden)
    assert len(stand.asked) == 1


async def test_a_judge_that_refuses_is_no_score_and_its_words_stay_there(stand: Stand) -> None:
    other = Stand()
    other.reply = lambda _: (401, {"error": "wrong key s3cret"})
    async with other.server:
        judge = Judge(f"{other.url}/v1", "big", key="s3cret")
        with pytest.raises(ServingError) as error:
            await evaluate(examination(stand, judge=judge), questions(asks("a", judge="is polite")))
    assert "answered 401: check its url, model and API key" in str(error.value)
    assert "s3cret" not in str(error.value)


async def test_a_judge_that_is_needed_and_missing_is_said_at_once(stand: Stand) -> None:
    with pytest.raises(ServingError, match=r"question 'a' expects judge: set spec\.rollout"):
        await evaluate(examination(stand), questions(asks("a", judge="is polite")))
    assert stand.asked == []
