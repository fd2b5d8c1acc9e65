"""What the autoscaling benchmark runs on: engines, targets, traces, and re-samples of traces."""

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmdeployment_operator.autoscaler.types import Target
from llmdeployment_operator.simulation.generators import arrivals
from llmdeployment_operator.simulation.profile import Profile
from llmdeployment_operator.simulation.trace import Request, read_trace

DATA = Path(__file__).parent / "data"

ENGINE = Profile(
    prefill_tokens_per_second=5_000.0,
    decode_tokens_per_second=30.0,
    batch_tokens_per_second=800.0,
    max_num_seqs=128,
    kv_cache_tokens=200_000,
)
"""Of the traces: one replica carries about 1.5 requests/s of the conversations."""

TARGETS = (Target("ttft", 99, 2.0), Target("itl", 90, 0.2))
"""Of the traces. The engine counts each gap, a request's attainment is its mean gap: 90 % of gaps keep more than 99 % of means."""


@dataclass(frozen=True)
class Case:
    """One trace at one speed and one warm-up."""

    name: str
    trace: Sequence[Request]
    warm_up: float
    initial: int
    maximum: int
    bar: float
    """The attainment that is asked for."""


def read_recorded(name: str, speed: int) -> list[Request]:
    """Return an Azure trace with its times divided by `speed`."""
    rows = read_trace(DATA / f"azure2023_{name}.csv.gz")
    return [Request(row.at / speed, row.prompt_tokens, row.output_tokens) for row in rows]


def cases(trace_name: str, *, quick: bool) -> list[Case]:
    """Return a recorded trace in all variants; `quick`: at its own speed alone."""
    found = []
    for name, speed, initial, maximum, bar in (
        ("conv", 1, 4, 32, 0.99),
        ("conv", 4, 16, 64, 0.99),
        ("code", 1, 8, 64, 0.97),
        ("code", 4, 24, 96, 0.97),
    ):
        if name != trace_name or (quick and speed != 1):
            continue
        trace = read_recorded(name, speed)
        found += [
            Case(f"{name} {speed}x, warm-up {warm_up:.0f} s", trace, warm_up, initial, maximum, bar)
            for warm_up in (18.0, 100.0)
        ]
    return found


def resample(trace: Sequence[Request], seed: int) -> list[Request]:
    """Return a bootstrap re-sample that keeps the rate's course.

    Each request comes Poisson(1) times, up to 5 s earlier or later, with the tokens of a request drawn from the 60 s around it.
    """
    source = random.Random(seed)  # noqa: S311  # because a benchmark keeps no secret
    times = [request.at for request in trace]
    made = []
    for request in trace:
        low = bisect_left(times, request.at - 30.0)
        high = bisect_right(times, request.at + 30.0)
        for _ in range(_poisson_one(source)):
            tokens = trace[source.randrange(low, high)]
            at = abs(request.at + source.uniform(-5.0, 5.0))
            made.append(Request(at, tokens.prompt_tokens, tokens.output_tokens))
    return sorted(made)


def _poisson_one(source: random.Random) -> int:
    count, left, limit = 0, source.random(), math.exp(-1.0)
    while left > limit:
        count += 1
        left *= source.random()
    return count


RAMP = ((330, 2), (360, 4), (360, 6), (360, 8), (360, 10), (360, 4), (300, 1))
"""(seconds, requests/s) of llm-d's scored run: slo-aware/benchmark-templates/scored-config.yml."""

RAMP_ENGINE = Profile(
    prefill_tokens_per_second=20_000.0,
    decode_tokens_per_second=1.0 / (0.025 + 1.0 / 4_700.0),
    batch_tokens_per_second=4_700.0,
    max_num_seqs=256,
    kv_cache_tokens=600_000,
    warm_up_seconds=100.0,
)
"""Chosen so that their law comes out as published, 95.8 % at 5.93 replicas; nothing else of it is known to be theirs."""

RAMP_TARGETS = (Target("ttft", 95, 3.0), Target("itl", 90, 0.1))
"""Their targets; the percentiles are ours to choose (theirs is 90, in the law's signal)."""


def ramp(seed: int) -> list[Request]:
    """Return llm-d's load: constant rates, 4,000 tokens in and 1,000 out."""

    def tokens(source: random.Random) -> tuple[int, int]:
        prompt = min(4_500.0, max(3_500.0, source.gauss(4_000, 300)))
        output = min(1_100.0, max(900.0, source.gauss(1_000, 80)))
        return round(prompt), round(output)

    def rate(at: float) -> float:
        for seconds, per_second in RAMP:
            if at < seconds:
                return float(per_second)
            at -= seconds
        return 1.0

    seconds = float(sum(row[0] for row in RAMP))
    return list(arrivals(rate, seconds, tokens, seed=seed, shape=1_000.0))
