"""The reference of the self-test: the score of the model's own weights, by transformers in float32 on the CPU."""

import asyncio
import json
import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from llmdeployment_serving.errors import ServingError
from llmdeployment_serving.lora_files import read_shapes
from llmdeployment_serving.node import read_memory_limit, read_memory_use

logger = logging.getLogger(__name__)

MOST_PARAMETERS = 1_200_000_000
"""Parameters of the largest model that is scored so; a larger one would take a start's minutes and gigabytes."""
BYTES_PER_PARAMETER = 5
"""Memory that scoring takes: 4 bytes for each number, and a quarter for what is computed."""

_OTHER_WEIGHTS = frozenset(
    {"quantization", "load-format", "kv-cache-dtype", "hf-overrides", "hf-config-path"}
    | {"logprobs-mode", "tokenizer", "model-impl", "model-loader-extra-config"}
)
"""Flags with which the engine computes something else than the files say, on purpose."""


async def find_reference(folder: Path, tokens: Sequence[int], flags: Iterable[str]) -> float | None:
    """Return the score of `tokens`, in nats a token, or None where it cannot be had.

    Args:
        folder: the model's files.
        tokens: what is scored.
        flags: names of the user's engine flags.
    """
    why = explain_absence(folder, flags)
    if why is None:
        try:
            return await asyncio.to_thread(compute_reference, folder, tokens)
        except Exception as error:  # noqa: BLE001  # because transformers may fail at a model in any way
            why = f"transformers says {type(error).__name__}: {error}"
    logger.info("self-test: the first replica's score is the reference, because %s", why)
    return None


def explain_absence(folder: Path, flags: Iterable[str]) -> str | None:
    """Return why transformers is not asked for a reference of the model in `folder`, or None if it can be.

    Args:
        folder: the model's files.
        flags: names of the user's engine flags.
    """
    if changed := sorted({flag.split(".")[0] for flag in flags} & _OTHER_WEIGHTS):
        return f"flag {changed[0]} changes what the model computes"
    try:
        if "quantization_config" in json.loads((folder / "config.json").read_text("utf-8")):
            return "the model's weights are quantized"
        return _explain_size(count_parameters(folder))
    except (ServingError, OSError, ValueError, TypeError) as error:
        return str(error)


def _explain_size(parameters: int) -> str | None:
    if not parameters:
        return "the model has no safetensors files with plain numbers"
    if parameters > MOST_PARAMETERS:
        return f"the model has {parameters:,} parameters, more than {MOST_PARAMETERS:,}"
    needed, free = parameters * BYTES_PER_PARAMETER, _read_free_memory()
    if free is not None and needed > free:
        return f"it would take {needed >> 20} MiB of memory, and {free >> 20} are free"
    return None


def count_parameters(folder: Path) -> int:
    """Return the numbers in the matrices of a model's safetensors files; 0 if there are none, or they are packed (quantized)."""
    shapes = (read_shapes(file) for file in folder.glob("*.safetensors"))
    return sum(math.prod(shape) for found in shapes for shape in found.values())


def compute_reference(folder: Path, tokens: Sequence[int]) -> float:
    """Return the mean log-likelihood per token of `tokens`, in nats. Takes seconds.

    Raises:
        OSError, ValueError, RuntimeError, ImportError: transformers cannot run this model.
    """
    import torch  # noqa: PLC0415  # because it is heavy, and only replicas with weights have it
    from transformers import AutoModelForCausalLM  # noqa: PLC0415  # because it is heavy, and only replicas with weights have it

    with torch.inference_mode(), torch.device("cpu"):
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False
        )
        model.eval()
        ids = torch.tensor([list(tokens)])
        logits = model(ids).logits[0, :-1].float()
        found = torch.log_softmax(logits, dim=-1).gather(1, ids[0, 1:, None])
        return float(found.mean())


def _read_free_memory() -> int | None:
    """Return the bytes that this pod may still take, or None if it has no limit; 0 where its use is not known."""
    limit = read_memory_limit()
    if limit is None:
        return None
    use = read_memory_use()
    return max(0, limit - use) if use is not None else 0
