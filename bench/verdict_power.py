"""How many requests of a bad canary the verdict needs, beside a test that knows what no test can know.

    python -m bench.verdict_power [--runs 100] [--seed 1] [--only TEXT]

The traffic is that of `bench.verdict_users`. The other test looks once, at the best moment, and knows the true spread of the difference
for this traffic (users, minutes), which is measured here on canaries at the tolerance. It says Fail if

    canary's share - stable's share > tolerance + z sd(t),        z = 2.58, the normal's quantile for the same alpha_fail of 0.5 %

and its requests are those of the first look t at which half, or 90 %, of the runs are found. No test that may be looked at at any time
comes down to that: even one that knows both shares (Wald's) needs 2 ln(1 / alpha) / z^2 = 1.6 times as many in half of the runs.
Last line: one JSON object.
"""

import argparse
import json
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from bench.verdict import SLOW, SLOW_TOLERANCE, slow_when_scaled
from bench.verdict_users import (
    CELLS,
    PAST_LOOKS,
    POLICY,
    Cell,
    Floats,
    Result,
    Truth,
    draw,
    run,
)

HARMS = {
    "TTFT doubled": Truth(SLOW, slow_when_scaled(2), SLOW_TOLERANCE),
    "refusals doubled": Truth(0.05, 0.1, 0.02),
    "5 % errors": Truth(0.002, 0.05, 0.01),
}
PARTS = (0.5, 0.9)
"""Of the runs that are found."""
Z = NormalDist().inv_cdf(1 - POLICY.alpha_fail)
_LEAST = 20
"""Requests of the canary before the other test may look: the normal law is wrong for fewer."""


def find_once(cell: Cell, harm: Truth, runs: int, seed: int) -> list[int | None]:
    """Return the canary's requests that the test that knows everything needs, by part of the runs; None if 30 minutes are too few."""
    edge = harm._replace(canary=harm.stable + harm.tolerance)
    at_edge, _ = _compare(cell, edge, runs, seed)
    bad, requests = _compare(cell, harm, runs, seed + 1)
    found = (bad > harm.tolerance + Z * at_edge.std(axis=0)).mean(axis=0)
    usual = np.median(requests, axis=0)
    found[usual < _LEAST] = 0
    return [int(usual[np.argmax(found >= p)]) if (found >= p).any() else None for p in PARTS]


def _compare(cell: Cell, truth: Truth, runs: int, seed: int) -> tuple[Floats, Floats]:
    """Return the difference of shares, and the canary's requests, by run and look."""
    differences, requests = [], []
    for number in range(runs):
        counts = draw(cell, truth, np.random.default_rng([seed, number])).counts[:, PAST_LOOKS:]
        total, bad = counts.sum(axis=3).cumsum(axis=1)
        shares = bad / np.maximum(total, 1)
        differences.append(shares[:, 1] - shares[:, 0])
        requests.append(total[:, 1])
    return np.array(differences), np.array(requests, dtype=float)


def find_any_time(cell: Cell, harm: Truth, runs: int, seed: int) -> list[int | None]:
    """Return the canary's requests that the verdict needs, by part of all runs."""
    results = [
        run(cell, harm, np.random.default_rng([seed, number]), weighing="both")
        for number in range(runs)
    ]
    took = sorted(requests for result, requests, _ in results if result is Result.FAIL)
    return [took[at] if (at := int(p * runs)) < len(took) else None for p in PARTS]


def divide(some: Sequence[int | None], others: Sequence[int | None]) -> list[float | None]:
    """Return the ratios; None where one of the two is not known."""
    pairs = zip(some, others, strict=True)
    return [round(one / other, 2) if one and other else None for one, other in pairs]


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="of 10,000 users", help="cells whose name contains this")
    options = parser.parse_args()
    result: dict[str, object] = {"runs": options.runs, "parts": PARTS}
    for cell in (each for each in CELLS if options.only in each.name):
        for name, harm in HARMS.items():
            once = find_once(cell, harm, options.runs, options.seed)
            ours = find_any_time(cell, harm, options.runs, options.seed + 2)
            row = {"once": once, "any_time": ours, "ratio": divide(ours, once)}
            print(f"{cell.name}: {name} {row}", flush=True)
            result[f"{cell.name}: {name}"] = row
    print(json.dumps(result))


if __name__ == "__main__":
    main()
