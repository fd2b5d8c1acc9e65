"""The continuous batching of transformers, with one model: tokens in, tokens out.

The names that it imports are not all a stable API: transformers 5.19 is pinned, and `tests/component/serving/test_transformers.py`
checks them.
"""

import asyncio
import gc
import logging
import os
import queue
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    ContinuousBatchingConfig,
    GenerationConfig,
)
from typing_extensions import override

from llmdeployment_serving.errors import ENGINE_STOPPED, ConfigError, EngineDeadError
from llmdeployment_serving.node import read_memory_limit
from llmdeployment_serving.transformers_flags import Flags
from llmdeployment_serving.transformers_request import Sampling
from llmdeployment_serving.transformers_sampler import KEY, Sampler

logger = logging.getLogger(__name__)

CPU_TOKENS, GPU_TOKENS = 512, 2048
"""Tokens of one step. With `sdpa`, every token of a step has a mask over the whole KV cache, so more tokens cost memory."""
_gibibyte = 1024**3
_look_seconds = 5.0
"""Seconds without a token after which a request looks whether the engine is dead."""
_stop_seconds = 10.0


@dataclass(frozen=True)
class Load:
    """What the batch does now; `kv_cache_usage` is a share of 0 to 1."""

    running: int
    waiting: int
    kv_cache_usage: float


class Batch:
    """A loaded model and the thread that generates with it."""

    def __init__(self, model: Any, tokenizer: Any, flags: Flags) -> None:  # noqa: ANN401  # because transformers has no types here
        self.tokenizer = tokenizer
        self.ends = _find_ends(model, tokenizer)
        self._model = model
        self._error: str | None = None
        self._manager = _make_manager(model, flags)
        cache = self._manager.batch_processor.cache
        holds = cache.num_blocks * flags.block_size
        self.context = _choose_context(model.config.get_text_config(), holds, flags)
        self._manager.start()

    def find_failure(self) -> str | None:
        """Return why the thread is dead, or None."""
        status = self._manager.background_thread_status
        # It says that it stops before it fails the requests that it has, and what it died of only afterwards.
        if status.can_accept_new_requests() is None and self._manager.is_running():
            return None
        return f"transformers stopped: {status.fatal_error or self._error}"

    def read_generation_config(self) -> dict[str, Any]:
        """Return what the model's files say of sampling."""
        found: dict[str, Any] = self._model.generation_config.to_diff_dict()
        return found

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, without special ones."""
        text: str = self.tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    async def generate(
        self, tokens: Sequence[int], limit: int, ends: frozenset[int], sampling: Sampling
    ) -> AsyncIterator[Any]:
        """Yield transformers' `GenerationOutput` after each new token; leaving early cancels the request.

        Args:
            tokens: the prompt.
            limit: the answer's tokens, at most.
            ends: tokens with which the answer ends.
            sampling: how its tokens are chosen.

        Raises:
            EngineDeadError: the thread stopped.
        """
        name = uuid.uuid4().hex
        outputs: asyncio.Queue[Any] = asyncio.Queue()
        self._manager.register_result_handler(name, outputs.put_nowait)
        try:
            accepted = self._manager.add_request(
                list(tokens),
                request_id=name,
                max_new_tokens=limit,
                streaming=True,
                eos_token_id=sorted(ends) or -1,
                **{KEY: sampling},
            )
            if accepted is None:
                raise EngineDeadError(ENGINE_STOPPED)
            while True:
                output = await self._take(outputs)
                if output.error is not None:
                    self._error = output.error
                    raise EngineDeadError(ENGINE_STOPPED)
                yield output
                if output.is_finished():
                    return
        finally:
            self._forget(name)

    async def _take(self, outputs: asyncio.Queue[Any]) -> Any:  # noqa: ANN401  # because transformers has no types here
        while True:
            try:
                async with asyncio.timeout(_look_seconds):
                    return await outputs.get()
            except TimeoutError:
                if self.find_failure() is not None:
                    raise EngineDeadError(ENGINE_STOPPED) from None

    def _forget(self, name: str) -> None:
        """Cancel a request; nothing happens to one that is finished."""
        router = self._manager.output_router
        with router._lock:  # noqa: SLF001  # because transformers has no method for it
            is_under_way = router.result_handlers.pop(name, None) is not None
        if is_under_way:
            self._manager.cancel_request(name)

    def measure_load(self) -> Load:
        """Return what the thread does now."""
        processor = self._manager.batch_processor
        if processor is None:
            return Load(0, 0, 0.0)
        scheduler = processor.scheduler
        waiting = len(scheduler.waiting_requests) + self._manager.input_queue.qsize()
        free = processor.cache.compute_free_capacity()
        return Load(len(scheduler.active_requests), waiting, min(1.0, max(0.0, 1.0 - free)))

    def compute_logprobs(self, tokens: Sequence[int]) -> list[float]:
        """Return the log-likelihood of each token after the first, in nats.

        Raises:
            RuntimeError: the model is gone, or cannot do it.
        """
        model = self._model
        if model is None:
            raise RuntimeError(ENGINE_STOPPED)
        with torch.inference_mode():
            ids = torch.tensor([list(tokens)], device=model.device)
            logits = model(ids, use_cache=False).logits[0, :-1].float()
            found = torch.log_softmax(logits, dim=-1).gather(1, ids[0, 1:, None])
            return [float(value) for value in found[:, 0]]

    def shutdown(self) -> None:
        """End the thread, and let go of the model and the KV cache: the next engine needs the memory while this object still exists."""
        manager = self._manager
        if manager.is_running():
            manager.stop(block=True, timeout=_stop_seconds, hard_stop=True)
        self._model = manager.model = manager.batch_processor = None
        if (error := manager.background_thread_status.fatal_error) is not None:
            # Its frames hold tensors.
            error.__traceback__ = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class _Nowhere(queue.Queue[Any]):
    """Stands where transformers puts the outputs of requests without a handler, and forgets them.

    The thread goes on with a request until it sees the cancellation. Its outputs have the whole prompt, and nobody would ever take them
    out of a real queue.
    """

    @override
    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Do nothing."""


async def load_batch(folder: Path, flags: Flags) -> Batch:
    """Return a batch that runs.

    Raises:
        ConfigError: transformers cannot serve this model on this machine.
    """
    try:
        # In a thread: an engine that follows a dead one starts while the replica goes on.
        return await asyncio.to_thread(_load, folder, flags)
    except ConfigError:
        raise
    except (ValueError, OSError, RuntimeError, ImportError, KeyError, TypeError) as error:
        raise ConfigError(
            f"transformers cannot serve this model: {type(error).__name__}: {error}"
        ) from error


def _load(folder: Path, flags: Flags) -> Batch:
    if flags.seed is not None:
        torch.manual_seed(flags.seed)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    dtype = "auto" if flags.dtype == "auto" else getattr(torch, flags.dtype)
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        attn_implementation="sdpa",
    )
    if not hasattr(model, "init_continuous_batching"):
        name = type(model).__name__
        raise ConfigError(f"transformers has no continuous batching for {name}: use vllm")
    return Batch(model.to(choose_device()), tokenizer, flags)


def choose_device() -> str:
    """Return the GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _make_manager(model: Any, flags: Flags) -> Any:  # noqa: ANN401  # because transformers has no types here
    on_gpu = model.device.type == "cuda"
    manager = model.init_continuous_batching(
        generation_config=GenerationConfig(do_sample=False, eos_token_id=-1),
        continuous_batching_config=ContinuousBatchingConfig(
            page_size=flags.block_size,
            num_blocks=_count_blocks(model, flags),
            max_batch_tokens=flags.max_num_batched_tokens or (GPU_TOKENS if on_gpu else CPU_TOKENS),
            max_requests_per_batch=flags.max_num_seqs,
            max_memory_percent=flags.gpu_memory_utilization,
            allow_block_sharing=flags.enable_prefix_caching,
            use_cuda_graph=False,
            auto_switch_to_flash=False,
        ),
    )
    manager.logit_processor = Sampler()
    manager.output_router.output_queue = _Nowhere()
    # This makes the KV cache, here instead of in the thread, so that an error of it is one of the start.
    manager.warmup()
    return manager


def _count_blocks(model: Any, flags: Flags) -> int | None:  # noqa: ANN401  # because transformers has no types here
    """Return the blocks of the KV cache; None lets transformers measure the free memory of the GPU.

    On a CPU that would be the machine's, of which this pod has a part. So there it is a quarter of the pod's limit and at least 1 GiB,
    as for vLLM.
    """
    space = flags.kv_cache_memory_bytes
    if space is None:
        if model.device.type != "cpu":
            return None
        space = max(_gibibyte, (read_memory_limit() or 0) // 4)
    return max(1, space // (flags.block_size * count_token_bytes(model)))


def count_token_bytes(model: Any) -> int:  # noqa: ANN401  # because transformers has no types here
    """Return the bytes of the KV cache for one token: key and value of each head in each layer."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size * model.dtype.itemsize)


def _choose_context(config: Any, holds: int, flags: Flags) -> int:  # noqa: ANN401  # because transformers has no types here
    """Return the tokens of prompt and answer together.

    Raises:
        ConfigError: the KV cache is smaller than the context that the user wants.
    """
    known = getattr(config, "max_position_embeddings", None) or holds
    wanted = flags.max_model_len
    if wanted is not None and wanted > known:
        raise ConfigError(f"max-model-len is {wanted}, but the model has {known} positions")
    if wanted is not None and wanted > holds:
        raise ConfigError(
            f"max-model-len is {wanted}, but the KV cache holds {holds} tokens: "
            "give the pod more memory, or set max-model-len lower"
        )
    return min(wanted or known, holds)


def _find_ends(model: Any, tokenizer: Any) -> frozenset[int]:  # noqa: ANN401  # because transformers has no types here
    """Return the tokens with which the model ends an answer: those of its generation config, and its tokenizer's."""
    found = model.generation_config.eos_token_id
    several = found if isinstance(found, list) else [found]
    return frozenset(token for token in (*several, tokenizer.eos_token_id) if token is not None)


def quiet_progress() -> None:
    """Turn progress bars off: a pod's log is no terminal."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from transformers.utils import logging as transformers_logging  # noqa: PLC0415  # because it is needed once

    transformers_logging.disable_progress_bar()
