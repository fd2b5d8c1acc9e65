"""How often a month has a false alarm of drift, and how long a change takes to be found.

    python -m bench.drift [--months 40] [--changes 30] [--seed 1] [--only TEXT]

One share, days as windows, 31 days after the first one. 300 users have activities by Zipf's law (exponent 1/2), a random half of them
sends requests on a day, and the traffic of an hour follows the time of day (1 to 5). A user's share of bad requests is drawn from a Beta
distribution, so that two requests of a user have the intraclass correlation `icc`; so has each of the 10 minutes of which one in ten is
a clump with three times the share; and the share itself is 30 % lower at night and higher by day.

Truth `same`: nothing changes; the tolerance is 1 point, the smallest. `edge`: every later day is higher by the whole of the default
tolerance, 3 points. Reported are the months with an alarm: at most 1 % is promised. The test is given the probability of a single
metric; with more of them each gets a part of it. `change`: from the middle of a later day on, the share is 12 % instead of 2 %; reported
are the hours until it is found. The code that counts and decides is the operator's own. Last line: one JSON object.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmdeployment_operator.analysis.counts import GROUPS, Counts
from llmdeployment_operator.analysis.drift import BLOCKS, MetricWindow, find_changes, split_alpha

DAY, HOUR, CLUMP_MINUTES, DAYS = 86400, 3600, 10, 31
USERS, NIGHT = 300, 0.3
CLUMPS, CLUMP_FACTOR = 0.1, 3.0
TOLERANCE, SMALLEST = 0.03, 0.01
BEFORE, AFTER, CHANGE_DAY, LONGEST = 0.02, 0.12, 3, 8

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """Traffic of one kind: requests an hour, the share of bad ones, and how alike those of a user are."""

    rate: int
    share: float
    icc: float
    heavy: bool = False
    clumps: bool = True

    @property
    def name(self) -> str:
        """Its words in the table."""
        extras = (" heavy" if self.heavy else "") + ("" if self.clumps else " no clumps")
        return f"{self.rate}/h, {100 * self.share:g} %, icc {self.icc:g}{extras}"


CELLS = (
    Cell(100, 0.02, 0.0),
    Cell(100, 0.10, 0.1),
    Cell(400, 0.02, 0.05),
    Cell(400, 0.10, 0.1, heavy=True),
    Cell(400, 0.30, 0.1),
)
CHANGES = (Cell(30, BEFORE, 0.02), Cell(100, BEFORE, 0.02), Cell(400, BEFORE, 0.02))


@dataclass(frozen=True)
class Block:
    """What was counted in an hour."""

    counts: Counts
    groups: dict[int, Counts]


def draw_days(cell: Cell, shares: Floats, source: np.random.Generator) -> Iterator[list[Block]]:
    """Yield days of 24 blocks; `shares` are those of each hour, on average over users."""
    activity = 1 / np.arange(1, USERS + 1) ** 0.5
    if cell.heavy:
        activity[0] = activity[1:].sum() * 0.3 / 0.7 / 2
    group = source.integers(0, GROUPS, USERS)
    spread = 1 / cell.icc - 1 if cell.icc else 0
    user = source.beta(cell.share * spread, (1 - cell.share) * spread, USERS) if spread else None
    for day in shares:
        here = activity * source.integers(0, 2, USERS)
        here[0] = activity[0]
        yield [
            _draw_block(cell, hour, share, here, group, user, source)
            for hour, share in enumerate(day)
        ]


def _draw_block(
    cell: Cell,
    hour: int,
    share: float,
    activity: Floats,
    group: NDArray[np.int64],
    user: Floats | None,
    source: np.random.Generator,
) -> Block:
    by_time = np.sin(np.pi * hour / BLOCKS) ** 2
    count = source.poisson(cell.rate * (0.33 + 1.33 * by_time))
    who = source.choice(USERS, size=count, p=activity / activity.sum())
    own = np.full(count, share) if user is None else user[who] + share - cell.share
    own = own * (1 - NIGHT + 2 * NIGHT * by_time)
    if cell.clumps:
        slots = HOUR // 60 // CLUMP_MINUTES
        factor = np.where(source.random(slots) < CLUMPS, CLUMP_FACTOR, 1.0)
        own = own * factor[source.integers(0, slots, count)] / (1 + CLUMPS * (CLUMP_FACTOR - 1))
    bad = source.random(count) < own
    totals = np.bincount(group[who], minlength=GROUPS)
    bads = np.bincount(group[who], weights=bad, minlength=GROUPS)
    groups = {g: Counts(int(totals[g]), int(bads[g])) for g in range(GROUPS) if totals[g]}
    return Block(Counts(int(count), int(bad.sum())), groups)


def find_alarm(days: Iterator[list[Block]], tolerance: float) -> int | None:
    """Return after how many hours after the first day the first alarm is, or None."""
    metric, alpha = MetricWindow(), split_alpha(DAY, 1)
    for block, seen in enumerate(next(days)):
        metric = metric.count(seen.counts, seen.groups).close_first(block)
    for day, blocks in enumerate(days):
        metric = metric.begin_window()
        for block, seen in enumerate(blocks):
            metric = metric.count(seen.counts, seen.groups).close(block)
            change = find_changes({"x": metric}, tolerance, alpha).get("x")
            if change is not None and change.drifts:
                return day * BLOCKS + block + 1
    return None


def measure_false_alarms(
    cell: Cell, truth: str, months: int, source: np.random.Generator
) -> dict[str, object]:
    """Return the share of months with an alarm."""
    tolerance = SMALLEST if truth == "same" else TOLERANCE
    shares = np.full((DAYS + 1, BLOCKS), cell.share)
    if truth == "edge":
        shares[1:] += TOLERANCE
    began, alarms = time.process_time(), 0
    for _ in range(months):
        alarms += find_alarm(draw_days(cell, shares, source), tolerance) is not None
    return {"cell": cell.name, "truth": truth, "months": months, "alarms": alarms / months,
            "cpuSeconds": round(time.process_time() - began, 1)}  # fmt: skip  # because it is a row


def measure_delay(cell: Cell, runs: int, source: np.random.Generator) -> dict[str, object]:
    """Return after how many hours a change is found."""
    shares = np.full((LONGEST + 1, BLOCKS), BEFORE)
    shares[CHANGE_DAY, BLOCKS // 2 :] = AFTER
    shares[CHANGE_DAY + 1 :] = AFTER
    changed = (CHANGE_DAY - 1) * BLOCKS + BLOCKS // 2
    found = [find_alarm(draw_days(cell, shares, source), TOLERANCE) for _ in range(runs)]
    hours = sorted(each - changed if each is not None else math.inf for each in found)
    ninety = hours[int(0.9 * (runs - 1))]
    return {
        "cell": cell.name,
        "truth": "change",
        "runs": runs,
        "early": sum(each < 0 for each in hours),
        "missed": sum(each == math.inf for each in hours),
        "medianHours": _or_none(statistics.median(hours)),
        "ninetyPercentHours": _or_none(ninety),
    }


def _or_none(hours: float) -> float | None:
    return hours if math.isfinite(hours) else None


def main() -> None:
    """Print a line for each cell, and all of them as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--months", type=int, default=40)
    parser.add_argument("--changes", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    rows = []
    for number, cell in enumerate(CELLS):
        for at, truth in enumerate(("same", "edge")):
            if asked.only in f"{cell.name} {truth}":
                source = np.random.default_rng([asked.seed, number, at])
                rows.append(measure_false_alarms(cell, truth, asked.months, source))
                print(rows[-1], flush=True)
    for number, cell in enumerate(CHANGES):
        if asked.only in f"{cell.name} change":
            source = np.random.default_rng([asked.seed, number, 9])
            rows.append(measure_delay(cell, asked.changes, source))
            print(rows[-1], flush=True)
    print(json.dumps({"seed": asked.seed, "rows": rows}))


if __name__ == "__main__":
    main()
