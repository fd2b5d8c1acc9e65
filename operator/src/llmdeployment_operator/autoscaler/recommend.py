"""How many replicas there should be: pure, and the same code in the operator and in the simulator.

At every look the law asks three questions, each with its own doubt, and acts only where the answer is sure:

1. **Are more needed?** `capacity` says how many replicas keep the targets at a demand; `demand` how much there is at least: now, and by
   its trend when a replica ordered now would be ready. If even that is too much for the replicas that exist and are coming, as many
   are ordered as the best estimate needs. Signals that need no model come beside it: more requests in the engines than were seen to
   go well, a queue, a full KV cache, misses themselves.
2. **Are fewer enough?** Only if every ready replica answered, none is coming, and what may have been needed (the upper bound of the
   demand, at a stricter share of misses) has been less for twice a warm-up. Then a third of what is too much goes, at least one. The
   model knows what
   is in flight with fewer replicas, and refuses loads that nobody has seen: this is the consolidation check.
3. **Is anything known?** If not, nothing moves but by the bounds and by plain evidence.

Between 1 and 2 lies the dead band: wide where little is known, narrow where much is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from llmdeployment_operator.autoscaler.signals import (
    Sight,
    Want,
    fewer,
    make_sight,
    more,
    note_need,
)
from llmdeployment_operator.autoscaler.state import ORDERS, State, advance, regretted
from llmdeployment_operator.autoscaler.types import (
    Look,
    Policy,
    Why,
)


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


def decide(policy: Policy, look: Look, state: State, now: float) -> Decision:
    """Returns how many replicas should exist.

    Args:
        policy: The targets and bounds.
        look: What the operator sees.
        state: What the last decision returned; `State()` at first.
        now: Seconds, the operator's clock.
    """
    current = look.ready + look.coming if state.desired is None else state.desired
    bounded = _bounded(policy, current)
    if state.at is not None and look.at <= state.at:
        # The same look again: it has been decided on.
        return _decision(bounded, {}, state, now)
    state, seen = advance(policy, look, replace(state, desired=current), now)
    seen_now = make_sight(policy, look, state, seen, current=current, now=now)
    inputs = _inputs(seen_now)
    state = note_need(seen_now)
    seen_now = replace(seen_now, state=state)
    if bounded.replicas != current:
        want = bounded
    elif look.ready == 0 or current == 0:
        want = _at_zero(seen_now)
    else:
        want = more(seen_now) or fewer(seen_now)
    return _decision(want, inputs, state, now)


def _decision(want: Want, inputs: dict[str, float], state: State, now: float) -> Decision:
    before = state.desired or 0
    if want.replicas > before:
        orders = (*state.orders, *(now for _ in range(min(want.replicas - before, ORDERS))))
        regret = regretted(state, now)
        state = replace(state, up_at=now, orders=orders[:ORDERS], regret=regret)
    elif want.replicas < before:
        state = replace(state, down_at=now)
    state = replace(state, desired=want.replicas)
    return Decision(want.replicas, want.reason, want.message, inputs, state)


def _bounded(policy: Policy, current: int) -> Want:
    if current > policy.maximum:
        return Want(policy.maximum, Why.ABOVE_MAXIMUM, f"At most {policy.maximum} may exist.")
    if current < policy.minimum:
        return Want(policy.minimum, Why.BELOW_MINIMUM, f"At least {policy.minimum} are to exist.")
    return Want(current, Why.HOLDING, f"{current} are neither too few nor shown to be too many.")


def _at_zero(sight: Sight) -> Want:
    current, held = sight.current, sight.look.held
    if current:
        return Want(current, Why.WARMING_UP, f"None of {current} is ready yet.")
    if held and sight.policy.maximum:
        text = f"The gateway holds {held} requests and no replica is there."
        return Want(1, Why.REQUESTS_HELD, text)
    return Want(0, Why.IDLE, "No replica, and no request waits for one.")


def _inputs(sight: Sight) -> dict[str, float]:
    look, state, demand = sight.look, sight.state, sight.demand
    numbers = {
        "ready": float(look.ready),
        "coming": float(look.coming),
        "answered": float(sight.seen.answered),
        "held": float(look.held),
        "requestsPerSecond": demand.estimate,
        "requestsPerSecondLeast": demand.least,
        "requestsPerSecondMost": demand.most,
        "inFlight": state.in_flight,
        "waiting": sight.seen.waiting,
        "margin": state.margin,
        "warmUpSeconds": state.known_warm_up,
    }
    return {name: round(value, 3) for name, value in numbers.items()}
