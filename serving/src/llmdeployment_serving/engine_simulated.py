"""`engine: simulated`: an OpenAI-compatible server around the queueing model, without a language model.

For rollouts, chaos and scale tests. Everything says that it is simulated: every answer starts with `[simulated]` and repeats the
prompt, a token is a word, and `system_fingerprint`, the model card, `/stats` and `/metrics` say `simulated`.
"""

import asyncio
import random
import time
import uuid
from collections import abc
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from llmdeployment_serving.config import ServingConfig
from llmdeployment_serving.engine import ASGIApp
from llmdeployment_serving.errors import (
    ENGINE_STOPPED,
    AdapterError,
    ConfigError,
    EngineDeadError,
    build_openai_error,
)
from llmdeployment_serving.model_tasks import EMBEDDING_PATH, GENERATES, ModelTask, Task
from llmdeployment_serving.queueing import Batch, Rates, Sequence, parse_rates
from llmdeployment_serving.score import Score
from llmdeployment_serving.simulated_api import (
    REFUSAL_TOKENS,
    BadRequestError,
    Reply,
    parse_request,
    render_chunks,
    render_whole,
)
from llmdeployment_serving.simulated_logits import score_words
from llmdeployment_serving.simulated_vectors import parse_embedding_request, render_embeddings
from llmdeployment_serving.stats import EngineSnapshot, Histogram

ADAPTER_SECONDS = 0.2
"""Seconds that an adapter takes to load."""


async def start_simulated(config: ServingConfig) -> "SimulatedEngine":
    """Return a running engine after `warm-up-seconds`."""
    rates = parse_rates(config.engine.args)
    if rates.fail_start:
        raise ConfigError(rates.fail_start)
    await asyncio.sleep(rates.warm_up_seconds)  # why: the simulated time of loading
    return SimulatedEngine(config.served_name, rates, embeds=config.task == "Embed")


class SimulatedEngine:
    """Runs a `Batch` in real time and hands out its tokens."""

    def __init__(self, served_name: str, rates: Rates, *, embeds: bool = False) -> None:
        self._served_name = served_name
        self._task = ModelTask(Task.EMBED, (EMBEDDING_PATH,)) if embeds else GENERATES
        self._adapters: set[str] = set()
        self._batch = Batch(rates)
        self._random = random.Random(rates.seed)  # noqa: S311  # because a simulation keeps no secret
        self._queues: dict[int, asyncio.Queue[EngineDeadError | None]] = {}
        self._arrived: dict[int, float] = {}
        self._work = asyncio.Event()
        self._histograms = {name: Histogram() for name in ("ttft", "itl", "e2e", "queue")}
        self._prompt_tokens = 0
        self._generation_tokens = 0
        self._loop = asyncio.create_task(self._run(), name="simulated-engine")
        self._is_stopped = False

    async def build_app(self) -> ASGIApp:
        """Return the HTTP application."""
        app = FastAPI(openapi_url=None)
        app.get("/health")(self._answer_health)
        app.get("/v1/models")(self._list_models)
        if self._task.task == Task.EMBED:
            app.post(EMBEDDING_PATH)(self._embed)
        else:
            app.post("/v1/chat/completions")(self._complete_chat)
            app.post("/v1/completions")(self._complete_text)
        return app

    def get_task(self) -> ModelTask:
        """Return what the simulated model does."""
        return self._task

    def find_failure(self) -> str | None:
        """Return why the engine stopped, or None."""
        if self._is_stopped:
            return "the simulated engine stopped (crash-on of spec.engine.args)"
        return f"the simulated engine stopped: {self._loop!r}" if self._loop.done() else None

    def take_snapshot(self) -> EngineSnapshot:
        """Return the engine's counters."""
        return EngineSnapshot(
            running=len(self._batch.running),
            waiting=len(self._batch.waiting),
            kv_cache_usage=self._batch.kv_tokens / self._batch.rates.kv_cache_tokens,
            prompt_tokens=self._prompt_tokens,
            generation_tokens=self._generation_tokens,
            histograms={name: value.as_json() for name, value in self._histograms.items()},
        )

    def render_metrics(self) -> bytes:
        """Return nothing: the replica's own metrics are complete."""
        return b""

    async def score(self, text: str) -> Score | None:
        """Return the score by a model of how often each word is in the text itself, with the fault of `logits-fault`."""
        if self._task.task != Task.GENERATE:
            return None
        words = text.split()
        numbers = {word: number for number, word in enumerate(dict.fromkeys(words))}
        return score_words([numbers[word] for word in words], self._batch.rates.logits_fault)

    async def compute_reference(self, tokens: abc.Sequence[int]) -> float:
        """Return the same without a fault."""
        return score_words(tokens).mean

    async def load_adapter(self, name: str, path: str) -> None:
        """Accept any folder as an adapter; answers of `name` show it in the mark."""
        if not await asyncio.to_thread(Path(path).is_dir):
            raise AdapterError(f"there is no folder {path} in this pod")
        await asyncio.sleep(ADAPTER_SECONDS)  # why: the simulated time of loading
        self._adapters.add(name)

    async def unload_adapter(self, name: str) -> None:
        """Forget an adapter."""
        self._adapters.discard(name)

    def shutdown(self) -> None:
        """Stop the engine."""
        self._loop.cancel()

    def _crash(self) -> None:
        """Stop as a process does that dies: no request under way goes on."""
        self._is_stopped = True
        self._loop.cancel()
        for queue in self._queues.values():
            queue.put_nowait(EngineDeadError(ENGINE_STOPPED))

    async def _run(self) -> None:
        """Run steps forever. A late wake-up shortens the next sleep, so that rates hold on a busy machine."""
        deadline = time.monotonic()
        while True:
            if not self._batch.running and not self._batch.waiting:
                self._work.clear()
                await self._work.wait()
                deadline = time.monotonic()
            step = self._batch.begin()
            now = time.monotonic()
            for sequence in step.admitted:
                self._prompt_tokens += sequence.prompt_tokens
                self._histograms["queue"].observe(now - self._arrived[id(sequence)])
            deadline = max(deadline, now - 1.0) + step.seconds * self._draw_jitter()
            left = max(0.0, deadline - time.monotonic())
            await asyncio.sleep(left)  # why: a simulated step's time
            for sequence in self._batch.end(step):
                self._generation_tokens += self._task.task == Task.GENERATE
                self._queues[id(sequence)].put_nowait(None)

    def _draw_jitter(self) -> float:
        percent = self._batch.rates.jitter_percent
        return max(0.1, self._random.gauss(1.0, percent / 100.0)) if percent else 1.0

    async def _produce_tokens(self, sequence: Sequence) -> AsyncIterator[int]:
        """Yield 0, 1, ... as the tokens of `sequence` come; leaving early takes it out of the batch."""
        key, started = id(sequence), time.monotonic()
        queue = self._queues[key] = asyncio.Queue()
        self._arrived[key] = started
        self._batch.add(sequence)
        self._work.set()
        try:
            previous = started
            for index in range(sequence.output_tokens):
                if (stopped := await queue.get()) is not None:
                    raise stopped
                now = time.monotonic()
                self._histograms["itl" if index else "ttft"].observe(now - previous)
                previous = now
                yield index
            self._histograms["e2e"].observe(previous - started)
        finally:
            self._batch.remove(sequence)
            del self._queues[key], self._arrived[key]

    async def _answer_health(self) -> Response:
        return Response(
            status_code=HTTPStatus.SERVICE_UNAVAILABLE if self.find_failure() else HTTPStatus.OK
        )

    async def _list_models(self) -> dict[str, Any]:
        card = {
            "object": "model",
            "created": 0,
            "owned_by": "llmdeployment",
            "engine": "simulated",
            "max_model_len": self._batch.rates.max_model_len,
        }
        names = (self._served_name, *sorted(self._adapters))
        return {"object": "list", "data": [{"id": name, **card} for name in names]}

    async def _complete_chat(self, request: Request) -> Response:
        return await self._answer(await request.json(), chat=True)

    async def _complete_text(self, request: Request) -> Response:
        return await self._answer(await request.json(), chat=False)

    async def _embed(self, request: Request) -> Response:
        """Answer with vectors, after the time of a prompt and one token."""
        body, rates = await request.json(), self._batch.rates
        try:
            asked = parse_embedding_request(body, self._served_name, rates.max_model_len)
        except BadRequestError as error:
            return JSONResponse(build_openai_error(error.status, str(error)), error.status)
        if (failure := self._draw_failure()) is not None:
            return failure
        await self._drain(Sequence(min(asked.tokens, rates.max_model_len), 1))
        return JSONResponse(render_embeddings(asked, self._served_name, rates.seed))

    def _draw_failure(self) -> Response | None:
        if self._random.random() * 100.0 >= self._batch.rates.error_percent:
            return None
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        message = "simulated failure (error-percent of spec.engine.args)"
        return JSONResponse(build_openai_error(status, message), status)

    async def _answer(self, body: dict[str, Any], *, chat: bool) -> Response:
        rates = self._batch.rates
        try:
            model = body.get("model")
            adapter = model if model in self._adapters else None
            name = adapter or self._served_name
            completion = parse_request(body, name, rates, chat=chat, adapter=adapter)
        except BadRequestError as error:
            return JSONResponse(build_openai_error(error.status, str(error)), error.status)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        if (failure := self._draw_failure()) is not None:
            return failure
        if self._draw_refusal(completion.prompt):
            completion = completion.refuse()
        reply = Reply(completion, f"sim-{uuid.uuid4().hex}", int(time.time()))
        if rates.crash_on and rates.crash_on in completion.prompt:
            self._crash()
        if self._is_stopped:
            return JSONResponse(build_openai_error(status, ENGINE_STOPPED), status)
        sequence = Sequence(len(completion.prompt), completion.output_tokens)
        if completion.stream:
            chunks = render_chunks(reply, self._produce_tokens(sequence))
            return StreamingResponse(chunks, media_type="text/event-stream")
        try:
            await self._drain(sequence)
        except EngineDeadError as error:
            return JSONResponse(build_openai_error(status, str(error)), status)
        return JSONResponse(render_whole(reply))

    def _draw_refusal(self, prompt: tuple[str, ...]) -> bool:
        rates = self._batch.rates
        # why: a refusal may be longer than the answer that was found to fit.
        fits = len(prompt) + REFUSAL_TOKENS <= min(rates.max_model_len, rates.kv_cache_tokens)
        concerned = fits and (not rates.refuse_on or rates.refuse_on in prompt)
        return concerned and self._random.random() * 100.0 < rates.refusal_percent

    async def _drain(self, sequence: Sequence) -> None:
        """Wait for every token of an answer that is not streamed."""
        tokens = self._produce_tokens(sequence)
        try:
            async for _ in tokens:
                pass
        finally:
            await tokens.aclose()  # type: ignore[attr-defined]  # because it is an async generator
