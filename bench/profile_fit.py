"""From measured answers to an engine profile, by least squares, and how far the simulator is from what was measured with it.

The equations are the queueing model's (llmdeployment_operator.simulation.profile). Alone, a prompt of p tokens has its first token after

    ttft(p) = overhead + 1/decode + p / prefill

so the slope over p gives the prefill rate. With n sequences in the batch a token takes

    gap(n) = (1/decode - 1/batch) + n / batch

so the slope over n gives the batch rate, and gap(1) the decode rate. The overhead (HTTP, tokenizer, scheduling) is told and is no part of
a profile.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, linear_regression, median
from typing import Any

from bench.profile_probe import Answer

from llmdeployment_operator.simulation.profile import Profile
from llmdeployment_operator.simulation.run import simulate
from llmdeployment_operator.simulation.scalers import fixed
from llmdeployment_operator.simulation.trace import Request

MANY = 1e9
"""Tokens per second that stand for "too fast to measure"."""


@dataclass(frozen=True)
class Batch:
    """What questions at once showed."""

    running: int
    """How many were in the batch together."""
    gap: float
    """Seconds between two tokens while they were."""


@dataclass(frozen=True)
class Rates:
    """What was fitted; tokens per second, and the overhead of a request in seconds."""

    prefill: float
    decode: float
    batch: float
    overhead: float


def prefill_of(rows: Sequence[Sequence[Answer]]) -> tuple[float, float]:
    """Return the prefill rate and the time to first token of an empty prompt, from the median answer to each row of prompts.

    >>> slow = [[Answer(0.0, (0.02 + p / 1000,), p, 1)] for p in (100, 200, 400)]
    >>> [round(value, 6) for value in prefill_of(slow)]
    [1000.0, 0.02]
    """
    lengths = [median(answer.prompt_tokens for answer in row) for row in rows]
    firsts = [median(answer.ttft for answer in row) for row in rows]
    slope, intercept = linear_regression(lengths, firsts)
    return (1.0 / slope if slope > 1.0 / MANY else MANY), max(0.0, intercept)


def batch_of(answers: Sequence[Answer]) -> Batch | None:
    """Return the mean gap between the last first token and the first last one, when all are in the batch; None if they never are.

    >>> two = [Answer(0.0, (0.1, 0.2, 0.3, 0.4), 5, 4), Answer(0.0, (0.2, 0.3, 0.4, 0.5), 5, 4)]
    >>> batch_of(two)
    Batch(running=2, gap=0.1)
    """
    begin = max(answer.times[0] for answer in answers)
    end = min(answer.times[-1] for answer in answers)
    gaps: list[float] = []
    for answer in answers:
        inside = [at for at in answer.times if begin <= at <= end]
        if len(inside) > 1:
            per_event = answer.output_tokens / len(answer.times)
            gaps.append((inside[-1] - inside[0]) / (len(inside) - 1) / per_event)
    return Batch(len(answers), round(fmean(gaps), 9)) if gaps else None


def slots_of(answers: Sequence[Answer]) -> int:
    """Return how many were in the batch before the first of them was done.

    >>> slots_of([Answer(0.0, (0.1, 0.4), 5, 2), Answer(0.0, (0.5, 0.8), 5, 2)])
    1
    """
    end = min(answer.times[-1] for answer in answers)
    return sum(answer.times[0] <= end for answer in answers)


def decode_of(batches: Sequence[Batch]) -> tuple[float, float]:
    """Return the decode rate of one sequence alone, and the batch rate.

    >>> [round(rate) for rate in decode_of([Batch(n, 0.0095 + n / 2000) for n in (1, 4, 16)])]
    [100, 2000]
    """
    if len({batch.running for batch in batches}) == 1:
        return (1.0 / batches[0].gap,) * 2
    numbers, gaps = [float(batch.running) for batch in batches], [batch.gap for batch in batches]
    slope, fixed_part = linear_regression(numbers, gaps)
    if fixed_part < 0:
        slope = sum(n * g for n, g in zip(numbers, gaps, strict=True)) / sum(n * n for n in numbers)
        fixed_part = 0.0
    if slope < 1.0 / MANY:
        slope, fixed_part = 1.0 / MANY, fmean(gaps)
    return 1.0 / (fixed_part + slope), 1.0 / slope


def rates_of(single: Sequence[Sequence[Answer]], batches: Sequence[Batch]) -> Rates:
    """Return all rates."""
    prefill, empty = prefill_of(single)
    decode, batch = decode_of(batches)
    return Rates(prefill, decode, batch, max(0.0, empty - 1.0 / decode))


def heldout(profile: Profile, answers: Sequence[Answer]) -> dict[str, Any]:
    """Return, for each metric, percentiles as measured and as the simulator says them of the same requests, and their relative error."""
    ordered = sorted(answers, key=lambda answer: answer.asked)
    begin = ordered[0].asked
    trace = [Request(a.asked - begin, a.prompt_tokens, a.output_tokens) for a in ordered]
    result = simulate(trace, profile, fixed(1), initial=1)
    measured = {
        "ttft": [answer.ttft for answer in ordered],
        "itl": [answer.gap for answer in ordered],
        "e2e": [answer.e2e for answer in ordered],
    }
    simulated = {
        "ttft": list(result.values("ttft")),
        "itl": list(result.values("itl")),
        "e2e": list(result.values("e2e")),
    }
    return {name: _compare(measured[name], simulated[name]) for name in measured}


def _compare(measured: Sequence[float], simulated: Sequence[float]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for percent in (50, 90, 99):
        true, said = _percentile(measured, percent), _percentile(simulated, percent)
        row[f"p{percent}"] = {
            "measured_ms": round(true * 1000, 2),
            "simulated_ms": round(said * 1000, 2) if math.isfinite(said) else None,
            "error": round(said / true - 1.0, 4) if true and math.isfinite(said) else None,
        }
    return row


def _percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
