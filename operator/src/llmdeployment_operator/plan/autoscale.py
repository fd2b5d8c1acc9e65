"""How many replicas there should be: pure, and the same code in the operator and in the simulator.

At every look the law asks three questions, each with its own doubt, and acts only where the answer is sure:

1. **Are more needed?** `capacity` says how many replicas keep the targets at a demand; `demand` how much there is at least, now and, by its trend, when a
   replica ordered now would be ready. If even that is too much for those that exist and are coming, as many are ordered as the best estimate needs.
   Signals that need no model come beside it: requests in the engines beyond what was seen to go well, a queue, a full KV cache, misses themselves.
2. **Are fewer enough?** Only if every ready replica answered, none is coming, and what may have been needed at most (the upper bound of the demand, at a
   stricter share of misses) has been less for `hold` seconds. Then one in ten goes, at least one. As the model knows what is in flight with fewer
   replicas, and refuses loads that nobody has seen, this is the consolidation check.
3. **Is anything known?** If not, nothing moves but by the bounds.

Between 1 and 2 lies the dead band: wide when little is known, narrow when much is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil, sqrt

from llmdeployment_operator.plan.autoscale_state import State, advance
from llmdeployment_operator.plan.autoscale_types import (
    BOUNDS,
    Look,
    Metric,
    Policy,
    ReplicaSample,
    Target,
    Why,
)
from llmdeployment_operator.plan.capacity import EDGES, Carrier, carrier
from llmdeployment_operator.plan.demand import SLOT, bound, dispersion, slope, window
from llmdeployment_operator.plan.windows import Seen

__all__ = [
    "BOUNDS",
    "Decision",
    "Look",
    "Metric",
    "Policy",
    "ReplicaSample",
    "State",
    "Target",
    "Why",
    "decide",
]

AIM = 0.5
"""Part of each target's budget that the ordered replicas are to use up; the rest is for what the model leaves out."""

DOWN_AIM = 0.4
"""Same, after replicas were given back."""

SURE = 3.0
"""Standard deviations that a short window must lie above the last minute to be believed a rise."""

HOLD_LEAST, HOLD_MOST = 60.0, 300.0
"""Seconds that fewer replicas must have been enough before one is given back: twice the warm-up, within these."""

DOWN_EVERY = 20.0
"""Seconds between two steps down."""

FRESH_AFTER_UP = 30.0
"""Seconds after an order that plain evidence waits for its effect."""

QUEUE_LOOKS = 3
"""Looks in a row with a queue that are evidence."""

CACHE_FULL = 0.9
"""Mean use of the KV caches that is evidence."""

MOST_TIMES, MOST_STEP = 4, 4
"""At most so many times the ready replicas exist, or so many more: a lying sample cannot ask for all of the cluster."""


@dataclass(frozen=True)
class Decision:
    """How many replicas should exist, and why."""

    replicas: int
    reason: Why
    message: str
    inputs: Mapping[str, float] = field(default_factory=dict)
    """The numbers that it was decided on."""
    state: State = field(default_factory=State)
    """To be given to the next decision."""


@dataclass(frozen=True)
class _Demand:
    """Requests/s."""

    estimate: float
    least: float
    most: float
    index: float


@dataclass(frozen=True)
class _Want:
    """A number of replicas, and why."""

    replicas: int
    reason: Why
    message: str


def decide(policy: Policy, look: Look, state: State, now: float) -> Decision:
    """Returns how many replicas should exist.

    Args:
        policy: The targets and bounds.
        look: What the operator sees.
        state: What the last decision returned; `State()` at first.
        now: Seconds, the operator's clock.
    """
    current = look.ready + look.coming if state.desired is None else state.desired
    if state.at is not None and look.at <= state.at:
        # The same look again: it has been decided on.
        return _decision(_bounded(policy, current), {}, state, now)
    state, seen = advance(policy, look, replace(state, desired=current), now)
    known = _known(policy, state)
    demand = _demand(state)
    inputs = _inputs(look, state, seen, demand)
    state = _note_need(policy, state, known, demand, now)
    want = _bounded(policy, current)
    if want.replicas != current:
        return _decision(want, inputs, state, now)
    if look.ready == 0:
        return _decision(_at_zero(policy, look, current), inputs, state, now)
    up = _more(policy, look, state, seen, known, demand, current, now)
    if up.replicas > current or up.reason in (Why.AT_MAXIMUM, Why.BEYOND_REACH, Why.WARMING_UP):
        return _decision(up, inputs, state, now)
    return _decision(_fewer(policy, look, state, seen, known, current, now), inputs, state, now)


def _decision(want: _Want, inputs: dict[str, float], state: State, now: float) -> Decision:
    before = state.desired or 0
    if want.replicas > before:
        orders = (*state.orders, *(now for _ in range(min(want.replicas - before, 64))))[:64]
        state = replace(state, up_at=now, orders=orders)
    elif want.replicas < before:
        state = replace(state, down_at=now)
    state = replace(state, desired=want.replicas)
    return Decision(want.replicas, want.reason, want.message, inputs, state)


def _bounded(policy: Policy, current: int) -> _Want:
    if current > policy.maximum:
        return _Want(policy.maximum, Why.ABOVE_MAXIMUM, f"At most {policy.maximum} may exist.")
    if current < policy.minimum:
        return _Want(policy.minimum, Why.BELOW_MINIMUM, f"At least {policy.minimum} are to exist.")
    return _Want(current, Why.HOLDING, f"{current} are neither too few nor shown to be too many.")


def _at_zero(policy: Policy, look: Look, current: int) -> _Want:
    if current:
        return _Want(current, Why.WARMING_UP, f"None of {current} is ready yet.")
    if look.held and policy.maximum:
        return _Want(
            1, Why.REQUESTS_HELD, f"The gateway holds {look.held} requests and no replica is there."
        )
    return _Want(0, Why.IDLE, "No replica, and no request waits for one.")


def _known(policy: Policy, state: State) -> Carrier | None:
    return carrier(
        state.speed,
        state.misses,
        [(target.metric, target.seconds, target.budget) for target in policy.targets],
    )


def _demand(state: State) -> _Demand:
    index = dispersion(state.arrivals)
    short = min(index, 2.0)
    minute = window(state.arrivals, 60.0)
    estimate = bound(*minute, 0.0, short)
    for seconds in (2.0, 4.0, 8.0, 15.0, 30.0):
        part = window(state.arrivals, seconds)
        if bound(*part, -SURE, short) > bound(*minute, 0.0, short):
            estimate = max(estimate, bound(*part, -1.0, short))
    least = max(
        bound(*minute, -1.5, short),
        0.9 * estimate if estimate > bound(*minute, 0.0, short) else 0.0,
    )
    rise, error = slope(state.arrivals)
    ahead = min(0.5 * estimate, max(0.0, rise - error) * (state.known_warm_up + 2.0))
    sure_ahead = min(0.5 * estimate, max(0.0, rise - 2 * error) * (state.known_warm_up + 2.0))
    most = max(
        bound(*minute, 2.0, short), bound(*window(state.arrivals, 120.0), 2.0, short), estimate
    )
    return _Demand(estimate + ahead, least + sure_ahead, most + ahead, index)


def _needed(
    policy: Policy, state: State, known: Carrier, rate: float, part: float, index: float
) -> int:
    tokens = rate * state.margin * (state.answer_tokens or 0.0)
    return known.needed(tokens, part, min(index, 20.0), policy.maximum)


def _note_need(
    policy: Policy, state: State, known: Carrier | None, demand: _Demand, now: float
) -> State:
    """Keeps the largest number that may have been needed, slot by slot."""
    if known is None or state.answer_tokens is None:
        return state
    need = _needed(policy, state, known, demand.most, DOWN_AIM, demand.index)
    if not state.needs or now - state.needs_since >= SLOT:
        return replace(state, needs=(*state.needs, need)[-30:], needs_since=now)
    return replace(state, needs=(*state.needs[:-1], max(state.needs[-1], need)))


def _knee(known: Carrier) -> float | None:
    """Returns the most requests in flight in a replica at which every target was kept; None where not even the least load keeps one."""
    best = None
    for index, edge in enumerate(EDGES):
        for f, budget, reached in zip(known.curves, known.budgets, known.reach(), strict=True):
            if reached and (f.shares[index] > budget or edge > max(f.seen, EDGES[0])):
                return best
        best = edge
    return best


def _more(
    policy: Policy,
    look: Look,
    state: State,
    seen: Seen,
    known: Carrier | None,
    demand: _Demand,
    current: int,
    now: float,
) -> _Want:
    want = _Want(current, Why.HOLDING, "")
    if known is not None and state.answer_tokens is not None:
        sure = _needed(policy, state, known, demand.least, 1.0, demand.index)
        if sure > current:
            need = max(sure, _needed(policy, state, known, demand.estimate, AIM, demand.index))
            want = _Want(
                need,
                Why.DEMAND_ROSE,
                f"{demand.estimate:.2f} requests/s, now or when a replica ordered now is ready, need {need}.",
            )
        want = _larger(want, _queue(look, state, seen, known, current))
    want = _larger(want, _missing(policy, look, state, current, now, known))
    limit = max(MOST_TIMES * look.ready, look.ready + MOST_STEP, current)
    if want.replicas > limit:
        want = replace(want, replicas=limit)
    if want.replicas > policy.maximum:
        if current < policy.maximum:
            return replace(want, replicas=policy.maximum)
        return _Want(current, Why.AT_MAXIMUM, f"maxReplicas is {policy.maximum}: {want.message}")
    return want


def _larger(one: _Want, other: _Want) -> _Want:
    return other if other.replicas > one.replicas else one


def _queue(look: Look, state: State, seen: Seen, known: Carrier, current: int) -> _Want:
    """Returns what the requests in the engines need at once, whatever the forecast says."""
    knee = _knee(known)
    if knee is None or not seen.answered or not known.curves:
        return _Want(0, Why.HOLDING, "")
    each = state.in_flight / look.ready
    if each <= 1.25 * knee or knee < EDGES[1]:
        return _Want(0, Why.HOLDING, "")
    need = ceil(state.in_flight / knee)
    return _Want(
        max(need, current),
        Why.QUEUE_GREW,
        f"{state.in_flight:.0f} requests are in {look.ready} engines; {knee:.0f} each were seen to go well.",
    )


def _missing(
    policy: Policy, look: Look, state: State, current: int, now: float, known: Carrier | None
) -> _Want:
    """Returns a step on plain evidence, for when nothing better is known; one at a time, since its effect shows late."""
    nothing = _Want(0, Why.HOLDING, "")
    if look.coming or (state.up_at is not None and now - state.up_at < FRESH_AFTER_UP):
        return nothing
    step = max(1, ceil(0.25 * look.ready))
    if state.waiting_looks >= QUEUE_LOOKS:
        running = max(1.0, state.in_flight - _waiting(state))
        need = min(ceil(look.ready * state.in_flight / running), look.ready + 2 * step)
        return _Want(
            max(need, current + 1),
            Why.QUEUE_GREW,
            f"{_waiting(state):.0f} requests wait in {look.ready} engines that run {running:.0f}.",
        )
    usage = [base.sample.kv_usage for base in state.baselines.values()]
    if usage and sum(usage) / len(usage) > CACHE_FULL:
        return _Want(
            current + step,
            Why.CACHE_FULL,
            f"KV caches are {100 * sum(usage) / len(usage):.0f} % full on the average.",
        )
    reach = known.reach() if known is not None else (True,) * len(policy.targets)
    for target, (over, total), reached in zip(policy.targets, state.fresh, reach, strict=True):
        if sqrt(over) - 1.5 <= sqrt(target.budget * total):
            continue
        text = f"{100 * over / total:.1f} % of {target.metric} lie above {target.seconds:g} s; {100 * target.budget:g} % may."
        if not reached:
            return _Want(0, Why.BEYOND_REACH, f"{text} They do at low load too.")
        return _Want(current + step, Why.TARGET_MISSED, text)
    return nothing


def _waiting(state: State) -> float:
    return float(sum(base.sample.waiting for base in state.baselines.values()))


def _fewer(
    policy: Policy,
    look: Look,
    state: State,
    seen: Seen,
    known: Carrier | None,
    current: int,
    now: float,
) -> _Want:
    """Returns a step down, or the reason why there is none."""
    hold = _Want(current, Why.HOLDING, f"{current} are neither too few nor shown to be too many.")
    if seen.answered < look.ready or len(look.samples) < look.ready:
        absent = look.ready - seen.answered
        return _Want(
            current, Why.DATA_MISSING, f"{absent} of {look.ready} ready replicas did not answer."
        )
    if look.coming or look.ready < current:
        return _Want(current, Why.WARMING_UP, f"{current - look.ready} are on their way.")
    idle_after = policy.scale_to_zero_after
    asked_at = now if state.asked_at is None else state.asked_at
    if policy.minimum == 0 and idle_after is not None and now - asked_at >= idle_after:
        return _Want(0, Why.IDLE, f"No request for {now - asked_at:.0f} s.")
    least = max(1, policy.minimum)
    hold_for = min(HOLD_MOST, max(HOLD_LEAST, 2 * state.known_warm_up))
    slots = ceil(hold_for / SLOT)
    if known is None or len(state.needs) <= slots or current <= least:
        return hold
    if state.down_at is not None and now - state.down_at < DOWN_EVERY:
        return hold
    if state.up_at is not None and now - state.up_at < hold_for:
        return hold
    needed = max(state.needs[-slots - 1 :])
    to = max(needed, least, current - max(1, current // 10))
    if to >= current:
        return hold
    return _Want(
        to, Why.SLACK, f"At most {needed} were needed for {hold_for:.0f} s: {to} hold the load."
    )


def _inputs(look: Look, state: State, seen: Seen, demand: _Demand) -> dict[str, float]:
    numbers = {
        "ready": float(look.ready),
        "coming": float(look.coming),
        "answered": float(seen.answered),
        "held": float(look.held),
        "requestsPerSecond": demand.estimate,
        "requestsPerSecondLeast": demand.least,
        "requestsPerSecondMost": demand.most,
        "inFlight": state.in_flight,
        "waiting": seen.waiting,
        "margin": state.margin,
        "warmUpSeconds": state.known_warm_up,
    }
    return {name: round(value, 3) for name, value in numbers.items()}
