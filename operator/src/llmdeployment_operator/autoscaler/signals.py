"""What a look is evidence of: more replicas are needed, or fewer are enough."""

from dataclasses import dataclass, replace
from math import ceil, sqrt

from llmdeployment_operator.autoscaler.demand import (
    SLOT,
    Demand,
    expect,
)
from llmdeployment_operator.autoscaler.observation import Seen
from llmdeployment_operator.autoscaler.replica_model import EDGES, Carrier, carrier
from llmdeployment_operator.autoscaler.state import State
from llmdeployment_operator.autoscaler.types import Look, Policy, Why

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

QUEUE_LOOKS = 3
"""Looks in a row with a queue that are evidence."""

CACHE_FULL = 0.9
"""Mean use of the KV caches that is evidence."""

MOST_TIMES, MOST_STEP = 4, 4
"""At most so many times the ready replicas exist, or so many more: a lying sample cannot ask for all of the cluster."""

BURSTY = 20.0
"""The largest index of dispersion that headroom is made for: beyond, bursts are longer than what is in flight and the rate itself
follows them."""


@dataclass(frozen=True)
class Want:
    """A number of replicas, and why."""

    replicas: int
    reason: Why
    message: str


@dataclass(frozen=True)
class Sight:
    """All that a decision is made on."""

    policy: Policy
    look: Look
    state: State
    seen: Seen
    current: int
    """Replicas that the last decision wanted."""
    now: float

    demand: Demand
    known: Carrier | None
    """What is known of a replica; None before its speed and the length of answers are."""

    def needed(self, known: Carrier, rate: float, part: float) -> int:
        """Returns how many replicas `rate` requests/s need to use up `part` of the budgets."""
        tokens = rate * self.state.margin * (self.state.answer_tokens or 0.0)
        return known.needed(
            tokens, part, min(max(1.0, self.demand.index), BURSTY), self.policy.maximum
        )

    @property
    def reach(self) -> tuple[bool, ...]:
        """Per target whether replicas can keep it: as far as is known, they can."""
        return (True,) * len(self.policy.targets) if self.known is None else self.known.reach()

    def holding(self) -> Want:
        """Returns the number that is, for want of evidence; it says so where a target is left out because low load misses it too."""
        text = f"{self.current} are neither too few nor shown to be too many."
        rows = zip(self.policy.targets, self.reach, strict=True)
        left_out = [target.metric for target, reached in rows if not reached]
        if left_out:
            lost = f"Low load misses {' and '.join(left_out)} too: replicas cannot help."
            return Want(self.current, Why.BEYOND_REACH, f"{lost} {text}")
        return Want(self.current, Why.HOLDING, text)


def make_sight(
    policy: Policy, look: Look, state: State, seen: Seen, *, current: int, now: float
) -> Sight:
    """Returns what `state` and `look` show together."""
    targets = [(target.metric, target.seconds, target.budget) for target in policy.targets]
    return Sight(
        policy,
        look,
        state,
        seen,
        current,
        now,
        demand=expect(state.arrivals, state.known_warm_up + 2.0),
        known=None if state.answer_tokens is None else carrier(state.speed, state.misses, targets),
    )


def note_need(sight: Sight) -> State:
    """Returns the state with the largest number that may have been needed in this slot of time."""
    state, known = sight.state, sight.known
    if known is None:
        return state
    # A burst shorter than the window of `most` shows in the estimate alone.
    demand = max(sight.demand.most, sight.demand.estimate)
    need = sight.needed(known, demand, DOWN_AIM)
    if not state.needs or sight.now - state.needs_since >= SLOT:
        return replace(state, needs=(*state.needs, need)[-62:], needs_since=sight.now)
    return replace(state, needs=(*state.needs[:-1], max(state.needs[-1], need)))


def more(sight: Sight) -> Want | None:
    """Returns what more replicas are needed for; None where nothing shows that any are."""
    wants = [want for check in (_demand, _in_flight, _plain) if (want := check(sight))]
    if not wants:
        return None
    want = max(wants, key=lambda want: want.replicas)
    if want.reason == Why.BEYOND_REACH:
        return want
    ready, current, most = sight.look.ready, sight.current, sight.policy.maximum
    limit = min(most, max(MOST_TIMES * ready, ready + MOST_STEP, current))
    if want.replicas <= limit:
        return want
    if current >= most:
        return Want(current, Why.AT_MAXIMUM, f"maxReplicas is {most}. {want.message}")
    return replace(want, replicas=limit)


def _demand(sight: Sight) -> Want | None:
    known, demand = sight.known, sight.demand
    if known is None:
        return None
    sure = sight.needed(known, demand.least, 1.0)
    if sure <= sight.current:
        return None
    need = max(sure, sight.needed(known, demand.estimate, AIM))
    text = f"{demand.estimate:.2f} requests/s, now or when a replica ordered now is ready, need {need}."
    return Want(need, Why.DEMAND_ROSE, text)


def _in_flight(sight: Sight) -> Want | None:
    """Returns what the requests in the engines need at once, whatever the forecast says."""
    known, ready = sight.known, sight.look.ready
    if known is None or not sight.seen.answered:
        return None
    knee = _knee(known)
    if knee is None:
        return None
    number = sight.state.in_flight
    excess = number - ready * knee
    if excess <= 0.25 * ready * knee:
        return None
    # Each of those too many has half an answer to go; a replica that is added gives what one gives at the knee.
    tokens = excess * (sight.state.answer_tokens or 0.0) / 2
    extra = tokens / (DRAIN * knee / known.line(knee))
    need = max(ready, sight.needed(known, sight.demand.estimate, AIM)) + extra
    if ceil(need) <= sight.current:
        return None
    text = f"{number:.0f} requests are in {_engines(ready)}; {knee:.0f} each were seen to go well."
    return Want(ceil(need), Why.QUEUE_GREW, text)


def _knee(known: Carrier) -> float | None:
    """Returns the most requests in flight in a replica at which no target was surely missed; None where that is not known."""
    kept = [
        (f, budget)
        for f, budget, reached in zip(known.curves, known.budgets, known.reach(), strict=True)
        if reached
    ]
    best = None
    for index, edge in enumerate(EDGES):
        if any(f.surely[index] > budget or edge > max(f.seen, EDGES[1]) for f, budget in kept):
            break
        best = edge
    return best if kept and best is not None and best >= EDGES[1] else None


def _plain(sight: Sight) -> Want | None:
    """Returns a step on evidence that needs no model; one at a time, since its effect shows late."""
    state = sight.state
    waits = state.up_at is not None and sight.now - state.up_at < state.known_warm_up + AFTER_UP
    if sight.look.coming or waits:
        return None
    return _queue(sight) or _cache(sight) or _missed(sight)


def _step(sight: Sight) -> int:
    return sight.current + max(1, ceil(0.25 * sight.look.ready))


def _queue(sight: Sight) -> Want | None:
    state, ready = sight.state, sight.look.ready
    if state.waiting_looks < QUEUE_LOOKS or not sight.seen.answered:
        return None
    waiting = sight.seen.waiting
    running = max(1.0, sight.seen.in_flight - waiting)
    most = ready + 2 * max(1, ceil(0.25 * ready))
    need = max(sight.current + 1, min(most, ceil(ready * (running + waiting) / running)))
    return Want(
        need,
        Why.QUEUE_GREW,
        f"{waiting:.0f} requests wait in {_engines(ready)}; {running:.0f} run.",
    )


def _engines(number: int) -> str:
    return "1 engine" if number == 1 else f"{number} engines"


def _cache(sight: Sight) -> Want | None:
    usage = [base.sample.kv_usage for base in sight.state.baselines.values()]
    mean = sum(usage) / len(usage) if usage else 0.0
    if mean <= CACHE_FULL:
        return None
    return Want(_step(sight), Why.CACHE_FULL, f"KV caches are {100 * mean:.0f} % full on average.")


def _missed(sight: Sight) -> Want | None:
    rows = zip(sight.policy.targets, sight.state.fresh, sight.reach, strict=True)
    for target, (over, total), reached in rows:
        if sqrt(over) - 1.5 <= sqrt(target.budget * total):
            continue
        text = (
            f"{100 * over / total:.1f} % of {target.metric} lie above {target.seconds:g} s;"
            f" {100 * target.budget:g} % may."
        )
        if any(sight.reach) and not reached:
            # Of those that replicas can help, the others.
            continue
        if not reached:
            return Want(sight.current, Why.BEYOND_REACH, f"{text} They do at low load too.")
        return Want(_step(sight), Why.TARGET_MISSED, text)
    return None


def fewer(sight: Sight) -> Want:
    """Returns a step down, or the reason why there is none: the first check that speaks decides."""
    return _absent(sight) or _coming(sight) or _idle(sight) or _slack(sight) or sight.holding()


def _absent(sight: Sight) -> Want | None:
    ready = sight.look.ready
    answered, lies = sight.seen.answered, sight.seen.unusable
    if answered >= ready:
        return None
    text = f"{ready - answered} of {ready} ready replicas did not answer: nothing is given back."
    if lies:
        text += f" What {lies} of them said cannot be true: look at their /stats."
    return Want(sight.current, Why.DATA_MISSING, text)


def _coming(sight: Sight) -> Want | None:
    missing = sight.current - sight.look.ready
    if missing <= 0 and not sight.look.coming:
        return None
    text = f"{max(missing, sight.look.coming)} replicas are on their way."
    return Want(sight.current, Why.WARMING_UP, text)


def _idle(sight: Sight) -> Want | None:
    after, asked_at = sight.policy.scale_to_zero_after, sight.state.asked_at
    if sight.policy.minimum or after is None or asked_at is None or sight.now - asked_at < after:
        return None
    return Want(0, Why.IDLE, f"No request for {sight.now - asked_at:.0f} s.")


def hold(warm_up: float, regret: float, index: float) -> float:
    """Returns for how many seconds fewer replicas must have been enough: min(600, max(60, 2 warm_up) * regret * max(1, index / 3)).

    Worked example: a warm-up of 18 s and steady traffic: a minute. Bursts with an index of dispersion of 37, as people's editors make
    them: ten minutes, since the next burst may be that far.

    >>> hold(18.0, 1.0, 1.1), hold(18.0, 1.0, 37.0), hold(100.0, 1.6, 1.1)
    (60.0, 600.0, 320.0)
    """
    bursts = max(1.0, index / BURST_HOLD)
    return min(HOLD_MOST, max(HOLD_LEAST, 2 * warm_up) * regret * bursts)


def _slack(sight: Sight) -> Want | None:
    state, current, now = sight.state, sight.current, sight.now
    lasting = hold(state.known_warm_up, state.regret, sight.demand.index)
    slots = ceil(lasting / SLOT)
    if sight.known is None or len(state.needs) <= slots:
        return None
    if state.down_at is not None and now - state.down_at < DOWN_EVERY:
        return None
    if state.up_at is not None and now - state.up_at < lasting:
        return None
    needed = max(state.needs[-slots - 1 :])
    to = max(needed, 1, sight.policy.minimum, current - max(1, (current - needed) // DOWN_PART))
    if to >= current:
        return None
    return Want(to, Why.SLACK, f"{needed} were enough for {lasting:.0f} s: {to} hold the load.")
