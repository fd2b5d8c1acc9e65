"""How often an experiment of four arms is wrong, how often it finds the winner, and whether its plan is right about how long that takes.

    python -m bench.experiment [--runs 200] [--seed 1] [--only TEXT]

Four arms of equal weight, one metric (10 % bad requests, smallest effect 5 points), 2 requests/s, looked at every 10 minutes until the
experiment ends, at most 8 hours. Users are assigned by bucket, so a user has one arm. Their activity follows Zipf's law (exponent
1/2); a user's share of bad requests is drawn from a Beta distribution around the arm's, so that two requests have the intraclass
correlation `icc`. In cells with "new users" a quarter of the users is there from the beginning, and the others come one after the other;
in the "heavy" one, a user has a tenth of the requests.

Truth `same`: all arms are alike. `effect`: arm `b` is better by the smallest effect. Reported are the runs in which anything false was ever
said of any arm (Better, Worse, or NotDifferent of arm `b`), the outcomes, when arm `b` was found in 4 of 5 runs, and what the plan
had said of arm `b` after 30 minutes and after an hour. The code that counts, compares, concludes and plans is the operator's own.
Last line: one JSON object.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmdeployment_operator.analysis.comparison import Analysis, collect_counts
from llmdeployment_operator.analysis.counts import (
    BUCKETS,
    GROUPS,
    CountKey,
    Counts,
    RevisionCounts,
)
from llmdeployment_operator.analysis.experiment import (
    ArmComparison,
    ArmResult,
    Outcome,
    compare_arms,
    conclude,
)
from llmdeployment_operator.analysis.power_plan import UserGrowth, plan_differences
from llmdeployment_operator.api.experiment import ExperimentSpec

RATE, LOOK_SECONDS, MINUTE = 2, 600, 60
MINUTES_PER_LOOK, LOOKS = LOOK_SECONDS // MINUTE, 8 * 3600 // LOOK_SECONDS
PLANNED_AFTER = (1800, 3600)
"""Seconds after which the plan is noted."""
SHARE, EFFECT, HEAVY = 0.10, 0.05, 0.1
OTHERS = ("b", "c", "d")
NAME = "errorRate"
SPEC = ExperimentSpec.model_validate(
    {
        "control": "a",
        "metrics": [{"name": NAME, "tolerancePercent": 5}],
        "minimumEffectPercent": round(100 * EFFECT),
        "maxDuration": "8h",
    }
)
_FOUND_BY = 0.8
"""The power that the plan promises."""
_NEAR = 0.25
"""A plan is right if it is not further off than this part of the time it took."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cell:
    """Traffic of one kind."""

    users: int
    icc: float
    heavy: bool = False
    new: bool = False

    @property
    def name(self) -> str:
        """Its words in the table."""
        extras = (" heavy" if self.heavy else "") + (" new users" if self.new else "")
        return f"{self.users:,} users, icc {self.icc:g}{extras}"


CELLS = (
    Cell(4_000, 0.0),
    Cell(4_000, 0.1),
    Cell(400, 0.1, heavy=True),
    Cell(20_000, 0.1, new=True),
)


@dataclass(frozen=True)
class Run:
    """One experiment: how it ended, whether anything false was said, when arm `b` was found, and what the plan had been."""

    outcome: Outcome
    winner: str | None
    false: bool
    found: float | None
    plans: tuple[float | None, ...]


def draw(cell: Cell, shares: tuple[float, ...], source: np.random.Generator) -> tuple[Ints, Ints]:
    """Return requests and bad ones by minute, arm and group of users; and how many users each arm had had after each look."""
    activity = 1 / np.arange(1, cell.users + 1) ** 0.5
    source.shuffle(activity)
    activity /= activity.sum()
    if cell.heavy:
        activity = np.append(activity * (1 - HEAVY), HEAVY)
    buckets = source.integers(0, BUCKETS, len(activity))
    arm = buckets * len(shares) // BUCKETS
    bad = np.array(shares)[arm]
    if cell.icc:
        spread = 1 / cell.icc - 1
        bad = source.beta(bad * spread, (1 - bad) * spread)
    minutes = LOOKS * MINUTES_PER_LOOK
    count = minutes * MINUTE * RATE
    minute = np.arange(count) // (MINUTE * RATE)
    user = source.choice(len(activity), size=count, p=activity)
    if cell.new:
        # Who is not there yet leaves the request to one who is: the window of users moves on.
        window = len(activity) // 4
        first = (minute * (len(activity) - window)) // minutes
        user = first + user % window
    is_bad = source.random(count) < bad[user]
    where = (minute * len(shares) + arm[user]) * GROUPS + buckets[user] % GROUPS
    size = minutes * len(shares) * GROUPS
    requests = np.bincount(where, minlength=size)
    bads = np.bincount(where, weights=is_bad, minlength=size).astype(np.int64)
    seen, at = np.unique(user, return_index=True)
    look = minute[at] // MINUTES_PER_LOOK
    came = [
        np.cumsum(np.bincount(look[arm[seen] == each], minlength=LOOKS))
        for each in range(len(shares))
    ]
    form = (minutes, len(shares), GROUPS)
    return np.stack([requests.reshape(form), bads.reshape(form)]), np.stack(came)


def run(cell: Cell, truth: str, source: np.random.Generator) -> Run:
    """Return how one experiment ends."""
    better = SHARE - EFFECT if truth == "effect" else SHARE
    counted, users = draw(cell, (SHARE, better, SHARE, SHARE), source)
    evidence = dict.fromkeys(OTHERS, Analysis())
    growth = dict.fromkeys(OTHERS, UserGrowth())
    found: float | None = None
    plans: dict[int, float | None] = {}
    false = False
    comparisons: tuple[ArmComparison, ...] = ()
    outcome, winner = Outcome.RUNNING, None
    for look in range(LOOKS):
        _count(evidence, growth, counted, users, look)
        seconds = (look + 1) * LOOK_SECONDS
        if seconds in PLANNED_AFTER:
            plans[seconds] = plan_differences(SPEC, evidence, growth)[0].seconds
        if found is not None and _is_known(comparisons):
            break
        comparisons = compare_arms(SPEC, evidence)
        false = false or any(_is_false(each, truth) for each in comparisons)
        if found is None and comparisons[0].result is ArmResult.BETTER:
            found = seconds
        outcome, winner = conclude(comparisons, seconds, LOOKS * LOOK_SECONDS)
        if outcome is not Outcome.RUNNING and seconds >= PLANNED_AFTER[-1]:
            break
    return Run(outcome, winner, false, found, tuple(plans.get(each) for each in PLANNED_AFTER))


def _is_known(comparisons: tuple[ArmComparison, ...]) -> bool:
    return all(each.result is not ArmResult.UNDECIDED for each in comparisons)


def _is_false(arm: ArmComparison, truth: str) -> bool:
    differs = truth == "effect" and arm.name == OTHERS[0]
    if differs:
        return arm.result in {ArmResult.WORSE, ArmResult.NOT_DIFFERENT}
    return arm.result in {ArmResult.BETTER, ArmResult.WORSE}


def _count(
    evidence: dict[str, Analysis],
    growth: dict[str, UserGrowth],
    counted: Ints,
    users: Ints,
    look: int,
) -> None:
    # By minute the whole, and by look the groups: the sums are the same as if both came together.
    steps = [
        (minute, [_count_all(counted[:, minute, arm]) for arm in range(1 + len(OTHERS))])
        for minute in range(look * MINUTES_PER_LOOK, (look + 1) * MINUTES_PER_LOOK)
    ]
    block = counted[:, look * MINUTES_PER_LOOK : (look + 1) * MINUTES_PER_LOOK].sum(axis=1)
    steps.append((steps[-1][0], [_count_groups(block[:, arm]) for arm in range(1 + len(OTHERS))]))
    for minute, fresh in steps:
        for place, name in enumerate(OTHERS, start=1):
            requests: RevisionCounts = {0: fresh[0], place: fresh[place]}
            came = {0: int(users[0, look]), place: int(users[place, look])}
            seconds = minute * MINUTE
            evidence[name] = collect_counts(evidence[name], requests, (0, place), came, seconds)
    for name, found in evidence.items():
        growth[name] = growth[name].extend(sum(found.users), found.seconds)


def _count_all(rows: Ints) -> dict[CountKey, Counts]:
    requests, bad = rows.sum(axis=1).tolist()
    return {CountKey(NAME): Counts(requests, bad)}


def _count_groups(rows: Ints) -> dict[CountKey, Counts]:
    pairs = enumerate(zip(*rows.tolist(), strict=True))
    return {CountKey(NAME, group=group): Counts(*pair) for group, pair in pairs if pair[0]}


def figures(runs: list[Run]) -> dict[str, object]:
    """Return what is promised, as measured."""
    number = len(runs)
    times = sorted(each.found if each.found is not None else math.inf for each in runs)
    by = times[math.ceil(_FOUND_BY * number) - 1]
    result: dict[str, object] = {
        "false": sum(each.false for each in runs) / number,
        "outcomes": {
            str(outcome): sum(each.outcome is outcome for each in runs) / number
            for outcome in Outcome
            if any(each.outcome is outcome for each in runs)
        },
        "winner_b": sum(each.winner == OTHERS[0] for each in runs) / number,
        "hours_until_found_in_4_of_5": by / 3600 if math.isfinite(by) else None,
    }
    for place, after in enumerate(PLANNED_AFTER):
        planned = sorted(
            math.inf if (seconds := each.plans[place]) is None else seconds for each in runs
        )
        median = planned[number // 2]
        known = math.isfinite(by) and math.isfinite(median)
        near = sum(abs(each / by - 1) <= _NEAR for each in planned) / number if known else None
        result[f"plan_after_{after // 60}_min"] = {
            "median_hours": median / 3600 if math.isfinite(median) else None,
            "ratio": median / by if known else None,
            "within_25_percent": near,
        }
    return result


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="cells whose name contains this")
    options = parser.parse_args()
    result: dict[str, object] = {"runs": options.runs}
    start = time.monotonic()
    for number, cell in enumerate(CELLS):
        if options.only not in cell.name:
            continue
        # So few users can never show the effect.
        for truth in ("same",) if cell.heavy else ("same", "effect"):
            source = np.random.default_rng([options.seed, number])
            runs = [run(cell, truth, source) for _ in range(options.runs)]
            found = figures(runs)
            print(f"{cell.name}: {truth} {found}", flush=True)
            result[f"{cell.name}: {truth}"] = found
    result["seconds"] = round(time.monotonic() - start)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
