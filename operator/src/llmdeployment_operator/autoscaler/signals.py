"""What a look is evidence of: more replicas are needed, or fewer are enough."""

from dataclasses import dataclass, replace
from math import ceil, sqrt

from llmdeployment_operator.autoscaler.demand import (
    SLOT,
    Demand,
    forecast,
)
from llmdeployment_operator.autoscaler.observation import Delta
from llmdeployment_operator.autoscaler.replica_model import EDGES, ReplicaModel, fit_replica_model
from llmdeployment_operator.autoscaler.state import AutoscalerState
from llmdeployment_operator.autoscaler.types import Observation, ScalingPolicy, ScalingReason

AIM = 0.9
"""Part of each target's budget that the ordered replicas are to use up; the rest is for what the model of a replica leaves out."""

DOWN_AIM = 0.8
"""Same, after replicas were given back."""

HOLD_LEAST, HOLD_MOST = 60.0, 600.0
"""Seconds that fewer replicas must have been enough before one is given back (`hold`), within these."""

BURST_HOLD = 3.0
"""The index of dispersion beyond which slack must last longer, in proportion: where traffic comes in bursts, a quiet minute says little
about the next."""

DOWN_EVERY = 20.0
"""Seconds between two steps down."""

DOWN_PART = 3
"""A step down takes this part of what is too much, at least one replica."""

AFTER_UP = 30.0
"""Seconds after a warm-up that plain evidence waits for an order's effect."""

DRAIN = 30.0
"""Seconds within which requests in excess of what goes well are to be worked off."""

QUEUE_SECONDS = 3.0
"""For how long every observation must have seen a queue before that is evidence, however often is looked."""

CACHE_FULL = 0.9
"""Mean use of the KV caches that is evidence."""

MOST_TIMES, MOST_STEP = 4, 4
"""At most so many times the ready replicas exist, or so many more: a lying sample cannot ask for all of the cluster."""

BURSTY = 20.0
"""The largest index of dispersion that headroom is made for: beyond, bursts are longer than what is in flight and the rate itself
follows them."""


@dataclass(frozen=True)
class Recommendation:
    """A number of replicas, and why."""

    replicas: int
    reason: ScalingReason
    message: str


@dataclass(frozen=True)
class Signals:
    """All that a decision is made on."""

    policy: ScalingPolicy
    observation: Observation
    state: AutoscalerState
    delta: Delta
    current: int
    """Replicas that the last decision wanted."""
    now: float

    demand: Demand
    model: ReplicaModel | None
    """What is known of a replica; None before its speed and the length of answers are."""

    def needed(self, model: ReplicaModel, rate: float, part: float) -> int:
        """Returns how many replicas `rate` requests/s need to use up `part` of the budgets."""
        tokens = rate * self.state.margin * (self.state.answer_tokens or 0.0)
        return model.needed(
            tokens, part, min(max(1.0, self.demand.index), BURSTY), self.policy.maximum
        )

    @property
    def reach(self) -> tuple[bool, ...]:
        """Per target whether replicas can keep it: as far as is known, they can."""
        return (True,) * len(self.policy.targets) if self.model is None else self.model.reach()

    def holding(self) -> Recommendation:
        """Returns the number that is, for want of evidence; it says so where a target is left out because low load misses it too."""
        text = f"{self.current} replicas are not shown to be too few or too many."
        rows = zip(self.policy.targets, self.reach, strict=True)
        left_out = [target.metric for target, reached in rows if not reached]
        if left_out:
            lost = f"The target of {' and '.join(left_out)} is missed at low load too, so more replicas do not help."
            return Recommendation(self.current, ScalingReason.BEYOND_REACH, f"{lost} {text}")
        return Recommendation(self.current, ScalingReason.HOLDING, text)


def build_signals(
    policy: ScalingPolicy,
    observation: Observation,
    state: AutoscalerState,
    delta: Delta,
    *,
    current: int,
    now: float,
) -> Signals:
    """Returns what `state` and `look` show together."""
    targets = [(target.metric, target.seconds, target.budget) for target in policy.targets]
    return Signals(
        policy,
        observation,
        state,
        delta,
        current,
        now,
        demand=forecast(state.arrivals, state.known_warm_up + 2.0),
        model=None
        if state.answer_tokens is None
        else fit_replica_model(state.speed, state.misses, targets),
    )


def record_need(signals: Signals) -> AutoscalerState:
    """Returns the state with the largest number that may have been needed in this slot of time."""
    state, model = signals.state, signals.model
    if model is None:
        return state
    # A burst shorter than the window of `most` shows in the estimate alone.
    demand = max(signals.demand.most, signals.demand.estimate)
    need = signals.needed(model, demand, DOWN_AIM)
    if not state.needs or signals.now - state.needs_since >= SLOT:
        return replace(state, needs=(*state.needs, need)[-62:], needs_since=signals.now)
    return replace(state, needs=(*state.needs[:-1], max(state.needs[-1], need)))


def recommend_more(signals: Signals) -> Recommendation | None:
    """Returns what more replicas are needed for; None where nothing shows that any are."""
    recommendations = [
        recommendation
        for check in (_check_demand, _check_in_flight, _check_plain_signals)
        if (recommendation := check(signals))
    ]
    if not recommendations:
        return None
    recommendation = max(recommendations, key=lambda recommendation: recommendation.replicas)
    if recommendation.reason == ScalingReason.BEYOND_REACH:
        return recommendation
    ready, current, most = signals.observation.ready, signals.current, signals.policy.maximum
    limit = min(most, max(MOST_TIMES * ready, ready + MOST_STEP, current))
    if recommendation.replicas <= limit:
        return recommendation
    if current >= most:
        return Recommendation(
            current, ScalingReason.AT_MAXIMUM, f"maxReplicas is {most}. {recommendation.message}"
        )
    return replace(recommendation, replicas=limit)


def _check_demand(signals: Signals) -> Recommendation | None:
    model, demand = signals.model, signals.demand
    if model is None:
        return None
    sure = signals.needed(model, demand.least, 1.0)
    if sure <= signals.current:
        return None
    need = max(sure, signals.needed(model, demand.estimate, AIM))
    text = f"{demand.estimate:.2f} requests/s need {need} replicas, now or after one warm-up."
    return Recommendation(need, ScalingReason.DEMAND_ROSE, text)


def _check_in_flight(signals: Signals) -> Recommendation | None:
    """Returns what the requests in the engines need at once, whatever the forecast says."""
    model, ready = signals.model, signals.observation.ready
    if model is None or not signals.delta.answered:
        return None
    knee = _find_knee(model)
    if knee is None:
        return None
    number = signals.state.in_flight
    excess = number - ready * knee
    if excess <= 0.25 * ready * knee:
        return None
    # Each of those too many has half an answer to go; a replica that is added gives what one gives at the knee.
    tokens = excess * (signals.state.answer_tokens or 0.0) / 2
    extra = tokens / (DRAIN * knee / model.line(knee))
    need = max(ready, signals.needed(model, signals.demand.estimate, AIM)) + extra
    if ceil(need) <= signals.current:
        return None
    text = f"{number:.0f} requests are in {_format_engines(ready)}. Each kept the targets with up to {knee:.0f}."
    return Recommendation(ceil(need), ScalingReason.QUEUE_GREW, text)


def _find_knee(model: ReplicaModel) -> float | None:
    """Returns the most requests in flight in a replica at which no target was surely missed; None where that is not known."""
    kept = [
        (f, budget)
        for f, budget, reached in zip(model.curves, model.budgets, model.reach(), strict=True)
        if reached
    ]
    best = None
    for index, edge in enumerate(EDGES):
        if any(f.surely[index] > budget or edge > max(f.seen, EDGES[1]) for f, budget in kept):
            break
        best = edge
    return best if kept else None


def _check_plain_signals(signals: Signals) -> Recommendation | None:
    """Returns a step on evidence that needs no model; one at a time, since its effect shows late."""
    state = signals.state
    waits = state.up_at is not None and signals.now - state.up_at < state.known_warm_up + AFTER_UP
    if signals.observation.pending or waits:
        return None
    return _check_queue(signals) or _check_cache(signals) or _check_targets(signals)


def _step_up(signals: Signals) -> int:
    return signals.current + max(1, ceil(0.25 * signals.observation.ready))


def _check_queue(signals: Signals) -> Recommendation | None:
    state, ready = signals.state, signals.observation.ready
    since = state.waiting_since
    if since is None or state.at is None or not signals.delta.answered:
        return None
    if state.at - since < QUEUE_SECONDS:
        return None
    waiting = signals.delta.waiting
    running = max(1.0, signals.delta.in_flight - waiting)
    most = ready + 2 * max(1, ceil(0.25 * ready))
    need = max(signals.current + 1, min(most, ceil(ready * (running + waiting) / running)))
    return Recommendation(
        need,
        ScalingReason.QUEUE_GREW,
        f"{waiting:.0f} requests wait in {_format_engines(ready)}, and {running:.0f} run.",
    )


def _format_engines(number: int) -> str:
    return "1 engine" if number == 1 else f"{number} engines"


def _check_cache(signals: Signals) -> Recommendation | None:
    usage = [base.sample.kv_usage for base in signals.state.baselines.values()]
    mean = sum(usage) / len(usage) if usage else 0.0
    if mean <= CACHE_FULL:
        return None
    return Recommendation(
        _step_up(signals),
        ScalingReason.CACHE_FULL,
        f"KV caches are {100 * mean:.0f} % full on average.",
    )


def _check_targets(signals: Signals) -> Recommendation | None:
    rows = zip(signals.policy.targets, signals.state.recent_misses, signals.reach, strict=True)
    for target, (over, total), reached in rows:
        if sqrt(over) - 1.5 <= sqrt(target.budget * total):
            continue
        text = (
            f"{100 * over / total:.1f} % of {target.metric} are above {target.seconds:g} s, "
            f"and {100 * target.budget:g} % may be."
        )
        if any(signals.reach) and not reached:
            # Of those that replicas can help, the others.
            continue
        if not reached:
            return Recommendation(
                signals.current,
                ScalingReason.BEYOND_REACH,
                f"{text} The target is missed at low load too, so more replicas do not help.",
            )
        return Recommendation(_step_up(signals), ScalingReason.TARGET_MISSED, text)
    return None


def recommend_fewer(signals: Signals) -> Recommendation:
    """Returns a step down, or the reason why there is none: the first check that speaks decides."""
    return (
        _check_answers(signals)
        or _check_pending(signals)
        or _check_idle(signals)
        or _check_slack(signals)
        or signals.holding()
    )


def _check_answers(signals: Signals) -> Recommendation | None:
    ready = signals.observation.ready
    answered, lies = signals.delta.answered, signals.delta.unusable
    if answered >= ready:
        return None
    text = f"The metrics of {ready - answered} of {ready} ready replicas are missing or invalid. Scale-down waits until they return."
    if lies:
        text += f" {lies} of them report impossible numbers. Check their /stats."
    return Recommendation(signals.current, ScalingReason.DATA_MISSING, text)


def _check_pending(signals: Signals) -> Recommendation | None:
    missing = signals.current - signals.observation.ready
    if missing <= 0 and not signals.observation.pending:
        return None
    text = f"{max(missing, signals.observation.pending)} replicas are starting."
    return Recommendation(signals.current, ScalingReason.WARMING_UP, text)


def _check_idle(signals: Signals) -> Recommendation | None:
    after, asked_at = signals.policy.scale_to_zero_after, signals.state.asked_at
    if (
        signals.policy.minimum
        or after is None
        or asked_at is None
        or signals.now - asked_at < after
    ):
        return None
    return Recommendation(
        0, ScalingReason.IDLE, f"There was no request for {signals.now - asked_at:.0f} s."
    )


def compute_hold(warm_up: float, regret: float, index: float) -> float:
    """Returns for how many seconds fewer replicas must have been enough: min(600, max(60, 2 warm_up) * regret * max(1, index / 3)).

    Worked example: a warm-up of 18 s and steady traffic: a minute. Bursts with an index of dispersion of 37, as people's editors make
    them: ten minutes, since the next burst may be that far.

    >>> compute_hold(18.0, 1.0, 1.1), compute_hold(18.0, 1.0, 37.0), compute_hold(100.0, 1.6, 1.1)
    (60.0, 600.0, 320.0)
    """
    bursts = max(1.0, index / BURST_HOLD)
    return min(HOLD_MOST, max(HOLD_LEAST, 2 * warm_up) * regret * bursts)


def _check_slack(signals: Signals) -> Recommendation | None:
    state, current, now = signals.state, signals.current, signals.now
    lasting = compute_hold(state.known_warm_up, state.regret, signals.demand.index)
    slots = ceil(lasting / SLOT)
    if signals.model is None or len(state.needs) <= slots:
        return None
    if state.down_at is not None and now - state.down_at < DOWN_EVERY:
        return None
    if state.up_at is not None and now - state.up_at < lasting:
        return None
    needed = max(state.needs[-slots - 1 :])
    to = max(needed, 1, signals.policy.minimum, current - max(1, (current - needed) // DOWN_PART))
    if to >= current:
        return None
    return Recommendation(
        to,
        ScalingReason.SLACK,
        f"{needed} replicas were enough for {lasting:.0f} s, so {to} carry the load.",
    )
