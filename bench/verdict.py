"""How often a canary's verdict is wrong and how many requests it takes: seeded simulations of the operator's own `judge`.

    python -m bench.verdict [--runs 1000] [--seed 1]

20 requests/s, 5 % of them to the canary, looked at every 5 s for at most 30 minutes. Two metrics: errors (0.2 % of the stable's,
tolerance 1 point) and TTFT above the stable's 90th percentile (tolerance 5 points). Two more rows have TTFT alone: the canary gets
longer prompts and is otherwise the same, compared as one and by prompt length. Nothing is measured on a clock, so that the machine
does not matter. Last line: one JSON object.
"""

import argparse
import json
import math
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, islice, repeat
from typing import NamedTuple

from llmdeployment_operator.analysis.counts import Counts
from llmdeployment_operator.analysis.e_values import Stratum, log_e_within, log_e_worse
from llmdeployment_operator.analysis.evidence_bound import may_fail, may_pass
from llmdeployment_operator.analysis.sequential_test import (
    ComparedMetric,
    Result,
    SequentialPolicy,
    judge,
)
from llmdeployment_operator.rehearsal.harms import share_when_slower

REQUESTS_PER_LOOK = 100
CANARY = 0.05
LOOKS = 360
ERRORS, ERRORS_TOLERANCE = 0.002, 0.01
SLOW, SLOW_TOLERANCE = 0.1, 0.05
POLICY = SequentialPolicy()

PAST = 12_000
"""Stable requests of the ten minutes before, where they are made use of."""

LOOKS_PER_CLUMP = 12
SPREAD = 19
"""Of a share drawn from Beta(19 t, 19 (1 - t)): two requests of a minute are correlated by 1 / 20."""


def slow_when_scaled(factor: float) -> float:
    """Return the share above the stable's 90th percentile when each lognormal TTFT is `factor` times as long."""
    return share_when_slower(SLOW, factor)


Shares = Iterator[tuple[float, float]]
"""The stable's and the canary's share of slow requests, for each look."""


@dataclass(frozen=True)
class Scenario:
    """What the canary is like."""

    errors: float
    slow: Callable[[random.Random], Shares]
    past: int = 0


def constant(canary: float) -> Callable[[random.Random], Shares]:
    """Return shares that stay what they are."""
    return lambda _source: repeat((SLOW, canary))


def drifting(_source: random.Random) -> Shares:
    """Yield shares that rise from 10 % to 17.5 %, fall to 2.5 % and rise again, the same for both arms."""
    for look in range(LOOKS):
        share = SLOW + 0.075 * math.sin(2 * math.pi * look / LOOKS)
        yield share, share


def draw_clumped(canary: float) -> Callable[[random.Random], Shares]:
    """Return shares that each arm draws anew every minute, around 10 % and `canary`."""

    def shares(source: random.Random) -> Shares:
        while True:
            pair = [source.betavariate(t * SPREAD, (1 - t) * SPREAD) for t in (SLOW, canary)]
            yield from repeat((pair[0], pair[1]), LOOKS_PER_CLUMP)

    return shares


SCENARIOS = {
    "same": Scenario(ERRORS, constant(SLOW)),
    "same_with_past": Scenario(ERRORS, constant(SLOW), PAST),
    "slow_at_tolerance": Scenario(ERRORS, constant(SLOW + SLOW_TOLERANCE)),
    "slow_at_tolerance_with_past": Scenario(ERRORS, constant(SLOW + SLOW_TOLERANCE), PAST),
    "ttft_doubled": Scenario(ERRORS, constant(slow_when_scaled(2))),
    "errors_5_percent": Scenario(0.05, constant(SLOW)),
    "same_drifting": Scenario(ERRORS, drifting),
    "same_clumped": Scenario(ERRORS, draw_clumped(SLOW)),
    "slow_at_tolerance_clumped": Scenario(ERRORS, draw_clumped(SLOW + SLOW_TOLERANCE)),
}


class Length(NamedTuple):
    """Prompts of about one length: their part of each arm's requests, and how many of them are slow on either."""

    stable: float
    canary: float
    slow: float


LENGTHS = (Length(0.7, 0.3, 0.04), Length(0.2, 0.3, 0.16), Length(0.1, 0.4, 0.4))
"""The canary gets four times as many of the longest: 22 % of its requests are slow and 10 % of the stable's, each length being alike."""


def drawn(source: random.Random, total: int, share: float) -> int:
    """Return a binomial number."""
    return sum(source.random() < share for _ in range(total))


def grown(counts: Counts, source: random.Random, total: int, share: float) -> Counts:
    """Return the counts after another window."""
    return Counts(counts.total + total, counts.bad + drawn(source, total, share))


def run(scenario: Scenario, source: random.Random) -> tuple[Result, int]:
    """Return the first verdict and the canary requests it took."""
    past = [grown(Counts(), source, scenario.past, share) for share in (ERRORS, SLOW)]
    errors = ComparedMetric("errors", ERRORS_TOLERANCE, (Stratum(Counts(), Counts(), past[0]),))
    slow = ComparedMetric("ttft", SLOW_TOLERANCE, (Stratum(Counts(), Counts(), past[1]),))
    for shares in islice(scenario.slow(source), LOOKS):
        canary = drawn(source, REQUESTS_PER_LOOK, CANARY)
        stable = REQUESTS_PER_LOOK - canary
        errors = after(errors, source, (stable, canary), (ERRORS, scenario.errors))
        slow = after(slow, source, (stable, canary), shares)
        if any(may_fail(m, POLICY) for m in (errors, slow)) or all(
            may_pass(m, POLICY) for m in (errors, slow)
        ):
            verdict = judge((errors, slow), POLICY)
            if verdict.result is not Result.NEED_MORE_DATA:
                return verdict.result, verdict.findings[0].requests
    return Result.NEED_MORE_DATA, int(errors.strata[0].canary.total)


def after(
    metric: ComparedMetric,
    source: random.Random,
    totals: tuple[int, int],
    shares: tuple[float, float],
) -> ComparedMetric:
    """Return the metric after another window, the pairs being the stable's and the canary's."""
    (seen,) = metric.strata
    stable = grown(seen.stable, source, totals[0], shares[0])
    canary = grown(seen.canary, source, totals[1], shares[1])
    return replace(metric, strata=(Stratum(stable, canary, seen.before),))


@cache
def chances(total: int, share: float) -> list[float]:
    """Return the probabilities that a binomial number is 0, at most 1, ..."""
    odds = (math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(total))
    return list(accumulate(odds))


def spread(source: random.Random, total: int, parts: Sequence[float]) -> list[int]:
    """Return how many of the requests fall to each part: a multinomial number by inversion, as there are many to draw."""
    counts, rest = [], 1.0
    for part in parts[:-1]:
        counts.append(bisect_left(chances(total, part / rest), source.random()))
        total, rest = total - counts[-1], rest - part
    return [*counts, total]


def more(counts: Counts, source: random.Random, total: int, share: float) -> Counts:
    """Return the counts after another window."""
    bad, _ = spread(source, total, (share, 1 - share))
    return Counts(counts.total + total, counts.bad + bad)


def run_longer(
    source: random.Random, seen_as: Callable[[tuple[Stratum, ...]], tuple[Stratum, ...]]
) -> tuple[Result, int]:
    """Return the first verdict on a canary that gets the longer prompts, and the canary requests it took."""
    strata = tuple(Stratum(Counts(), Counts()) for _ in LENGTHS)
    stable_parts, canary_parts, _ = zip(*LENGTHS, strict=True)
    metric = ComparedMetric("ttft", SLOW_TOLERANCE, strata)
    for _ in range(LOOKS):
        stable, canary = spread(source, REQUESTS_PER_LOOK, (1 - CANARY, CANARY))
        stables = spread(source, stable, stable_parts)
        canaries = spread(source, canary, canary_parts)
        strata = tuple(
            Stratum(
                more(seen.stable, source, stables[i], LENGTHS[i].slow),
                more(seen.canary, source, canaries[i], LENGTHS[i].slow),
            )
            for i, seen in enumerate(strata)
        )
        metric = replace(metric, strata=seen_as(strata))
        if may_fail(metric, POLICY) or may_pass(metric, POLICY):
            verdict = judge((metric,), POLICY)
            if verdict.result is not Result.NEED_MORE_DATA:
                return verdict.result, verdict.findings[0].requests
    return Result.NEED_MORE_DATA, int(sum(seen.canary.total for seen in strata))


def as_they_are(strata: tuple[Stratum, ...]) -> tuple[Stratum, ...]:
    """Return the strata."""
    return strata


def as_one(strata: tuple[Stratum, ...]) -> tuple[Stratum, ...]:
    """Return what is known if nobody counts by prompt length."""
    stable, canary = (
        Counts(sum(arm.total for arm in arms), sum(arm.bad for arm in arms))
        for arms in ([s.stable for s in strata], [s.canary for s in strata])
    )
    return (Stratum(stable, canary),)


LONGER = {"same_longer_prompts_as_one": as_one, "same_longer_prompts_by_length": as_they_are}


def figures(results: list[tuple[Result, int]]) -> dict[str, float | None]:
    """Return the shares of the verdicts and the canary requests to the usual one."""
    said = [result for result, _ in results]
    usual = max((Result.PASS, Result.FAIL), key=said.count)
    took = sorted(requests for result, requests in results if result is usual)
    return {
        "failed": said.count(Result.FAIL) / len(said),
        "passed": said.count(Result.PASS) / len(said),
        "requests_median": took[len(took) // 2] if took else None,
        "requests_p99": took[int(len(took) * 0.99)] if took else None,
    }


PRIORS = {
    "1/2, 1/2": (0.5, 0.5),
    "1, 1": (1.0, 1.0),
    "1/4, 3/4": (0.25, 0.75),
    "1/10, 9/10": (0.1, 0.9),
}

CASES = {
    "errors 0.2 % and 5 %": (ERRORS, 0.05, ERRORS_TOLERANCE),
    "errors 0.2 % and 0.2 %": (ERRORS, ERRORS, ERRORS_TOLERANCE),
    "errors 0 and 0": (0.0, 0.0, ERRORS_TOLERANCE),
    "slow 10 % and 28 %": (SLOW, slow_when_scaled(2), SLOW_TOLERANCE),
    "slow 10 % and 10 %": (SLOW, SLOW, SLOW_TOLERANCE),
    "slow 10 % and 10 %, tolerance 2": (SLOW, SLOW, 0.02),
}


def count_needed(case: tuple[float, float, float], prior: tuple[float, float], past: int) -> int:
    """Return the canary requests to a verdict of one metric if the counts are exactly what is expected."""
    stable, canary, tolerance = case
    worse = canary - stable > tolerance
    log_e = log_e_worse if worse else log_e_within
    goal = -math.log(POLICY.alpha_fail if worse else POLICY.alpha_pass)
    ratio = 1 / CANARY - 1
    before = Counts(past, past * stable)

    def enough(n: int) -> bool:
        arms = Counts(ratio * n, ratio * n * stable), Counts(n, n * canary)
        return log_e([Stratum(*arms, before)], tolerance, prior) >= goal

    far = 1
    while not enough(far):
        far *= 2
    near = far // 2
    while far - near > 1:
        middle = (near + far) // 2
        near, far = (near, middle) if enough(middle) else (middle, far)
    return far


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    result: dict[str, object] = {"runs": options.runs, "slow_when_doubled": slow_when_scaled(2)}
    for case, shares in CASES.items():
        row = {name: count_needed(shares, prior, 0) for name, prior in PRIORS.items()}
        row["1/4, 3/4 and the past"] = count_needed(shares, PRIORS["1/4, 3/4"], PAST)
        print(case, row)
        result[case] = row
    for name, scenario in SCENARIOS.items():
        source = random.Random(options.seed)  # noqa: S311  # because a simulation keeps no secret
        found = figures([run(scenario, source) for _ in range(options.runs)])
        print(name, found, flush=True)
        result[name] = found
    for name, seen_as in LONGER.items():
        source = random.Random(options.seed)  # noqa: S311  # because a simulation keeps no secret
        found = figures([run_longer(source, seen_as) for _ in range(options.runs)])
        print(name, found, flush=True)
        result[name] = found
    print(json.dumps(result))


if __name__ == "__main__":
    main()
