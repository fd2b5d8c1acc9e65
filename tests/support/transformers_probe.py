"""What only a process with PyTorch can tell of the transformers engine, as JSON: runs in the serving environment.

`python transformers_probe.py MODEL PROMPTS` prints the greedy answers of plain `model.generate`, the sampler's choices, and what
becomes of requests when the engine's thread dies.
"""

import asyncio
import inspect
import json
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from llmdeployment_serving.errors import ConfigError, EngineDeadError
from llmdeployment_serving.transformers_batch import Batch, Load, load_batch, quiet_progress
from llmdeployment_serving.transformers_flags import Flags
from llmdeployment_serving.transformers_request import Sampling
from llmdeployment_serving.transformers_sampler import Sampler, draw

DRAWS = 20_000
CHANCES = (0.5, 0.3, 0.15, 0.05)
GREEDY = Sampling(temperature=0.0)


async def main(folder: Path, prompts: list[str], tokens: int) -> dict[str, Any]:
    """Return everything that is asked."""
    quiet_progress()
    flags = Flags(max_model_len=512, kv_cache_memory_bytes=64 * 2**20)
    batch = await load_batch(folder, flags)
    return {
        "generate": [generate(batch, prompt, tokens) for prompt in prompts],
        "sampler": try_sampler(),
        "templateParameters": list_template_parameters(),
        "unread": await leave(batch),
        "death": await die(batch),
        "tooSmall": await fail(folder, Flags(max_model_len=512, kv_cache_memory_bytes=2**20)),
        "tooLong": await fail(folder, Flags(max_model_len=100_000)),
        "noModel": await fail(Path("/none"), Flags()),
    }


def generate(batch: Batch, prompt: str, tokens: int) -> dict[str, Any]:
    """Return what the model alone answers to a chat."""
    messages = [{"role": "user", "content": prompt}]
    ids = batch.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False
    )
    with torch.inference_mode():
        made = batch._model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=tokens)
    found = made[0, len(ids) :].tolist()
    text = batch.tokenizer.decode(found, skip_special_tokens=True)
    return {"text": text, "prompt": len(ids), "tokens": len(found)}


def try_sampler() -> dict[str, Any]:
    """Return which tokens are drawn, how often, and whether a seed repeats itself."""
    logits = torch.tensor(CHANCES).log()

    def count(how: Sampling) -> list[float]:
        drawn = draw(logits.expand(DRAWS, -1), [(how, 0)] * DRAWS)
        return (torch.bincount(drawn, minlength=len(CHANCES)) / DRAWS).tolist()

    seeded = [(Sampling(seed=seed), position) for seed in (1, 2) for position in range(40)]
    wide = torch.zeros(1, 1000)
    alone = [int(draw(wide, [row])) for row in seeded]
    together = draw(wide.expand(len(seeded), -1), seeded).tolist()
    sampler = Sampler()
    sampler._rows = [(GREEDY, 0), (Sampling(top_k=1), 0), (GREEDY, 0)]
    scores = logits.flip(0).expand(3, -1).clone()
    chosen = sampler(None, scores.clone(), None)
    mixed = draw(
        logits.expand(3, -1),
        [(Sampling(top_k=1), 0), (Sampling(top_p=0.4), 0), (Sampling(min_p=0.9), 0)],
    )
    return {
        "plain": count(Sampling()),
        "hot": count(Sampling(temperature=2.0)),
        "topK": count(Sampling(top_k=2)),
        "topP": count(Sampling(top_p=0.75)),
        "minP": count(Sampling(min_p=0.25)),
        "mixed": mixed.tolist(),
        "seedsAlone": alone,
        "seedsTogether": together,
        "greedyRowsStay": bool(torch.equal(chosen[[0, 2]], scores[[0, 2]])),
        "drawnRow": chosen[1].argmax().item(),
    }


def list_template_parameters() -> list[str]:
    """Return the parameters around a chat template, which are no variables of it."""
    found = inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters
    return [name for name in found if name not in {"self", "kwargs"}]


async def leave(batch: Batch) -> int:
    """Return how many outputs transformers keeps of a request that was left early."""
    outputs = batch.generate([1, 2, 3], 64, frozenset(), GREEDY)
    await anext(outputs)
    await outputs.aclose()
    async with asyncio.timeout(60):
        while batch.measure_load().running:  # noqa: ASYNC110  # because the thread has no event
            await asyncio.sleep(0.01)  # why: polling
    router = batch._manager.output_router
    router.deliver(SimpleNamespace(request_id="left"))
    return router.output_queue.qsize()


async def die(batch: Batch) -> dict[str, Any]:
    """Return what a request gets whose step fails, and the next one."""

    def fail_step(*_: object) -> None:
        raise RuntimeError("no memory is left")

    batch._manager.batch_processor._generation_step = fail_step
    answers = [await ask(batch), await ask(batch)]
    failure = batch.find_failure()
    weights = weakref.ref(batch._model)
    cache = weakref.ref(batch._manager.batch_processor.cache)
    await asyncio.to_thread(batch.shutdown)
    idle = batch.measure_load() == Load(0, 0, 0.0)
    released = weights() is None and cache() is None
    return {"answers": answers, "failure": failure, "released": released, "idle": idle}


async def ask(batch: Batch) -> str:
    """Return the error of one request."""
    try:
        async for _ in batch.generate([1, 2, 3], 4, frozenset(), GREEDY):
            pass
    except EngineDeadError as error:
        return str(error)
    return "answered"


async def fail(folder: Path, flags: Flags) -> str:
    """Return why an engine does not start."""
    try:
        batch = await load_batch(folder, flags)
    except ConfigError as error:
        return str(error)
    batch.shutdown()
    return "started"


if __name__ == "__main__":
    found = asyncio.run(main(Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])))
    sys.stdout.write(json.dumps(found))
