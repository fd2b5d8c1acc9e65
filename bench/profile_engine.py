"""Measures what one replica of an engine can do, for `kubectl llm simulate --engine-profile`, and how far the simulator is from it.

Three loads, one after the other: single questions of several lengths (prefill rate), questions at once in several numbers (decode and
batch rate), and one that the fit never saw: random arrivals of random lengths at about half of what the engine carries. The simulator
gets the same requests, and both sides' percentiles are printed with their error. The endpoint must have no other load meanwhile, and
one replica.

Limits that a client cannot see are given: the number of sequences at once (--max-num-seqs, seen only where --concurrency exceeds it),
the prefill budget of a step (--max-num-batched-tokens) and the size of the KV cache (--kv-cache-tokens); vLLM prints all three when it
starts.

Run: `python -m bench.profile_engine --url http://127.0.0.1:8000/v1 --model chat > profile.json`. The key, if it needs one, is in
LLMD_API_KEY.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import aiohttp
from bench import profile_fit as fit
from bench.profile_probe import Answer, Endpoint, ProbeError, alone, replay, together

from llmdeployment_operator.simulation import generators
from llmdeployment_operator.simulation.profile import Profile

OK = 200


@dataclass(frozen=True)
class Plan:
    """What is measured and how often."""

    lengths: tuple[int, ...] = (32, 128, 512, 1024)
    """Words of the single questions."""
    concurrency: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    tokens: int = 64
    rounds: int = 5
    requests: int = 120
    """Of the load that the fit never saw."""


Limits = dict[str, float | int]
"""What the client cannot see, by the profile's names."""


async def measure(endpoint: Endpoint, plan: Plan, limits: Limits) -> dict[str, Any]:
    """Return the profile, what it was fitted to, and its error on a load that the fit never saw.

    Raises:
        ProbeError: the endpoint does not answer as an OpenAI API does.
    """
    single = await alone(endpoint, plan.lengths, 2, plan.rounds)
    batches: list[fit.Batch] = []
    for number in plan.concurrency:
        seats, batch = await _at_once(endpoint, plan, number)
        if seats < number:
            limits = {"max_num_seqs": seats, **limits}
            break
        if batch is not None:
            batches.append(batch)
    if not batches:
        raise ProbeError("no two tokens of an answer were apart: ask for more --tokens")
    rates = fit.rates_of(single, batches)
    profile = Profile.model_validate(
        {
            "prefill_tokens_per_second": round(rates.prefill, 2),
            "decode_tokens_per_second": round(rates.decode, 3),
            "batch_tokens_per_second": round(max(rates.batch, rates.decode), 3),
            **limits,
        }
    )
    unseen = await _unseen(endpoint, plan, profile, batches[-1].running)
    return {
        "profile": profile.model_dump(),
        "overhead_ms": round(rates.overhead * 1000, 2),
        "gaps_ms": {str(batch.running): round(batch.gap * 1000, 3) for batch in batches},
        "heldout": {"requests": len(unseen), **fit.heldout(profile, unseen)},
    }


async def _at_once(endpoint: Endpoint, plan: Plan, number: int) -> tuple[int, fit.Batch | None]:
    """Ask `number` questions at once, some rounds; return how many were in the batch together, and the median round's gap."""
    turns = [
        await together(endpoint, number, plan.lengths[0], plan.tokens) for _ in range(plan.rounds)
    ]
    found = [batch for batch in map(fit.batch_of, turns) if batch is not None]
    seats = max(map(fit.slots_of, turns))
    return seats, fit.Batch(number, median(batch.gap for batch in found)) if found else None


async def _unseen(
    endpoint: Endpoint, plan: Plan, profile: Profile, running: int
) -> Sequence[Answer]:
    """Load the endpoint at about half of what it carries with `running` sequences."""
    words = plan.lengths[len(plan.lengths) // 2]
    per_request = plan.tokens * profile.step_seconds(running, 0) / running
    seconds = per_request + words / profile.prefill_tokens_per_second
    per_second = 0.5 / seconds
    tokens = generators.lognormal_tokens(words, plan.tokens, sigma=0.5, limit=plan.lengths[-1])
    trace = generators.poisson(per_second, plan.requests / per_second, tokens, seed=11)
    return await replay(endpoint, list(trace))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="ends in /v1")
    parser.add_argument("--model", required=True)
    parser.add_argument("--lengths", type=int, nargs="+", default=list(Plan.lengths))
    parser.add_argument("--concurrency", type=int, nargs="+", default=list(Plan.concurrency))
    parser.add_argument("--tokens", type=int, default=Plan.tokens)
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--requests", type=int, default=Plan.requests)
    parser.add_argument("--max-num-seqs", type=int)
    parser.add_argument("--max-num-batched-tokens", type=int)
    parser.add_argument("--kv-cache-tokens", type=int)
    parser.add_argument("--warm-up-seconds", type=float)
    options = parser.parse_args()
    names = ("max_num_seqs", "max_num_batched_tokens", "kv_cache_tokens", "warm_up_seconds")
    given = {name: getattr(options, name) for name in names}
    limits = {name: value for name, value in given.items() if value is not None}
    plan = Plan(
        lengths=tuple(sorted(options.lengths)),
        concurrency=tuple(sorted(options.concurrency)),
        tokens=options.tokens,
        rounds=options.rounds,
        requests=options.requests,
    )
    try:
        found = asyncio.run(_over_http(options.url, options.model, plan, limits))
    except (ProbeError, aiohttp.ClientError, TimeoutError) as error:
        sys.exit(f"profile_engine: {options.url}: {error}")
    print(json.dumps(found, indent=2))


async def _over_http(url: str, model: str, plan: Plan, limits: Limits) -> dict[str, Any]:
    key = os.environ.get("LLMD_API_KEY")
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=3600),
        connector=aiohttp.TCPConnector(limit=0),
        headers={"authorization": f"Bearer {key}"} if key else {},
    ) as session:

        async def post(body: dict[str, Any]) -> AsyncIterator[bytes]:
            async with session.post(f"{url}/chat/completions", json=body) as answer:
                if answer.status != OK:
                    said = (await answer.text())[:300]
                    raise ProbeError(f"it answered {answer.status}: {said}")
                async for line in answer.content:
                    yield line

        return await measure(Endpoint(post, time.perf_counter, model), plan, limits)


if __name__ == "__main__":
    main()
