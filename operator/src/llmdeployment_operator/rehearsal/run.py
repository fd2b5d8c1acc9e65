"""One rollout on a virtual clock.

`plan_step` decides each move, from what a pass of the operator would see. It is asked at the start, POLL_SECONDS after each move, when a
replica is ready, when it said that it wants to look again, and whenever the evidence may have become a verdict: what is counted is added
to the evidence at each look, and `may_decide` leaves out only looks that could change nothing.

The operator looks every POLL_SECONDS. Here a look is LOOKS[0] seconds after the one before, and later in a step up to a minute, never more
than 5 % of how long the step has lasted: that is how much later a verdict comes here.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from llmdeployment_operator.analysis.counts import BUCKETS
from llmdeployment_operator.analysis.evidence_bound import is_spent, may_decide
from llmdeployment_operator.analysis.sequential_test import Result
from llmdeployment_operator.plan.base.reasons import Reason
from llmdeployment_operator.plan.base.routes import ARM, Route, Share, build_routes
from llmdeployment_operator.plan.build import POLL_SECONDS
from llmdeployment_operator.plan.rollout.canary import plan_step
from llmdeployment_operator.plan.rollout.commands import Commands
from llmdeployment_operator.plan.rollout.state import RolloutState
from llmdeployment_operator.plan.rollout.step_analysis import collect_evidence
from llmdeployment_operator.plan.rollout.types import RolloutInputs, RolloutStep
from llmdeployment_operator.rehearsal.change import Change
from llmdeployment_operator.rehearsal.fleet import Fleet
from llmdeployment_operator.rehearsal.recent import SECONDS
from llmdeployment_operator.rehearsal.tally import CANARY, STABLE, Tally
from llmdeployment_operator.rehearsal.traffic import Traffic
from llmdeployment_operator.rehearsal.users import Users

LOOKS = (5.0, 10.0, 15.0, 20.0, 30.0, 60.0)
"""Seconds between two looks at what was counted: parts of a minute, by which requests are compared."""
_LOOK_SHARE = 0.05

PATIENCE_SECONDS = 1800.0
"""For which a rollout is waited for, beyond twice the shortest time that it takes."""

_START = datetime(2026, 1, 1, tzinfo=UTC)


class Outcome(StrEnum):
    """How a rollout ended."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolledBack"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class World:
    """What all runs have in common.

    Attributes:
        change: the rollout.
        traffic: requests over time.
        users: how many there are.
        correlation: of two requests of one user, 0 to 1.
        warm_up: seconds from a replica's order to its first request.
        stable: the stable revision's share of bad requests, by the key of each metric.
    """

    change: Change
    traffic: Traffic
    users: int
    correlation: float
    warm_up: float
    stable: Mapping[str, float]

    @property
    def limit(self) -> float:
        """After how many seconds a rollout without an end counts as undecided."""
        least = self.change.shortest + self.change.warm_ups * self.warm_up
        return 2 * least + PATIENCE_SECONDS


@dataclass(frozen=True)
class Ending:
    """How one run ended.

    Attributes:
        outcome: what became of the canary.
        seconds: until its promotion or rollback was decided.
        message: why it was rolled back, or what is waited for.
        steps: when each weight was reached that the canary had, by percent.
        users: that had the canary before it was promoted or had no requests any more.
        requests: of theirs that it got.
        most: replicas that existed at the same time, at most.
        extra_seconds: replica-seconds beyond those without a rollout, until the last replica that is not needed is gone.
        until: how much of the traffic was used, in seconds.
    """

    outcome: Outcome
    seconds: float
    message: str
    steps: Mapping[int, float]
    users: int
    requests: int
    most: int
    extra_seconds: float
    until: float


def rehearse(world: World, canary: Mapping[str, float], source: random.Random) -> Ending:
    """Return how one rollout ends.

    Args:
        world: what all runs have in common.
        canary: its share of bad requests, by the key of each metric.
        source: of chance.
    """
    return _Rollout(world, canary, source).run()


class _Rollout:
    """A rollout under way."""

    def __init__(self, world: World, canary: Mapping[str, float], source: random.Random) -> None:
        self._world = world
        # Like the golden set, it is taken for passed: nobody knows what the answers would be.
        self._policy = world.change.policy.model_copy(update={"shadow": None})
        people = Users(world.users, world.correlation, source)
        past = round(world.traffic.rate * SECONDS)
        self._tally = Tally(people, {STABLE: world.stable, CANARY: canary}, past)
        self._fleet = Fleet({STABLE: world.change.replicas}, world.warm_up)
        self._state = RolloutState(stable=STABLE)
        self._commands = Commands()
        self._stable, self._weight, self._bound = STABLE, 0, 0
        self._now = 0.0
        self._look_at = math.inf
        self._message = ""
        self._ended_at: float | None = None
        self._steps: dict[int, float] = {}

    def run(self) -> Ending:
        """Run until nothing is left to do, or nobody waits any more."""
        moving = True
        while moving or not self._is_over():
            moving = self._take_pass()
            if self._now >= self._world.limit:
                break
            if moving:
                self._advance(self._now + POLL_SECONDS)
            elif not self._is_over():
                self._wait()
        self._fleet.pay(self._now)
        return self._report()

    def _take_pass(self) -> bool:
        """Carry out what the plan says, and say whether it moved anything."""
        before = (self._weight, self._stable, self._state.step, self._commands)
        step = plan_step(self._policy, self._observe(), self._state, self._commands, self._instant)
        self._state, self._stable = step.state, step.stable
        self._look_at = math.inf
        if step.look_at is not None:
            self._look_at = max((step.look_at - _START).total_seconds(), self._now + POLL_SECONDS)
        self._route(step)
        self._command(step)
        self._record(step)
        changed = self._fleet.resize(step.needs, self._now)
        return changed or before != (
            self._weight,
            self._stable,
            self._state.step,
            self._commands,
        )

    def _observe(self) -> RolloutInputs:
        ready = self._fleet.count_ready(self._now)
        return RolloutInputs(
            stable=self._stable,
            target=CANARY,
            weight=self._weight,
            ready=ready,
            alive=ready,
            answered={STABLE, *(revision for revision, number in ready.items() if number)},
            applied=True,
            replicas=self._world.change.replicas,
            fresh=self._tally.take(),
            users=self._tally.count_users(),
            runtimes={STABLE: "stable", CANARY: "canary"},
        )

    def _route(self, step: RolloutStep) -> None:
        weight = step.weight if step.canary is not None else 0
        if weight and weight != self._weight:
            self._steps.setdefault(weight, self._now)
        self._weight = weight
        canary = None if step.canary is None else (step.canary, "canary")
        routes = build_routes([Share(ARM, 100, (step.stable, "stable"), canary, weight)])
        self._bound = _find_bound(routes)
        if not weight:
            self._tally.forget_users()

    def _command(self, step: RolloutStep) -> None:
        """Do what a person does who is waited for: promote the canary as soon as nothing speaks against it."""
        stage = step.stage
        if stage is None or stage.reason is not Reason.CANARY_PAUSED:
            return
        analysis = step.state.analysis
        passed = analysis is not None and analysis.result is Result.PASS
        if passed or not self._policy.steps[step.state.step].analysis:
            self._commands = Commands(promote={CANARY: step.state.step + 1})

    def _record(self, step: RolloutStep) -> None:
        self._message = step.stage.message if step.stage is not None else ""
        if self._ended_at is None and (step.stable == CANARY or step.state.rejected is not None):
            self._ended_at = self._now
            if step.stable == CANARY:
                self._steps.setdefault(100, self._now)

    def _is_over(self) -> bool:
        if self._ended_at is None or self._weight or self._state.warm:
            return False
        return math.isinf(self._fleet.find_next_ready(self._now))

    def _wait(self) -> None:
        """Let time pass until the plan would do something else, or might."""
        until = min(self._look_at, self._fleet.find_next_ready(self._now), self._world.limit)
        analysis = self._policy.analysis
        if analysis is None or self._ended_at is not None or not self._weight:
            self._advance(until)
            return
        while self._now < until:
            self._advance(min(until, self._now + self._choose_look()))
            inputs = self._observe()
            evidence = collect_evidence(self._policy, inputs, self._state, self._instant)
            self._state = replace(self._state, analysis=evidence)
            waits = math.isinf(self._look_at)
            spent = is_spent(analysis, evidence) and (
                analysis.on_inconclusive == "Rollback"
                or (waits and analysis.on_inconclusive == "Promote")
            )
            steps = len(self._policy.steps)
            if spent or may_decide(analysis, evidence, steps, may_pass=waits):
                return

    def _choose_look(self) -> float:
        since = self._state.since or self._instant
        lasted = (self._instant - since).total_seconds()
        return max(LOOKS[0], *(each for each in LOOKS if each <= _LOOK_SHARE * lasted), 0.0)

    def _advance(self, until: float) -> None:
        """Let requests come until then."""
        if self._weight:
            requests = self._world.traffic.count_between(self._now, until)
            self._tally.add(requests, self._bound, until)
        self._now = until

    @property
    def _instant(self) -> datetime:
        return _START + timedelta(seconds=self._now)

    def _report(self) -> Ending:
        rejected = self._state.rejected
        outcome = Outcome.UNDECIDED
        if self._ended_at is not None:
            outcome = Outcome.ROLLED_BACK if rejected is not None else Outcome.PROMOTED
        return Ending(
            outcome=outcome,
            seconds=self._now if self._ended_at is None else self._ended_at,
            message=rejected.message if rejected is not None else self._message,
            steps=self._steps,
            users=len(self._tally.exposed),
            requests=self._tally.requests,
            most=self._fleet.most,
            extra_seconds=self._fleet.extra_seconds,
            until=self._now,
        )


def _find_bound(routes: tuple[Route, ...]) -> int:
    """Return the bucket below which users have the canary."""
    return next((r.below for r in routes if r.revision == CANARY and r.below < BUCKETS), 0)
