"""The transformers engine around a batch that says what a test gives it; tests/component/serving/test_transformers.py has the real one."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llmdeployment_serving.engine_transformers import TransformersEngine
from llmdeployment_serving.errors import (
    ENGINE_STOPPED,
    AdapterError,
    EngineDeadError,
    SelfTestError,
)
from llmdeployment_serving.transformers_flags import Flags

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from llmdeployment_serving.engine import ASGIApp
    from llmdeployment_serving.transformers_request import Sampling

END = 0
CONTEXT = 64


@dataclass
class Output:
    """What transformers hands out after each token."""

    generated_tokens: list[int]
    finished: bool
    lifespan: tuple[float, float] = (2.0, -1.0)
    created_time: float = 1.5

    def is_finished(self) -> bool:
        return self.finished


class Tokenizer:
    """Tokens are bytes; the template writes one message, and refuses a system message."""

    chat_template: str | None = "template"

    def __len__(self) -> int:
        return 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def apply_chat_template(
        self, messages: list[dict[str, Any]], *, tokenize: bool = True, **options: Any
    ) -> str:
        assert not tokenize
        if messages[0]["role"] == "system":
            raise ValueError("no system messages")
        prefix = str(options.get("prefix", ""))
        return prefix + str(messages[-1]["content"])

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, Any]:
        assert not add_special_tokens
        return {"input_ids": self.encode(text)}


@dataclass
class Batch:
    """Says `answer`, one byte after the other, or several at once."""

    answer: bytes = b"hello"
    at_once: int = 1
    dies_after: int | None = None
    waits: bool = False
    tokenizer: Tokenizer = field(default_factory=Tokenizer)
    ends: frozenset[int] = frozenset({END})
    context: int = CONTEXT
    left: int = 0
    failure: str | None = None
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[tuple[list[int], int, frozenset[int], Sampling]] = field(default_factory=list)

    def read_generation_config(self) -> dict[str, Any]:
        return {"temperature": 0.5}

    def find_failure(self) -> str | None:
        return self.failure

    def compute_logprobs(self, tokens: Sequence[int]) -> list[float]:
        if self.failure is not None:
            raise AttributeError("the model is gone")
        return [-1.0] * (len(tokens) - 1)

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode(errors="replace")

    async def generate(
        self, tokens: list[int], limit: int, ends: frozenset[int], sampling: Sampling
    ) -> AsyncIterator[Output]:
        self.asked.append((tokens, limit, ends, sampling))
        said = list(self.answer[:limit])
        try:
            for count in range(self.at_once, len(said) + self.at_once, self.at_once):
                if self.dies_after is not None and count > self.dies_after:
                    raise EngineDeadError(ENGINE_STOPPED)
                now = said[:count]
                yield Output(now, len(now) == len(said) or now[-1] in ends)
                if now[-1] in ends:
                    return
                if self.waits:
                    self.has_begun.set()
                    await asyncio.Event().wait()
        finally:
            self.left += 1


@dataclass
class Answer:
    status_code: int
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


async def post(batch: Batch, body: dict[str, Any], path: str = "chat/completions") -> Answer:
    engine = TransformersEngine("chat", Path("/none"), batch, Flags())
    return await ask(await engine.build_app(), body, path)


async def ask(
    app: ASGIApp,
    body: dict[str, Any],
    path: str = "chat/completions",
    leaving: asyncio.Event | None = None,
) -> Answer:
    """Send a request; the client leaves when `leaving` is set."""
    came = iter([{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}])
    sent: list[Any] = []

    async def receive() -> Any:
        if (message := next(came, None)) is not None:
            return message
        await (leaving or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": f"/v1/{path}", "headers": []}
    scope |= {"query_string": b"", "http_version": "1.1"}
    async with asyncio.timeout(10):
        await app(scope, receive, send)
    text = b"".join(message.get("body", b"") for message in sent).decode()
    return Answer(sent[0]["status"], text)


def chat(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "hi"}], **fields}


@pytest.mark.parametrize(
    ("batch", "fields", "text", "tokens", "reason"),
    [
        (Batch(), {"max_tokens": 5}, "hello", 5, "length"),
        (Batch(b"hello\0"), {}, "hello", 6, "stop"),
        (Batch(b"hello\0 again"), {"ignore_eos": True}, "hello\0 again", 12, "length"),
        (Batch(), {"stop": "ll"}, "he", 4, "stop"),
        (Batch(at_once=5), {"stop": ["lo", "e"]}, "h", 2, "stop"),
        (Batch(), {"stop": "lox"}, "hello", 5, "length"),
        (Batch(), {"stop_token_ids": [ord("l")]}, "he", 3, "stop"),
        (Batch("€".encode()), {"max_tokens": 2}, "\ufffd", 2, "length"),
    ],
    ids=["limit", "end", "no end", "stop", "two stops", "half a stop", "stop token", "half a sign"],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_has_its_text_tokens_and_reason(
    batch: Batch, fields: dict[str, Any], text: str, tokens: int, reason: str, *, stream: bool
) -> None:
    batch = Batch(batch.answer, batch.at_once)
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    answer = await post(batch, chat(**fields, **options))
    usage = {"prompt_tokens": 2, "completion_tokens": tokens, "total_tokens": tokens + 2}
    if stream:
        lines = [line for line in answer.text.split("\n\n") if line]
        assert lines.pop() == "data: [DONE]"
        *chunks, last = (json.loads(line.removeprefix("data: ")) for line in lines)
        assert last["choices"] == []
        assert last["usage"] == usage
        found = [chunk["choices"][0] for chunk in chunks]
        assert found[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(choice["delta"]["content"] for choice in found) == text
        assert [choice["finish_reason"] for choice in found][-1] == reason
    else:
        document = answer.json()
        assert document["usage"] == usage
        assert document["choices"][0]["message"] == {"role": "assistant", "content": text}
        assert document["choices"][0]["finish_reason"] == reason
    # Every request leaves the batch, also one that ends at a stop string.
    assert batch.left == 1


async def test_prompt_limit_ends_and_sampling_reach_the_batch() -> None:
    batch = Batch()
    await post(batch, {"prompt": "abc", "stop_token_ids": [7]}, "completions")
    await post(batch, chat(ignore_eos=True, temperature=0, chat_template_kwargs={"prefix": "x"}))
    (text, talk) = batch.asked

    assert text[:3] == (list(b"abc"), 16, {END, 7})
    assert text[3].temperature == 0.5
    assert talk[:3] == (list(b"xhi"), CONTEXT - 3, frozenset())
    assert talk[3].temperature == 0


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ({"messages": [{"role": "system", "content": "x"}]}, "chat/completions", "no system mess"),
        ({"prompt": [1, 256]}, "completions", "prompt must hold tokens below 256"),
        ({"prompt": "x" * CONTEXT}, "completions", "the model's context is 64 tokens"),
        ({"prompt": "x", "n": 2}, "completions", "cannot do n"),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    body: dict[str, Any], path: str, words: str
) -> None:
    batch = Batch()
    answer = await post(batch, body, path)

    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert batch.asked == []


@pytest.mark.parametrize(
    "options",
    [
        {"return_tensors": "pt"},
        {"padding": "max_length", "max_length": 10**9},
        {"tokenizer_kwargs": {"truncation": True, "max_length": 1}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
    ],
)
async def test_options_of_the_tokenizer_are_refused(options: dict[str, Any]) -> None:
    batch = Batch()
    answer = await post(batch, chat(chat_template_kwargs=options))

    assert answer.status_code == 400
    assert next(iter(options)) in answer.json()["error"]["message"]
    assert batch.asked == []


@pytest.mark.parametrize("found", [[[1, 2]], [1.5], ["a"], None, (1, 2)])
async def test_nothing_but_tokens_reaches_the_batch(found: Any) -> None:
    class Odd(Tokenizer):
        def encode(self, _: str) -> Any:
            return found

    batch = Batch(tokenizer=Odd())
    answer = await post(batch, chat())

    assert answer.status_code == 400
    assert "makes no list of tokens" in answer.json()["error"]["message"]
    assert batch.asked == []


async def test_a_dead_engine_scores_nothing_and_says_why() -> None:
    batch = Batch()
    engine = TransformersEngine("chat", Path("/none"), batch, Flags())
    score = await engine.score("abc")
    assert score is not None
    assert score.logprobs == (-1.0, -1.0)

    batch.failure = "transformers stopped: no memory is left"
    with pytest.raises(SelfTestError, match="no memory is left"):
        await engine.score("abc")


async def test_a_model_without_a_template_is_for_completions() -> None:
    batch = Batch()
    batch.tokenizer.chat_template = None
    answer = await post(batch, chat())

    assert answer.status_code == 400
    assert "no chat template. Use /v1/completions" in answer.json()["error"]["message"]


async def test_an_engine_that_dies_answers_with_the_sentence() -> None:
    whole = await post(Batch(dies_after=2), chat())
    stream = await post(Batch(dies_after=2), chat(stream=True))

    assert whole.status_code == 500
    assert whole.json()["error"]["message"] == ENGINE_STOPPED
    *_, fault, end = (line for line in stream.text.split("\n\n") if line)
    assert json.loads(fault.removeprefix("data: "))["error"]["message"] == ENGINE_STOPPED
    assert end == "data: [DONE]"


async def test_a_client_that_leaves_takes_its_request_out_of_the_batch() -> None:
    batch = Batch(waits=True)
    engine = TransformersEngine("chat", Path("/none"), batch, Flags())
    answer = await ask(await engine.build_app(), chat(), leaving=batch.has_begun)

    assert answer.status_code == 499
    assert batch.left == 1


async def test_counts_are_of_what_was_generated() -> None:
    batch = Batch(at_once=2)
    engine = TransformersEngine("chat", Path("/none"), batch, Flags())
    await ask(await engine.build_app(), chat())
    histograms = {name: value.as_json() for name, value in engine._histograms.items()}

    assert engine._prompt_tokens == 2
    assert engine._generation_tokens == 5
    assert {name: value["count"] for name, value in histograms.items()} == {
        "ttft": 1,
        "itl": 2,
        "e2e": 1,
        "queue": 1,
    }
    assert histograms["queue"]["sum"] == 0.5


async def test_an_adapter_is_refused() -> None:
    engine = TransformersEngine("chat", Path("/none"), Batch(), Flags())
    with pytest.raises(AdapterError, match="loads no LoRA adapters"):
        await engine.load_adapter("a", "/a")
