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
    Recommendation,
    Signals,
    build_signals,
    recommend_fewer,
    recommend_more,
    record_need,
)
from llmdeployment_operator.autoscaler.state import (
    ORDERS,
    AutoscalerState,
    advance,
    increase_regret,
)
from llmdeployment_operator.autoscaler.types import (
    Observation,
    ScalingPolicy,
    ScalingReason,
)


@dataclass(frozen=True)
class ScalingDecision:
    """How many replicas should exist, and why."""

    replicas: int
    reason: ScalingReason
    message: str
    inputs: Mapping[str, float] = field(default_factory=dict)
    """The numbers that it was decided on."""
    state: AutoscalerState = field(default_factory=AutoscalerState)
    """To be given to the next decision."""


def recommend(
    policy: ScalingPolicy, observation: Observation, state: AutoscalerState, now: float
) -> ScalingDecision:
    """Returns how many replicas should exist.

    Args:
        policy: The targets and bounds.
        observation: What the operator sees.
        state: What the last decision returned; `State()` at first.
        now: Seconds, the operator's clock.
    """
    current = observation.ready + observation.pending if state.desired is None else state.desired
    bounded = _apply_bounds(policy, current)
    if state.at is not None and observation.at <= state.at:
        # The same look again: it has been decided on.
        return _make_decision(bounded, {}, state, now)
    state, delta = advance(policy, observation, replace(state, desired=current), now)
    signals = build_signals(policy, observation, state, delta, current=current, now=now)
    inputs = _list_inputs(signals)
    state = record_need(signals)
    signals = replace(signals, state=state)
    if bounded.replicas != current:
        recommendation = bounded
    elif observation.ready == 0 or current == 0:
        recommendation = _recommend_at_zero(signals)
    else:
        recommendation = recommend_more(signals) or recommend_fewer(signals)
    return _make_decision(recommendation, inputs, state, now)


def _make_decision(
    recommendation: Recommendation, inputs: dict[str, float], state: AutoscalerState, now: float
) -> ScalingDecision:
    before = state.desired or 0
    if recommendation.replicas > before:
        orders = (
            *state.orders,
            *(now for _ in range(min(recommendation.replicas - before, ORDERS))),
        )
        regret = increase_regret(state, now)
        state = replace(state, up_at=now, orders=orders[:ORDERS], regret=regret)
    elif recommendation.replicas < before:
        state = replace(state, down_at=now)
    state = replace(state, desired=recommendation.replicas)
    return ScalingDecision(
        recommendation.replicas, recommendation.reason, recommendation.message, inputs, state
    )


def _apply_bounds(policy: ScalingPolicy, current: int) -> Recommendation:
    if current > policy.maximum:
        return Recommendation(
            policy.maximum, ScalingReason.ABOVE_MAXIMUM, f"The maximum is {policy.maximum}."
        )
    if current < policy.minimum:
        return Recommendation(
            policy.minimum, ScalingReason.BELOW_MINIMUM, f"The minimum is {policy.minimum}."
        )
    return Recommendation(
        current,
        ScalingReason.HOLDING,
        f"{current} replicas are not shown to be too few or too many.",
    )


def _recommend_at_zero(signals: Signals) -> Recommendation:
    current, held = signals.current, signals.observation.held
    if current:
        return Recommendation(
            current, ScalingReason.WARMING_UP, f"None of {current} replicas is ready yet."
        )
    if held and signals.policy.maximum:
        text = f"The gateway holds {held} requests, and there is no replica."
        return Recommendation(1, ScalingReason.REQUESTS_HELD, text)
    return Recommendation(
        0, ScalingReason.IDLE, "There is no replica, and no request waits for one."
    )


def _list_inputs(signals: Signals) -> dict[str, float]:
    observation, state, demand = signals.observation, signals.state, signals.demand
    numbers = {
        "ready": float(observation.ready),
        "coming": float(observation.pending),
        "answered": float(signals.delta.answered),
        "held": float(observation.held),
        "requestsPerSecond": demand.estimate,
        "requestsPerSecondLeast": demand.least,
        "requestsPerSecondMost": demand.most,
        "inFlight": state.in_flight,
        "waiting": signals.delta.waiting,
        "margin": state.margin,
        "warmUpSeconds": state.known_warm_up,
    }
    return {name: round(value, 3) for name, value in numbers.items()}
