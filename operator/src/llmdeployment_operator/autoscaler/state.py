"""What the law remembers, and how a look changes it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from llmdeployment_operator.autoscaler.demand import Arrivals, add_arrivals
from llmdeployment_operator.autoscaler.observation import Baseline, Delta, Interval, measure_delta
from llmdeployment_operator.autoscaler.replica_model import (
    EDGES,
    Misses,
    Speed,
    observe_misses,
    observe_speed,
)
from llmdeployment_operator.autoscaler.types import Observation, ScalingPolicy

WARM_UP = 60.0
"""Seconds a replica is taken to need until one was seen to become ready."""

FRESH = 15.0
"""Seconds after which a miss counts half in the question whether a target is missed now."""

ANSWERS = 120.0
"""Same, for the mean length of answers."""

MARGIN_GAIN = 0.05
"""By how much the margin moves in `MARGIN_TIME` seconds for a share of misses one budget above the aim."""

MARGIN_TIME = 600.0
MARGIN_AIM = 0.5
"""Share of the budget the margin is steered to: what is left is for what cannot be foreseen."""

MARGIN_MOST = 1.6
ORDERS = 64

FORGIVEN = 1200.0
"""Seconds after which half of a regret is forgotten."""

REGRET_WITHIN = 600.0
REGRET_TIMES, REGRET_MOST = 1.6, 10.0


@dataclass(frozen=True)
class AutoscalerState:
    """What must be remembered between decisions. Keep it in memory; write `as_dict` where it survives a restart."""

    desired: int | None = None
    at: float | None = None
    """Of the last look."""
    heard_at: float | None = None
    """Of the last one that counted arrivals: after a blackout they are those of all of it."""
    arrivals: Arrivals = field(default_factory=Arrivals)
    speed: Speed = field(default_factory=Speed)
    misses: Misses = field(default_factory=Misses)
    generated: float = 0.0
    """Tokens, fading by `ANSWERS`."""
    finished: float = 0.0
    """Answers, same."""
    answer_tokens: float | None = None
    """Mean tokens of an answer; None before a few were finished."""
    recent_misses: tuple[tuple[float, float], ...] = ()
    """Per target (values above, values), fading by `FRESH`."""
    margin: float = 1.0
    """Times the demand: what the model of a replica leaves out, learned from misses."""
    in_flight: float = 0.0
    """Of all replicas, smoothed over a few looks."""
    waiting_since: float | None = None
    """Since when every observation saw a queue; None when the last one saw none."""
    needs: tuple[int, ...] = ()
    """The largest number of replicas that may have been needed, per slot of `demand.SLOT` seconds, newest last."""
    needs_since: float = 0.0
    """When the newest of them began."""
    up_at: float | None = None
    down_at: float | None = None
    regret: float = 1.0
    """Times the time that slack must last: grows when replicas were given back and missed soon after, then fades."""
    ready: int = 0
    orders: tuple[float, ...] = ()
    """When replicas were asked for that are not ready yet, oldest first."""
    warm_up: float | None = None
    """Seconds from the order to ready, learned."""
    asked_at: float | None = None
    """When there last was a request."""
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    """In memory alone: after a restart the first look makes new ones, which costs one look."""
    forwarded: Mapping[str, int] = field(default_factory=dict)
    """What each gateway had given at the last look; in memory alone too."""

    def as_dict(self) -> dict[str, Any]:
        """Returns JSON data of a few kilobytes, however many replicas there are."""
        data = asdict(replace(self, baselines={}, forwarded={}))
        del data["baselines"], data["forwarded"]
        return {key: _to_json(value) for key, value in data.items() if value is not None}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Returns the state `as_dict` wrote; without what this version does not know."""
        known = {key: _from_json(data[key]) for key in cls.__dataclass_fields__ if key in data}
        for key, kind in (("arrivals", Arrivals), ("speed", Speed), ("misses", Misses)):
            if key in data:
                part = {name: _from_json(value) for name, value in data[key].items()}
                known[key] = kind(**part)
        state = cls(**known)
        bins = len(EDGES) + 1
        if any(len(row) != bins for row in (*state.misses.over, *state.misses.total)):
            return replace(state, misses=Misses())
        return state

    @property
    def known_warm_up(self) -> float:
        """Seconds a replica is expected to need until it answers."""
        return WARM_UP if self.warm_up is None else self.warm_up


def increase_regret(state: AutoscalerState, now: float) -> float:
    """Returns the regret after an order at `now`.

    It is more where replicas were given back less than `REGRET_WITHIN` seconds ago and this is the first order since.

    >>> soon, late = AutoscalerState(down_at=100.0, regret=2.0), AutoscalerState(down_at=100.0)
    >>> round(increase_regret(soon, 400.0), 1), increase_regret(late, 4000.0)
    (3.2, 1.0)
    """
    counted = state.up_at is not None and state.down_at is not None and state.up_at > state.down_at
    if counted or state.down_at is None or now - state.down_at > REGRET_WITHIN:
        return state.regret
    return min(REGRET_MOST, state.regret * REGRET_TIMES)


def _to_json(value: Any) -> Any:  # noqa: ANN401  # because JSON data has no narrower type
    if isinstance(value, float):
        return round(value, 4) if abs(value) < 1e9 else round(value)  # noqa: PLR2004  # because sums need no more
    if isinstance(value, dict):
        return {key: _to_json(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(part) for part in value]
    return value


def _from_json(value: Any) -> Any:  # noqa: ANN401  # because JSON data has no narrower type
    if isinstance(value, list):
        return tuple(_from_json(part) for part in value)
    return value


def advance(
    policy: ScalingPolicy, observation: Observation, state: AutoscalerState, now: float
) -> tuple[AutoscalerState, Delta]:
    """Returns the state after `look`, and what the look showed."""
    delta = measure_delta(state.baselines, observation, policy.targets)
    seconds = 1.0 if state.at is None else max(0.001, observation.at - state.at)
    intervals = delta.intervals
    keep = 0.5 ** (seconds / ANSWERS)
    came = _count_arrivals(state, observation, intervals, seconds)
    in_flight = state.in_flight
    if delta.answered:
        weight = 0.5 ** (min(seconds, 60.0) / 2.0)
        in_flight = weight * state.in_flight + (1 - weight) * delta.in_flight
    queue = delta.answered and delta.waiting >= max(2.0 * observation.ready, 0.25 * delta.in_flight)
    asked = (
        observation.held > 0
        or (came is not None and came[1] > 0)
        or delta.in_flight > 0
        or state.asked_at is None
    )
    state = replace(
        state,
        at=observation.at,
        baselines=delta.baselines,
        forwarded=observation.forwarded or state.forwarded,
        arrivals=state.arrivals if came is None else add_arrivals(state.arrivals, *came),
        heard_at=state.heard_at if came is None else observation.at,
        speed=observe_speed(state.speed, intervals, seconds),
        misses=observe_misses(state.misses, intervals, len(policy.targets), seconds),
        generated=state.generated * keep + sum(i.generation_tokens for i in intervals),
        finished=state.finished * keep + sum(i.finished for i in intervals),
        recent_misses=_fade_misses(state.recent_misses, intervals, len(policy.targets), seconds),
        margin=_adjust_margin(policy, state, intervals, seconds),
        in_flight=in_flight,
        waiting_since=_since(state.waiting_since, observation.at) if queue else None,
        asked_at=now if asked else state.asked_at,
        regret=1.0 + (state.regret - 1.0) * 0.5 ** (seconds / FORGIVEN),
    )
    return _learn_warm_up(
        replace(state, answer_tokens=_estimate_answer_tokens(state)), observation, now
    ), delta


def _since(before: float | None, now: float) -> float:
    """Return since when something is so: since before, or since now; a clock that was put back begins anew.

    >>> _since(None, 5.0), _since(3.0, 5.0), _since(9.0, 5.0)
    (5.0, 3.0, 5.0)
    """
    return now if before is None or before > now else before


def _count_arrivals(
    state: AutoscalerState, observation: Observation, intervals: Sequence[Interval], seconds: float
) -> tuple[float, float] | None:
    """Returns (seconds, requests) of what came since it was last known; None when nobody says.

    The replicas' counts say it, after a blackout for all of it. While none answers, which those that have too much to do may not, the
    gateways' counts do.
    """
    if not intervals:
        forwarded = count_forwarded(state.forwarded, observation.forwarded)
        return (seconds, forwarded) if forwarded is not None else None
    since = seconds if state.heard_at is None else max(0.001, observation.at - state.heard_at)
    since = min(since, max(each.seconds for each in intervals)) if since > seconds else seconds
    part = max(1.0, observation.ready / len(intervals))
    return since, sum(each.arrivals / each.seconds for each in intervals) * part * since


def count_forwarded(before: Mapping[str, int], now: Mapping[str, int]) -> float | None:
    """Returns how many requests the gateways gave to replicas between two looks; None when none is in both.

    One whose count went down began anew, or counts for other replicas: it says nothing this time.

    >>> count_forwarded({"a": 5, "b": 7}, {"a": 9, "b": 2, "c": 3}), count_forwarded({}, {"a": 9})
    (4.0, None)
    """
    both = before.keys() & now.keys()
    return float(sum(max(0, now[pod] - before[pod]) for pod in both)) if both else None


def _estimate_answer_tokens(state: AutoscalerState) -> float | None:
    """Returns the mean tokens of an answer: those in flight are half done on the average and have been counted into `generated`.

    The first to finish are the short ones: as many as are in flight, twice over, are no longer only those. Where answers take minutes
    a rise breaks that rule for a while, and what was known before it still stands.

    >>> _estimate_answer_tokens(AutoscalerState(generated=9_000.0, finished=40.0, in_flight=10.0))
    200.0
    >>> _estimate_answer_tokens(AutoscalerState(generated=9_000.0, finished=40.0, in_flight=30.0, answer_tokens=150.0))
    150.0
    """
    if state.finished < max(20.0, 2 * state.in_flight):
        return state.answer_tokens
    return state.generated / (state.finished + state.in_flight / 2)


def _fade_misses(
    recent_misses: tuple[tuple[float, float], ...],
    intervals: Sequence[Interval],
    targets: int,
    seconds: float,
) -> tuple[tuple[float, float], ...]:
    keep = 0.5 ** (seconds / FRESH)
    old = recent_misses if len(recent_misses) == targets else ((0.0, 0.0),) * targets
    return tuple(
        (
            over * keep + sum(i.missed[target][0] for i in intervals),
            total * keep + sum(i.missed[target][1] for i in intervals),
        )
        for target, (over, total) in enumerate(old)
    )


def _adjust_margin(
    policy: ScalingPolicy, state: AutoscalerState, intervals: Sequence[Interval], seconds: float
) -> float:
    """Integrates the misses: d margin / dt = gain * (share / budget - aim) / time, from 1 to `MARGIN_MOST`.

    Worked example: one minute with twice the budget's share of misses adds 0.05 * 1.5 / 10 = 0.0075; ten minutes without a miss take 0.025.
    """
    worst = 0.0
    values = 0
    for target, row in enumerate(policy.targets):
        over = sum(i.missed[target][0] for i in intervals)
        total = sum(i.missed[target][1] for i in intervals)
        values += total
        if total:
            worst = max(worst, over / total / max(row.budget, 0.002))
    if not values:
        return state.margin
    move = MARGIN_GAIN * (min(worst, 20.0) - MARGIN_AIM) * min(seconds, 10.0) / MARGIN_TIME
    return min(MARGIN_MOST, max(1.0, state.margin + move))


def _learn_warm_up(state: AutoscalerState, observation: Observation, now: float) -> AutoscalerState:
    """Learns the warm-up from orders that have become ready, oldest first."""
    orders, warm_up = list(state.orders), state.warm_up
    for _ in range(observation.ready - state.ready):
        if not orders:
            break
        took = max(0.0, now - orders.pop(0))
        warm_up = took if warm_up is None else 0.7 * warm_up + 0.3 * took
    while len(orders) > max(0, (state.desired or 0) - observation.ready):
        orders.pop()
    return replace(state, orders=tuple(orders), warm_up=warm_up, ready=observation.ready)
