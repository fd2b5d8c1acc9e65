"""How often a canary's verdict is wrong when requests of one user, or of one minute, are alike: the operator's own comparison.

    python -m bench.verdict_users [--runs 1000] [--seed 1] [--only TEXT] [--weighing both|whole|bounded|independent]

20 requests/s for 30 minutes, looked at every 5 s. Users are assigned by bucket, so a user has one revision. Their activity follows
Zipf's law; a user's share of slow requests is drawn from a Beta distribution around the revision's share, so that two of his requests
have the intraclass correlation `icc`. In some cells one user has 30 % of the requests, in some both revisions draw the share of each
minute anew (correlation 1/20, the minutes beginning at any second). One metric: TTFT above the stable revision's 90th percentile,
tolerance 5 points, half of alpha_fail as if there were a second metric. For ten minutes before, the stable revision has all users, and
the verdict knows its requests of that time.

The constants of `design_effect` were chosen with seed 1 on half of the cells, those whose number has an even number of ones in
binary. `--weighing whole` leaves out the sample in which users are bounded, `bounded` has nothing else, and `independent` takes all
requests for independent. Last line: one JSON object.
"""

import argparse
import itertools
import json
import math
import re
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from bench.verdict import SLOW, SLOW_TOLERANCE, slow_when_scaled
from numpy.typing import NDArray

from llmdeployment_operator.analysis.comparison import PAST_REQUESTS
from llmdeployment_operator.analysis.counts import (
    BOUNDED_GROUPS,
    BUCKETS,
    GROUPS,
    USER_BOUND,
    Counts,
    DesignEffect,
)
from llmdeployment_operator.analysis.design_effect import (
    MINUTE,
    Minutes,
    Users,
    estimate_design_effect,
)
from llmdeployment_operator.analysis.e_values import Stratum
from llmdeployment_operator.analysis.evidence_bound import may_fail, may_pass
from llmdeployment_operator.analysis.sequential_test import (
    ComparedMetric,
    Result,
    SequentialPolicy,
    judge,
)

REQUESTS_PER_LOOK, LOOKS, LOOK_SECONDS = 100, 360, 5
LOOKS_PER_MINUTE = MINUTE // LOOK_SECONDS
PAST_LOOKS = 120
"""Ten minutes before the canary's step."""
MIN_DURATION = 300
"""Seconds before a canary may pass, the default of spec.rollout.analysis.minDuration."""
POLICY = SequentialPolicy(alpha_fail=0.005)
MINUTE_SPREAD = 19
"""Of a share drawn from Beta(19 t, 19 (1 - t)): two requests of a minute are correlated by 1 / 20."""
HEAVY = 0.3
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Truth(NamedTuple):
    """The shares of bad requests that the revisions have, and how much worse the canary may be."""

    stable: float
    canary: float
    tolerance: float


TRUTHS = {
    "same": Truth(SLOW, SLOW, SLOW_TOLERANCE),
    "at_tolerance": Truth(SLOW, SLOW + SLOW_TOLERANCE, SLOW_TOLERANCE),
    "doubled": Truth(SLOW, slow_when_scaled(2), SLOW_TOLERANCE),
}


@dataclass(frozen=True)
class Cell:
    """Traffic of one kind: the canary's part of the buckets, users, correlation of a user's requests, a heavy user, clumps."""

    canary: float
    users: int
    icc: float
    heavy: bool
    clumped: bool

    @property
    def name(self) -> str:
        """Its words in the table."""
        extras = (" heavy" if self.heavy else "") + (" clumps" if self.clumped else "")
        return f"{self.canary:.0%} of {self.users:,} users, icc {self.icc:g}{extras}"


CELLS = [
    Cell(canary, users, icc, heavy, clumped)
    for canary, users, icc, heavy, clumped in itertools.product(
        (0.05, 0.25), (100, 10_000), (0.0, 0.1, 0.5), (False, True), (False, True)
    )
]


class Traffic(NamedTuple):
    """Counts by look, revision (stable, canary) and group: requests, and those of them that are slow; the first PAST_LOOKS are past.

    `bounded` are those of the sample in which users are bounded. `users` are those so far, by look of the step and revision.
    """

    counts: Ints
    bounded: Ints
    users: Ints


def draw(cell: Cell, truth: Truth, source: np.random.Generator) -> Traffic:
    """Return the traffic of ten minutes without a canary and thirty with one."""
    activity = 1 / np.arange(1, cell.users + 1)
    activity /= activity.sum()
    if cell.heavy:
        activity = np.append(activity * (1 - HEAVY), HEAVY)
    buckets = source.integers(0, BUCKETS, len(activity))
    looks = PAST_LOOKS + LOOKS
    user = source.choice(len(activity), size=looks * REQUESTS_PER_LOOK, p=activity)
    look = np.arange(len(user)) // REQUESTS_PER_LOOK
    revision = (buckets < BUCKETS * cell.canary).astype(int)
    had = np.where(look < PAST_LOOKS, 0, revision[user])
    shares = np.array(truth[:2])
    spread = 1 / cell.icc - 1 if cell.icc else math.inf
    habits = np.stack(
        [_draw_around(np.full(len(buckets), each), spread, source) for each in shares]
    )
    odds = habits[had, user]
    if cell.clumped:
        minute = (look + source.integers(LOOKS_PER_MINUTE)) // LOOKS_PER_MINUTE
        moods = [
            _draw_around(np.full(minute[-1] + 1, each), MINUTE_SPREAD, source) / each
            for each in shares
        ]
        odds = np.minimum(1, odds * np.array(moods)[had, minute])
    bad = source.random(len(user)) < odds
    bucket = buckets[user]
    taken = source.random(len(user)) * _count_recent(bucket) < USER_BOUND
    place = look * 2 + had
    in_step = look >= PAST_LOOKS
    return Traffic(
        _count(place, bucket % GROUPS, bad, GROUPS),
        _count(place[taken], bucket[taken] % BOUNDED_GROUPS, bad[taken], BOUNDED_GROUPS),
        _count_users(user[in_step], look[in_step] - PAST_LOOKS, revision),
    )


def _count(place: Ints, group: Ints, bad: NDArray[np.bool_], groups: int) -> Ints:
    form = (PAST_LOOKS + LOOKS, 2, groups)
    where = place * groups + group
    requests = np.bincount(where, minlength=math.prod(form)).reshape(form)
    slows = np.bincount(where, weights=bad, minlength=math.prod(form))
    return np.stack([requests, slows.astype(np.int64).reshape(form)])


def _count_recent(bucket: Ints) -> Ints:
    """Return how many requests of its bucket the ten minutes before each request had, itself included."""
    requests = PAST_LOOKS * REQUESTS_PER_LOOK
    size = len(bucket) + requests
    moment = bucket * size + np.arange(len(bucket)) + requests
    order = np.sort(moment)
    return np.searchsorted(order, moment, "right") - np.searchsorted(
        order, moment - requests, "right"
    )


def _count_users(user: Ints, look: Ints, revision: Ints) -> Ints:
    users = np.zeros((LOOKS, 2), dtype=np.int64)
    seen, at = np.unique(user, return_index=True)
    for each in (0, 1):
        came = look[at][revision[seen] == each]
        users[:, each] = np.cumsum(np.bincount(came, minlength=LOOKS))
    return users


def _draw_around(shares: Floats, spread: float, source: np.random.Generator) -> Floats:
    if math.isinf(spread):
        return shares
    return source.beta(shares * spread, (1 - shares) * spread)


class Weighing:
    """One of the samples that a metric is tested by, and the verdict on it."""

    def __init__(self, counts: Ints, tolerance: float, policy: SequentialPolicy) -> None:
        self._past = _as_past(counts[:, :PAST_LOOKS, 0].sum(axis=(1, 2)))
        counted = counts[:, PAST_LOOKS:]
        self._by_group = counted.cumsum(axis=1)
        self._by_look = counted.sum(axis=3)
        self.totals = self._by_look.cumsum(axis=1)
        self._tolerance, self._policy = tolerance, policy
        self._minutes = Minutes()

    def judge(self, look: int, users: Users, *, independent: bool) -> Result:
        """Return the verdict after a look; the looks come in order."""
        minute = look // LOOKS_PER_MINUTE
        self._minutes = _add_minute(self._minutes, self._by_look[:, look], minute)
        stratum = replace(_as_stratum(self.totals[:, look]), before=self._past)
        whole = ComparedMetric("ttft", self._tolerance, (stratum,))
        # Fewer requests of the same shares are weaker evidence.
        if stratum.canary.total < self._policy.min_requests or not (
            may_fail(whole, self._policy) or may_pass(whole, self._policy)
        ):
            return Result.NEED_MORE_DATA
        design = DesignEffect()
        if not independent:
            groups = _as_groups(self._by_group[:, look])
            design = estimate_design_effect(groups, self._minutes, users, expects_clumps=True)
        metric = replace(whole, design=design)
        likely = replace(metric, strata=metric.independent, design=DesignEffect())
        if may_fail(likely, self._policy) or may_pass(likely, self._policy):
            return judge((metric,), self._policy).result
        return Result.NEED_MORE_DATA


def run(
    cell: Cell, truth: Truth, source: np.random.Generator, *, weighing: str
) -> tuple[Result, int, int]:
    """Return the first verdict, and how many requests and users the canary had had."""
    drawn = draw(cell, truth, source)
    independent = weighing == "independent"
    samples = [drawn.counts, drawn.bounded] if weighing == "both" else [drawn.counts]
    if weighing == "bounded":
        samples = [drawn.bounded]
    policy = replace(
        POLICY,
        alpha_fail=POLICY.alpha_fail / len(samples),
        alpha_pass=POLICY.alpha_pass / len(samples),
    )
    weighings = [Weighing(counts, truth.tolerance, policy) for counts in samples]
    requests = drawn.counts[0, PAST_LOOKS:, 1].sum(axis=1).cumsum()
    for look in range(LOOKS):
        users = Users(*map(int, drawn.users[look]))
        found = {each.judge(look, users, independent=independent) for each in weighings}
        may_pass_now = independent or (look + 1) * LOOK_SECONDS >= MIN_DURATION
        if Result.FAIL in found:
            return Result.FAIL, int(requests[look]), users.canary
        if Result.PASS in found and may_pass_now:
            return Result.PASS, int(requests[look]), users.canary
    return Result.NEED_MORE_DATA, int(requests[-1]), int(drawn.users[-1, 1])


def _add_minute(minutes: Minutes, counts: Ints, minute: int) -> Minutes:
    if minute != minutes.minute:
        minutes = replace(minutes.close(), minute=minute)
    current = minutes.current
    (stable, canary), (stable_bad, canary_bad) = counts.tolist()
    return replace(
        minutes,
        current=Stratum(
            Counts(current.stable.total + stable, current.stable.bad + stable_bad),
            Counts(current.canary.total + canary, current.canary.bad + canary_bad),
        ),
    )


def _as_stratum(counts: Ints) -> Stratum:
    (stable, canary), (stable_bad, canary_bad) = counts.tolist()
    return Stratum(Counts(stable, stable_bad), Counts(canary, canary_bad))


def _as_past(counts: Ints) -> Counts:
    total, bad = counts.tolist()
    part = min(1, PAST_REQUESTS / total)
    return Counts(total * part, bad * part)


def _as_groups(counts: Ints) -> dict[int, Stratum]:
    return {
        group: _as_stratum(counts[:, :, group])
        for group in range(counts.shape[2])
        if counts[0, :, group].any()
    }


def figures(results: list[tuple[Result, int, int]]) -> dict[str, float | None]:
    """Return the shares of the verdicts, and the canary's requests and users until the usual one."""
    said = [result for result, _, _ in results]
    usual = max((Result.PASS, Result.FAIL), key=said.count)
    took = sorted(requests for result, requests, _ in results if result is usual)
    came = sorted(users for result, _, users in results if result is usual)
    return {
        "failed": said.count(Result.FAIL) / len(said),
        "passed": said.count(Result.PASS) / len(said),
        "requests_median": took[len(took) // 2] if took else None,
        "requests_p90": took[int(len(took) * 0.9)] if took else None,
        "users_median": came[len(came) // 2] if came else None,
    }


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only", default="", help="cells whose name has a match of this expression"
    )
    parser.add_argument("--truths", default=",".join(TRUTHS))
    parser.add_argument(
        "--weighing", choices=("both", "whole", "bounded", "independent"), default="both"
    )
    parser.add_argument("--half", choices=("all", "even", "odd"), default="all")
    options = parser.parse_args()
    result: dict[str, object] = {"runs": options.runs, "weighing": options.weighing}
    for number, cell in enumerate(CELLS):
        half = ("even", "odd")[number.bit_count() % 2]
        if not re.search(options.only, cell.name) or options.half not in ("all", half):
            continue
        for truth in options.truths.split(","):
            source = np.random.default_rng([options.seed, number])
            runs = [
                run(cell, TRUTHS[truth], source, weighing=options.weighing)
                for _ in range(options.runs)
            ]
            found = figures(runs)
            print(f"{number:2} {cell.name}: {truth} {found}", flush=True)
            result[f"{cell.name}: {truth}"] = found
    print(json.dumps(result))


if __name__ == "__main__":
    main()
