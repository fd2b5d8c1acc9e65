"""`engine: transformers`: an OpenAI-compatible server around transformers' own continuous batching.

For models that vLLM does not know, for small models, and for CPUs: it starts in seconds. What it cannot do is in
`transformers_request.CANNOT`, and docs/concepts/engines.md has the table.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from llmdeployment_serving.config import ServingConfig
from llmdeployment_serving.engine import ASGIApp
from llmdeployment_serving.errors import (
    AdapterError,
    ConfigError,
    EngineDeadError,
    RefusedError,
    SelfTestError,
    build_openai_error,
)
from llmdeployment_serving.model_tasks import GENERATES, ModelTask
from llmdeployment_serving.reference import find_reference
from llmdeployment_serving.score import Score
from llmdeployment_serving.stats import EngineSnapshot, Histogram
from llmdeployment_serving.transformers_flags import Flags, parse_flags
from llmdeployment_serving.transformers_replies import Head, Piece, render_stream, render_whole
from llmdeployment_serving.transformers_request import (
    GenerationRequest,
    choose_length,
    parse_request,
    read_defaults,
)
from llmdeployment_serving.transformers_text import Detokenizer, StopStrings

logger = logging.getLogger(__name__)

CLIENT_LEFT = 499
NO_ADAPTERS = "the transformers engine loads no LoRA adapters: use spec.engine.name vllm"


async def start_transformers(config: ServingConfig) -> "TransformersEngine":
    """Return a running engine; this takes seconds for a small model.

    Raises:
        ConfigError: a flag, the model or this image does not do.
    """
    flags = parse_flags(config.engine.args)
    try:
        from llmdeployment_serving import transformers_batch  # noqa: PLC0415  # because it is heavy, and absent from small images
    except ImportError as error:
        raise ConfigError(
            f"this serving image cannot run the transformers engine, because it lacks {error.name}: use the image for vLLM"
        ) from None
    transformers_batch.quiet_progress()
    started = time.monotonic()
    batch = await transformers_batch.load_batch(Path(config.model_path), flags)
    seconds = time.monotonic() - started
    logger.info("transformers: loaded in %.1f s, context of %d tokens", seconds, batch.context)
    return TransformersEngine(config.served_name, Path(config.model_path), batch, flags)


class TransformersEngine:
    """A running engine."""

    def __init__(self, served_name: str, folder: Path, batch: Any, flags: Flags) -> None:  # noqa: ANN401  # because torch is imported only where it is
        self._served_name = served_name
        self._folder = folder
        self._batch = batch
        self._flags = flags
        self._defaults = read_defaults(batch.read_generation_config())
        self._histograms = {name: Histogram() for name in ("ttft", "itl", "e2e", "queue")}
        self._prompt_tokens = 0
        self._generation_tokens = 0

    async def build_app(self) -> ASGIApp:
        """Return the HTTP application."""
        app = FastAPI(openapi_url=None)
        app.get("/health")(self._answer_health)
        app.get("/v1/models")(self._list_models)
        app.post("/v1/chat/completions")(self._complete_chat)
        app.post("/v1/completions")(self._complete_text)
        return app

    def get_task(self) -> ModelTask:
        """Return that of a model that generates: this engine does nothing else."""
        return GENERATES

    def find_failure(self) -> str | None:
        """Return why the engine is dead, or None."""
        found: str | None = self._batch.find_failure()
        return found

    def take_snapshot(self) -> EngineSnapshot:
        """Return the engine's counters."""
        load = self._batch.measure_load()
        return EngineSnapshot(
            running=load.running,
            waiting=load.waiting,
            kv_cache_usage=load.kv_cache_usage,
            prompt_tokens=self._prompt_tokens,
            generation_tokens=self._generation_tokens,
            histograms={name: value.as_json() for name, value in self._histograms.items()},
        )

    def render_metrics(self) -> bytes:
        """Return nothing: the replica's own metrics are complete."""
        return b""

    async def score(self, text: str) -> Score | None:
        """Return what the model gives the tokens of a text.

        Raises:
            SelfTestError: the engine cannot do it, or is dead.
        """
        if (failure := self.find_failure()) is not None:
            # Its model may be gone already, while the next engine loads.
            raise SelfTestError(failure)
        tokens = self._batch.tokenizer.encode(text)[: self._batch.context]
        if len(tokens) < 2:  # noqa: PLR2004  # because the first token has no probability
            return None
        try:
            found = await asyncio.to_thread(self._batch.compute_logprobs, tokens)
        except RuntimeError as error:
            raise SelfTestError(self.find_failure() or f"the engine says {error}") from error
        return Score(tuple(tokens), tuple(found))

    async def compute_reference(self, tokens: Sequence[int]) -> float | None:
        """Return the score in float32 on the CPU, or None where it cannot be had."""
        return await find_reference(self._folder, tokens, ())

    async def load_adapter(self, name: str, path: str) -> None:
        """Refuse an adapter."""
        raise AdapterError(f"{NO_ADAPTERS} ({name} in {path})")

    async def unload_adapter(self, name: str) -> None:
        """Do nothing: none is ever loaded."""

    def shutdown(self) -> None:
        """End the engine's thread."""
        self._batch.shutdown()

    async def _answer_health(self) -> Response:
        is_dead = self.find_failure() is not None
        return Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE if is_dead else HTTPStatus.OK)

    async def _list_models(self) -> dict[str, Any]:
        card = {
            "id": self._served_name,
            "object": "model",
            "created": 0,
            "owned_by": "llmdeployment",
            "engine": "transformers",
            "max_model_len": self._batch.context,
        }
        return {"object": "list", "data": [card]}

    async def _complete_chat(self, request: Request) -> Response:
        return await self._answer(request, chat=True)

    async def _complete_text(self, request: Request) -> Response:
        return await self._answer(request, chat=False)

    async def _answer(self, http: Request, *, chat: bool) -> Response:
        try:
            body = await http.json()
            asked = parse_request(body, self._served_name, self._defaults, chat=chat)
            # In a thread: a prompt may be megabytes.
            tokens = await asyncio.to_thread(self._encode, asked)
            limit = choose_length(len(tokens), asked.max_tokens, self._batch.context)
        except RefusedError as refused:
            document = build_openai_error(refused.status, refused.message, refused.code)
            return JSONResponse(document, refused.status)
        identifier = f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}"
        head = Head(identifier, self._served_name, int(time.time()), chat, len(tokens))
        pieces = self._generate(asked, tokens, limit)
        if asked.stream:
            events = render_stream(head, pieces, include_usage=asked.include_usage)
            return StreamingResponse(events, media_type="text/event-stream")
        return await _answer_whole(http, head, pieces)

    def _encode(self, asked: GenerationRequest) -> list[int]:
        """Return the tokens of a prompt.

        Raises:
            RefusedError: the chat template does not take the messages, or a token does not exist.
        """
        tokenizer = self._batch.tokenizer
        if asked.chat:
            return encode_chat(tokenizer, asked)
        if isinstance(asked.prompt, str):
            return list(tokenizer.encode(asked.prompt))
        if max(asked.prompt) >= (vocabulary := len(tokenizer)):
            message = f"prompt must hold tokens below {vocabulary}. Correct it."
            raise RefusedError(HTTPStatus.BAD_REQUEST, message)
        return list(asked.prompt)

    async def _generate(
        self, asked: GenerationRequest, tokens: Sequence[int], limit: int
    ) -> AsyncIterator[Piece]:
        """Yield the answer; leaving early takes it out of the batch."""
        started = previous = time.monotonic()
        ends = frozenset(asked.stop_token_ids)
        ends = ends if asked.ignore_eos else ends | self._batch.ends
        reader = _Reader(self._batch.decode, asked.stop, ends)
        self._prompt_tokens += len(tokens)
        outputs = self._batch.generate(tokens, limit, ends, asked.sampling)
        async with aclosing(outputs):
            async for output in outputs:
                now = time.monotonic()
                new = len(output.generated_tokens) - reader.count
                if not reader.count:
                    self._histograms["ttft"].observe(now - started)
                    self._histograms["queue"].observe(
                        max(0.0, output.lifespan[0] - output.created_time)
                    )
                elif new:
                    self._histograms["itl"].observe(now - previous)
                previous = now
                self._generation_tokens += new
                piece = reader.add(output.generated_tokens, is_last=output.is_finished())
                if piece is not None:
                    yield piece
                    if piece.finish_reason is not None:
                        break
        self._histograms["e2e"].observe(time.monotonic() - started)


class _Reader:
    """Makes pieces of an answer's growing list of tokens."""

    def __init__(
        self, decode: Callable[[Sequence[int]], str], stops: tuple[str, ...], ends: frozenset[int]
    ) -> None:
        self.count = 0
        self._text = Detokenizer(decode)
        self._stops = StopStrings(stops)
        self._ends = ends

    def add(self, tokens: Sequence[int], *, is_last: bool) -> Piece | None:
        """Return the next piece; None if it has neither text nor the end of the answer."""
        parts: list[str] = []
        for token in tokens[self.count :]:
            self.count += 1
            if token not in self._ends:
                parts.append(self._stops.add(self._text.add(token)))
            if self._stops.is_found:
                return Piece("".join(parts), self.count, "stop")
        if is_last:
            parts.append(self._stops.add(self._text.finish()))
            if self._stops.is_found:
                return Piece("".join(parts), self.count, "stop")
            parts.append(self._stops.finish())
            reason = "stop" if tokens and tokens[-1] in self._ends else "length"
            return Piece("".join(parts), self.count, reason)
        text = "".join(parts)
        return Piece(text, self.count) if text else None


def encode_chat(tokenizer: Any, asked: GenerationRequest) -> list[int]:  # noqa: ANN401  # because transformers has no types here
    """Return the tokens of a chat.

    Raises:
        RefusedError: the model has no chat template, it does not take these messages, or no list of tokens comes of them.
    """
    if not tokenizer.chat_template:
        message = "this model has no chat template. Use /v1/completions."
        raise RefusedError(HTTPStatus.BAD_REQUEST, message)
    try:
        text = tokenizer.apply_chat_template(
            list(asked.messages),
            add_generation_prompt=True,
            tokenize=False,
            **asked.template_options,
        )
        # Apart from the template, so that no option of a client is one of the tokenizer. The template writes the special tokens.
        found = tokenizer(text, add_special_tokens=False)["input_ids"]
    except Exception as error:  # because a template is a program of the model's authors
        message = f"the model's chat template refuses these messages: {error}. Correct them."
        raise RefusedError(HTTPStatus.BAD_REQUEST, message) from error
    # The engine's thread serves all requests, and anything else than a token ends it.
    if not isinstance(found, list) or not all(isinstance(token, int) for token in found):
        message = (
            "the model's chat template makes no list of tokens of these messages. Correct them."
        )
        raise RefusedError(HTTPStatus.BAD_REQUEST, message)
    return found


async def _answer_whole(http: Request, head: Head, pieces: AsyncIterator[Piece]) -> Response:
    """Return the whole answer, or stop the work for it when the client leaves."""
    work = asyncio.ensure_future(render_whole(head, pieces))
    leaving = asyncio.ensure_future(_wait_until_gone(http))
    try:
        await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            return Response(status_code=CLIENT_LEFT)
        return JSONResponse(work.result())
    except EngineDeadError as error:
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        return JSONResponse(build_openai_error(status, str(error)), status)
    finally:
        for task in (work, leaving):
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        await pieces.aclose()  # type: ignore[attr-defined]  # because it is an async generator


async def _wait_until_gone(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
