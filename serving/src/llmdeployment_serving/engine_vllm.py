"""vLLM's own OpenAI server, in this process. The only module that imports vLLM.

The names that it imports are not a stable API: vLLM 0.32 is pinned, and `tests/component/serving/test_vllm.py` checks them. The steps are
those of `vllm serve`: parse flags, make the engine's config, start the engine, build the FastAPI application, fill its state.
"""

import argparse
import asyncio
import logging
import os
import re
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from pydantic import ValidationError
from typing_extensions import override
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.api_server.app_state import init_app_state
from vllm.entrypoints.launchers.app import build_app
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.entrypoints.openai.models.serving import OpenAIServingModels
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.lora.protocol import LoadLoRAAdapterRequest, UnloadLoRAAdapterRequest
from vllm.inputs import tokens_input
from vllm.parser.parser_manager import ParserManager
from vllm.platforms import current_platform
from vllm.sampling_params import SamplingParams
from vllm.tokenizers import cached_tokenizer_from_config
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.metrics.prometheus import get_prometheus_registry

from llmdeployment_serving.config import ServingConfig
from llmdeployment_serving.engine import ASGIApp, Receive, Scope, Send
from llmdeployment_serving.errors import ENGINE_STOPPED, AdapterError, ConfigError, SelfTestError
from llmdeployment_serving.exposition import write_page
from llmdeployment_serving.flags import build_trace_flags, build_vllm_flags
from llmdeployment_serving.lora_files import check_adapter
from llmdeployment_serving.model_family import read_model_family
from llmdeployment_serving.model_names import make_renaming_send
from llmdeployment_serving.model_tasks import (
    GENERATES,
    ModelTask,
    check_architectures,
    choose_task,
    find_pooling,
)
from llmdeployment_serving.output import find_first_error, watch_output
from llmdeployment_serving.parsers import Parsers, choose_parsers
from llmdeployment_serving.reference import find_reference
from llmdeployment_serving.score import Score
from llmdeployment_serving.stats import EngineSnapshot
from llmdeployment_serving.tool_refusal import refuse_tools

logger = logging.getLogger(__name__)

_histograms = {
    "ttft": "vllm:time_to_first_token_seconds",
    "itl": "vllm:inter_token_latency_seconds",
    "e2e": "vllm:e2e_request_latency_seconds",
    "queue": "vllm:request_queue_time_seconds",
}


_DEAD_ENGINE = "EngineCore encountered an issue. See stack trace (above) for the root cause."

_worker_error = re.compile(r"Worker failed with error '(?P<sentence>.+)', please check")


class _Parser(FlexibleArgumentParser):  # type: ignore[misc]  # because vLLM has no types here
    """vLLM's parser; raises an exception where argparse would end the process."""

    @override
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"vLLM refuses spec.engine.args: {message}")


def parse_flags(config: ServingConfig, parsers: Parsers | None = None) -> argparse.Namespace:
    """Return vLLM's parsed command line, with the flags of `parsers`.

    Raises:
        ConfigError: vLLM does not have a flag, or does not take its value.
    """
    # why: without abbreviations, `--tensor` cannot slip past the flags the operator reserves.
    parser = make_arg_parser(_Parser(prog="vllm serve", allow_abbrev=False))
    try:
        args: argparse.Namespace = parser.parse_args(
            [
                *build_vllm_flags(config),
                *build_trace_flags(config, os.environ),
                *(parsers.list_flags() if parsers else ()),
                *_build_eager_flags(config),
            ]
        )
        validate_parsed_serve_args(args)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"vLLM refuses spec.engine.args: {error}") from None
    return args


def _lacks_compiler() -> bool:
    """Say whether torch would need a C++ compiler that is not there: a CPU needs one, and the image for CPUs has none."""
    return current_platform.is_cpu() and shutil.which(os.environ.get("CXX", "g++")) is None


def _build_eager_flags(config: ServingConfig) -> list[str]:
    """Return the flag that stops vLLM from compiling the model without a compiler."""
    if {"enforce-eager", "no-enforce-eager", "optimization-level"} & set(config.engine.args):
        return []
    if not _lacks_compiler():
        return []
    logger.warning("no C++ compiler was found, so vLLM runs with --enforce-eager")
    return ["--enforce-eager"]


def _choose_parsers(config: ServingConfig, args: argparse.Namespace) -> Parsers:
    """Return the parsers of the model, without those that vLLM cannot use with its tokenizer; they must not keep it from starting."""
    if args.runner == "pooling":
        return Parsers()  # why: it generates nothing
    given = config.engine.args
    parsers = choose_parsers(read_model_family(Path(config.model_path), given), given)
    if parsers.list_flags():
        parsers = _drop_unusable(parsers, args)
    logger.info("%s", parsers.describe())
    return parsers


def _drop_unusable(parsers: Parsers, args: argparse.Namespace) -> Parsers:
    """Return `parsers` without those that refuse the tokenizer, for example because it lacks their tokens."""
    try:
        model = AsyncEngineArgs.from_cli_args(args).create_model_config()
        tokenizer = cached_tokenizer_from_config(model)
    except Exception:  # noqa: BLE001  # because the engine's start meets the same fault, and says it
        return parsers
    if why := _find_misfit(
        args.model, tokenizer, tool_parser_name=parsers.tool_call, enable_auto_tools=True
    ):
        parsers = parsers.without_tool_call(why)
    if why := _find_misfit(args.model, tokenizer, reasoning_parser_name=parsers.reasoning):
        parsers = parsers.without_reasoning(why)
    return parsers


def _find_misfit(model: str, tokenizer: Any, **names: Any) -> str | None:  # noqa: ANN401  # because vLLM has no types here
    """Return why vLLM cannot use a parser, or None."""
    try:
        ParserManager.get_parser(tokenizer=tokenizer, model_name=model, **names)
    except Exception as error:  # noqa: BLE001  # because each of the parsers has its own ways to fail
        return str(error)
    return None


async def start_vllm(config: ServingConfig) -> "VllmEngine":
    """Return a loaded engine; this takes a minute or more.

    Raises:
        ConfigError: vLLM refuses the flags, the model or the machine; the message is vLLM's first error.
    """
    args = parse_flags(config)
    args = parse_flags(config, _choose_parsers(config, args))
    if _lacks_compiler():
        # vLLM also compiles single functions, some at the first request that needs them, such as one for logprobs.
        # The engine's processes, which begin after this, read the variable.
        os.environ["TORCHDYNAMO_DISABLE"] = "1"
    try:
        engine_config = AsyncEngineArgs.from_cli_args(args).create_engine_config(
            usage_context=UsageContext.OPENAI_API_SERVER
        )
    except ValidationError as error:
        found = "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
        raise ConfigError(f"vLLM refuses the model or its flags: {found}") from None
    # vLLM raises NotImplementedError for a combination of flags, model and machine that it does not support.
    except (ValueError, TypeError, OSError, NotImplementedError) as error:
        raise ConfigError(f"vLLM refuses the model or its flags: {error}") from None
    check_architectures(engine_config.model_config.architectures, config.task)
    with watch_output() as lines:
        try:
            # In a thread: an engine that follows a dead one starts while the replica goes on, with its probes and waiting requests.
            engine = await asyncio.to_thread(
                AsyncLLM.from_vllm_config,
                vllm_config=engine_config,
                usage_context=UsageContext.OPENAI_API_SERVER,
                enable_log_requests=args.enable_log_requests,
                disable_log_stats=args.disable_log_stats,
            )
        except RuntimeError as error:
            cause = find_first_error(lines) or str(error)
            raise ConfigError(f"vLLM could not start: {cause}") from error
    await engine.reset_mm_cache()
    try:
        task = choose_task(await _find_task(engine), config.task)
    except ConfigError:
        engine.shutdown()
        raise
    return VllmEngine(engine, args, tuple(config.engine.args), task)


async def _find_task(engine: AsyncLLM) -> ModelTask:
    model = engine.model_config
    pooling = model.get_pooling_task(await engine.get_supported_tasks())
    if pooling is None:
        return GENERATES
    labels = getattr(model.hf_config, "num_labels", 0)
    return find_pooling(pooling, labels, model.architecture)


class VllmEngine:
    """A running vLLM engine."""

    def __init__(
        self,
        engine: AsyncLLM,
        args: argparse.Namespace,
        user_flags: tuple[str, ...] = (),
        task: ModelTask = GENERATES,
    ) -> None:
        self._engine = engine
        self._args = args
        self._user_flags = user_flags
        self._task = task
        self._models: OpenAIServingModels | None = None

    async def build_app(self) -> ASGIApp:
        """Return vLLM's FastAPI application."""
        tasks = await self._engine.get_supported_tasks()
        app = build_app(self._args, tasks, self._engine.model_config)
        await init_app_state(self._engine, app.state, self._args, tasks)
        self._models = app.state.openai_serving_models
        # why: vLLM's dead-engine handler writes `server.should_exit`; `failure` ends this process.
        app.state.server = SimpleNamespace(should_exit=False)
        if not (self._args.enable_auto_tool_choice and self._args.tool_call_parser):
            app = refuse_tools(app)
        return _hide_engine_words(app)

    def get_task(self) -> ModelTask:
        """Return what vLLM found the model to do."""
        return self._task

    def find_failure(self) -> str | None:
        """Return why the engine is dead, or None."""
        return "the vLLM engine process died" if self._engine.errored else None

    def take_snapshot(self) -> EngineSnapshot:
        """Return vLLM's own counters, summed over its engines."""
        families = {family.name: family for family in get_prometheus_registry().collect()}

        def total(name: str, suffix: str = "") -> float:
            samples = families[name].samples if name in families else ()
            return sum(float(item.value) for item in samples if item.name == name + suffix)

        return EngineSnapshot(
            running=int(total("vllm:num_requests_running")),
            waiting=int(total("vllm:num_requests_waiting")),
            kv_cache_usage=total("vllm:kv_cache_usage_perc"),
            prompt_tokens=int(total("vllm:prompt_tokens", "_total")),
            generation_tokens=int(total("vllm:generation_tokens", "_total")),
            histograms={
                key: _build_histogram(families.get(name)) for key, name in _histograms.items()
            },
        )

    def render_metrics(self) -> bytes:
        """Return vLLM's metrics."""
        return write_page(get_prometheus_registry().collect())

    async def score(self, text: str) -> Score | None:
        """Return what the engine gives the tokens of a prompt; None without a tokenizer, or for a model that generates nothing.

        Raises:
            SelfTestError: the engine cannot do it.
        """
        tasks = await self._engine.get_supported_tasks()
        if "generate" not in tasks or self._args.skip_tokenizer_init:
            return None
        room = self._engine.model_config.max_model_len - 1
        tokens = self._engine.get_tokenizer().encode(text)[:room]
        if len(tokens) < 2:  # noqa: PLR2004  # because the first token has no probability
            return None
        asked = SamplingParams(prompt_logprobs=0, max_tokens=1, temperature=0.0, detokenize=False)
        prompt = tokens_input(tokens)
        try:
            async for answer in self._engine.generate(prompt, asked, f"self-test-{uuid.uuid4()}"):
                rows = answer.prompt_logprobs
        except Exception as error:
            # A dead engine says only where its stack trace is.
            raise SelfTestError(self.find_failure() or f"the engine says {error}") from error
        found = (rows[place][token].logprob for place, token in enumerate(tokens) if place)
        return Score(tuple(tokens), tuple(found))

    async def compute_reference(self, tokens: Sequence[int]) -> float | None:
        """Return the score by transformers in float32, or None where it cannot be had."""
        return await find_reference(Path(self._args.model), tokens, self._user_flags)

    async def load_adapter(self, name: str, path: str) -> None:
        """Load an adapter into every process of the engine.

        Raises:
            AdapterError: vLLM refuses the adapter, or its files are those of another model.
        """
        await asyncio.to_thread(check_adapter, Path(path), Path(self._args.model))
        request = LoadLoRAAdapterRequest(lora_name=name, lora_path=path)
        answer = await self._serving_models().load_lora_adapter(request)
        if isinstance(answer, ErrorResponse):
            found = _worker_error.search(answer.error.message)
            raise AdapterError(found["sentence"] if found else answer.error.message)

    async def unload_adapter(self, name: str) -> None:
        """Remove an adapter from the list, then from memory; a request in progress loads it again."""
        models = self._serving_models()
        number = models.lora_requests[name].lora_int_id
        await models.unload_lora_adapter(UnloadLoRAAdapterRequest(lora_name=name))
        await self._engine.remove_lora(number)

    def _serving_models(self) -> OpenAIServingModels:
        if self._models is None:
            raise RuntimeError("build_app must be called first")
        return self._models

    def shutdown(self) -> None:
        """End the engine's processes."""
        self._engine.shutdown()


def _hide_engine_words(app: ASGIApp) -> ASGIApp:
    """Return vLLM's application with another message for requests whose engine died: vLLM points its clients to a stack trace."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            send = make_renaming_send(send, _DEAD_ENGINE, ENGINE_STOPPED)
        await app(scope, receive, send)

    return answer


def _build_histogram(family: Any) -> dict[str, Any]:  # noqa: ANN401  # because prometheus_client has no type for it
    """Return a histogram in the form of `Histogram.as_json`, summed over label sets."""
    counts: dict[str, float] = {}
    total = seconds = 0.0
    for sample in family.samples if family else ():
        if sample.name.endswith("_bucket"):
            counts[sample.labels["le"]] = counts.get(sample.labels["le"], 0.0) + sample.value
        elif sample.name.endswith("_count"):
            total += sample.value
        elif sample.name.endswith("_sum"):
            seconds += sample.value
    ordered = sorted(counts.items(), key=lambda item: float(item[0]))
    buckets = [[le if le == "+Inf" else float(le), int(count)] for le, count in ordered]
    return {"buckets": buckets, "sum": seconds, "count": int(total)}
