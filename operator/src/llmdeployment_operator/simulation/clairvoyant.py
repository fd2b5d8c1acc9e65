"""The least replica-hours that keep a target, for one who knows the whole trace: dynamic programming over slots and replica counts.

For every count `n` the trace is run once with `n` replicas from beginning to end; `misses[n][t]` are the requests that came in slot `t`
and were not within all targets. A plan `n_0, n_1, ...` costs `slot * sum n_t`, and `warm_up` seconds more for each replica that is
added, since it is ordered a warm-up ahead and paid from then on; giving back costs nothing. Among the plans

    minimise   sum n_t * slot + warm_up * sum max(0, n_t+1 - n_t)    subject to    sum misses[n_t][t] <= (1 - attainment) * requests

is solved with a price per miss (a Lagrange multiplier found by bisection), so each price is one pass over slots and counts.

What kind of bound: an optimistic one, not a proof. A slot's misses are those of a run that had `n_t` replicas before, too, so a backlog
that an earlier, smaller slot leaves behind is not carried over, nor are requests that a leaving replica still finishes paid for. The
plan that the price finds may leave a part of the allowed misses unused, at most one step of its convex hull. `run` says what the plan
attains when it is really followed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from llmdeployment_operator.autoscaler.types import Observation, Target
from llmdeployment_operator.simulation.profile import Profile
from llmdeployment_operator.simulation.result import Result
from llmdeployment_operator.simulation.run import Scaler, simulate
from llmdeployment_operator.simulation.scalers import fixed
from llmdeployment_operator.simulation.trace import Request


@dataclass(frozen=True)
class Plan:
    """How many replicas are to be ready in each slot."""

    slot: float
    replicas: tuple[int, ...]
    replica_seconds: float
    misses: int
    feasible: bool
    """Whether the misses are as few as asked; where not, no count within the maximum is enough."""


def misses(
    trace: Sequence[Request],
    profile: Profile,
    targets: Sequence[Target],
    counts: Sequence[int],
    slot: float,
) -> list[list[int]]:
    """Returns, for each count of replicas, the requests of each slot that were not within all targets."""
    slots = ceil(trace[-1].at / slot) + 1
    table = []
    for count in counts:
        result = simulate(trace, profile, fixed(count), initial=count, maximum=count)
        row = [0] * slots
        columns = [(tuple(result.values(target.metric)), target.seconds) for target in targets]
        for index, at in enumerate(result.ledger.arrived):
            if any(values[index] > seconds for values, seconds in columns):
                row[int(at / slot)] += 1
        table.append(row)
    return table


def plan(
    table: Sequence[Sequence[int]],
    counts: Sequence[int],
    allowed: float,
    slot: float,
    warm_up: float,
) -> Plan:
    """Returns the cheapest plan with at most `allowed` misses.

    Two slots, one that needs a single replica and one that needs two:

    >>> plan([[0, 9], [0, 0]], [1, 2], 0, 60.0, 18.0)
    Plan(slot=60.0, replicas=(1, 2), replica_seconds=198.0, misses=0, feasible=True)
    """
    low, high = 0.0, 1e7
    best = _price(table, counts, high, slot, warm_up)
    if best.misses > allowed:
        return Plan(slot, best.replicas, best.replica_seconds, best.misses, feasible=False)
    for _ in range(40):
        price = (low + high) / 2 if high < 1.0 or low > 0 else high / 8
        tried = _price(table, counts, price, slot, warm_up)
        if tried.misses <= allowed:
            best, high = tried, price
        else:
            low = price
    return best


def _price(
    table: Sequence[Sequence[int]],
    counts: Sequence[int],
    price: float,
    slot: float,
    warm_up: float,
) -> Plan:
    size = len(counts)
    value = [count * slot + price * row[0] for count, row in zip(counts, table, strict=True)]
    steps: list[list[int]] = []
    for t in range(1, len(table[0])):
        # From more replicas it costs nothing: the best of those above; from fewer, a warm-up for each that is added.
        come = list(range(size))
        cost = list(value)
        for i in range(size - 2, -1, -1):
            if cost[i + 1] < cost[i]:
                cost[i], come[i] = cost[i + 1], come[i + 1]
        for i in range(1, size):
            up = cost[i - 1] + warm_up * (counts[i] - counts[i - 1])
            if up < cost[i]:
                cost[i], come[i] = up, come[i - 1]
        steps.append(come)
        value = [cost[i] + counts[i] * slot + price * table[i][t] for i in range(size)]
    at = min(range(size), key=value.__getitem__)
    path = [at]
    for come in reversed(steps):
        at = come[at]
        path.append(at)
    path.reverse()
    replicas = tuple(counts[i] for i in path)
    missed = sum(table[i][t] for t, i in enumerate(path))
    added = sum(max(0, b - a) for a, b in pairwise(replicas))
    seconds = sum(replicas) * slot + warm_up * added
    return Plan(slot, replicas, seconds, missed, feasible=True)


def follow(made: Plan, warm_up: float) -> Scaler:
    """Returns a scaler that orders what `made` says, a warm-up ahead."""

    def scaler(_look: Observation, now: float) -> int:
        first = int(now / made.slot)
        last = int((now + warm_up + 1.0) / made.slot)
        return max(made.replicas[min(i, len(made.replicas) - 1)] for i in range(first, last + 1))

    return scaler


def run(made: Plan, trace: Sequence[Request], profile: Profile, warm_up: float) -> Result:
    """Returns what following the plan comes to."""
    return simulate(
        trace,
        profile,
        follow(made, warm_up),
        warm_up=warm_up,
        initial=made.replicas[0],
        maximum=max(made.replicas),
    )
