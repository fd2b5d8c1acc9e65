"""How often the interval of a cost difference is ever wrong, and how soon it shows that an arm is cheaper.

    python -m bench.cost_ratio [--runs 200] [--seed 1] [--only TEXT]

One arm and the control with half of the users each, 2 requests/s, looked at every 10 minutes for 8 hours. Users are assigned by bucket, so
a user has one arm. Their activity follows Zipf's law (exponent 1/2). The tokens of an answer are lognormal (median 200, sigma
0.8), and the part `icc` of the variance is the user's own: some users have long answers. An answer counts as at most 1,000 tokens.

`ever wrong`: runs in which the interval ever excluded the true difference, looked at 48 times; at most 5 % are promised. `by hours alone`:
the same, in two weeks, of an interval that takes blocks of 10 minutes for independent and knows no users (the empirical Bernstein
confidence sequence of I. Waudby-Smith and A. Ramdas, JRSS B 86, 2024, of (arm - control) / the higher of both). `found`: runs in which an
arm that costs 30 % less was shown to be cheaper, and after how many hours half of them were. The code that compares is the operator's own.
Last line: one JSON object.
"""

import argparse
import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmdeployment_operator.analysis.comparison import Analysis, collect_counts
from llmdeployment_operator.analysis.counts import (
    BUCKETS,
    COST_TOKENS,
    GROUPS,
    CountKey,
    Counts,
    RevisionCounts,
)
from llmdeployment_operator.analysis.experiment import compare_arms
from llmdeployment_operator.api.experiment import ExperimentSpec

RATE, LOOK_SECONDS, LOOKS, FORTNIGHT = 2, 600, 48, 2016
MEDIAN, SIGMA, CHEAPER = 200, 0.8, 0.30
NAME = f"cost<={COST_TOKENS}"
ALPHA = 0.05
SPEC = ExperimentSpec.model_validate(
    {
        "control": "a",
        "metrics": [{"name": "cost"}],
        "minimumEffectPercent": 10,
        "maxDuration": "8h",
    }
)
CONTROL, ARM = 1, 2

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """Traffic of one kind."""

    users: int
    icc: float

    @property
    def name(self) -> str:
        """Its words in the table."""
        return f"{self.users:,} users, icc {self.icc:g}"


CELLS = tuple(Cell(users, icc) for users in (100, 1000, 4000) for icc in (0.0, 0.1, 0.5))


@dataclass
class Hours:
    """An interval of the mean of bounded numbers, one for each block of time: sums of the empirical Bernstein sequence."""

    number: int = 0
    mean: float = 0.5
    squares: float = 0.25
    total: float = 0.0
    weights: float = 0.0
    weighted: float = 0.0
    slack: float = 0.0

    def add(self, d: float) -> None:
        """Add a difference from -1 to 1."""
        x = (d + 1) / 2
        self.number += 1
        variance = self.squares / self.number
        bet = min(
            0.5,
            math.sqrt(
                2 * math.log(2 / ALPHA) / (variance * self.number * math.log(1 + self.number))
            ),
        )
        self.slack += 4 * (x - self.mean) ** 2 * (-math.log(1 - bet) - bet) / 4
        self.weights += bet
        self.weighted += bet * x
        self.total += x
        self.mean = (0.5 + self.total) / (self.number + 1)
        self.squares += (x - self.mean) ** 2

    def is_wrong(self) -> bool:
        """Say whether the interval excludes that both are alike."""
        width = (math.log(2 / ALPHA) + self.slack) / self.weights
        return abs(self.weighted / self.weights - 0.5) > width


@dataclass(frozen=True)
class Crowd:
    """Users of one run: how active each is, his bucket, and how much longer his answers are (in logs)."""

    activity: Floats
    buckets: NDArray[np.int64]
    own: Floats

    def answer(
        self, cell: Cell, rng: np.random.Generator, cheaper: float
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], Floats]:
        """Return who asked within ten minutes, whether he has the arm, and the parts of the most tokens that the answers are."""
        users = rng.choice(cell.users, rng.poisson(RATE * LOOK_SECONDS), p=self.activity)
        noise = rng.normal(0, SIGMA * math.sqrt(1 - cell.icc), len(users))
        tokens = MEDIAN * np.exp(self.own[users] + noise)
        in_arm = self.buckets[users] >= BUCKETS // 2
        tokens = np.where(in_arm, tokens * (1 - cheaper), tokens)
        return users, in_arm, np.minimum(tokens, COST_TOKENS) / COST_TOKENS


def draw_crowd(cell: Cell, rng: np.random.Generator) -> Crowd:
    """Return the users of a run."""
    activity = 1 / np.sqrt(np.arange(1, cell.users + 1))
    buckets = rng.permutation(BUCKETS)[: cell.users]
    own = rng.normal(0, SIGMA * math.sqrt(cell.icc), cell.users)
    return Crowd(activity / activity.sum(), buckets, own)


def run_hours(cell: Cell, rng: np.random.Generator) -> bool:
    """Return whether an interval of blocks of ten minutes ever called two equal arms different in two weeks."""
    crowd, hours = draw_crowd(cell, rng), Hours()
    for _ in range(FORTNIGHT):
        _, in_arm, parts = crowd.answer(cell, rng, 0.0)
        control, arm = float(parts[~in_arm].mean()), float(parts[in_arm].mean())
        hours.add((arm - control) / max(arm, control))
        if hours.is_wrong():
            return True
    return False


def run(cell: Cell, rng: np.random.Generator, cheaper: float) -> tuple[bool, float | None]:
    """Return whether the interval was ever wrong, and when the arm was shown to be cheaper (hours)."""
    crowd, evidence, wrong = draw_crowd(cell, rng), Analysis(), False
    found: float | None = None
    seen: dict[int, set[int]] = {CONTROL: set(), ARM: set()}
    truth = TRUTHS[cheaper]
    for look in range(1, LOOKS + 1):
        users, in_arm, parts = crowd.answer(cell, rng, cheaper)
        fresh: RevisionCounts = {}
        for revision, mask in ((CONTROL, ~in_arm), (ARM, in_arm)):
            fresh[revision] = count(parts[mask], crowd.buckets[users[mask]] % GROUPS)
            seen[revision] |= set(users[mask].tolist())
        number = {revision: len(names) for revision, names in seen.items()}
        evidence = collect_counts(evidence, fresh, (CONTROL, ARM), number, look * LOOK_SECONDS)
        (comparison,) = compare_arms(SPEC, {"b": evidence}, {"b": 1.0})
        metric = comparison.metrics[0]
        wrong |= not metric.low <= truth <= metric.high
        if found is None and metric.high < 0:
            found = look * LOOK_SECONDS / 3600
    return wrong, found


def find_truth(cheaper: float) -> float:
    """Return by how much the parts of answers differ on average over all users."""
    tokens = MEDIAN * np.exp(SIGMA * np.random.default_rng(0).normal(size=2_000_000))
    before, after = (
        np.minimum(each, COST_TOKENS).mean() for each in (tokens, tokens * (1 - cheaper))
    )
    return float(after / before - 1)


TRUTHS = {cheaper: find_truth(cheaper) for cheaper in (0.0, CHEAPER)}


def count(parts: Floats, groups: NDArray[np.int64]) -> dict[CountKey, Counts]:
    """Return answers and their parts, of all and by group of users."""
    found = {CountKey(NAME, "1024"): Counts(len(parts), float(parts.sum()))}
    totals = np.bincount(groups, minlength=GROUPS)
    sums = np.bincount(groups, weights=parts, minlength=GROUPS)
    return found | {
        CountKey(NAME, group=g): Counts(int(totals[g]), float(min(sums[g], totals[g])))
        for g in range(GROUPS)
    }


def measure(cell: Cell, runs: int, seed: int) -> dict[str, object]:
    """Return the row of a cell."""
    rng = np.random.default_rng([seed, cell.users, round(100 * cell.icc)])
    alike = [run(cell, rng, 0.0) for _ in range(runs)]
    other = [run(cell, rng, CHEAPER) for _ in range(runs)]
    times = sorted(math.inf if found is None else found for _, found in other)
    middle = times[len(times) // 2]
    return {
        "cell": cell.name,
        "everWrongAlike": sum(wrong for wrong, _ in alike) / runs,
        "everWrongCheaper": sum(wrong for wrong, _ in other) / runs,
        "everWrongByHoursAlone": sum(run_hours(cell, rng) for _ in range(runs)) / runs,
        "found": sum(math.isfinite(each) for each in times) / runs,
        "medianHours": round(middle, 2) if math.isfinite(middle) else None,
    }


def main() -> None:
    """Print a row for each cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    rows = []
    for cell in CELLS:
        if options.only in cell.name:
            rows.append(measure(cell, options.runs, options.seed))
            print(json.dumps(rows[-1]), flush=True)
    print(json.dumps({"runs": options.runs, "seed": options.seed, "cells": rows}))


if __name__ == "__main__":
    main()
