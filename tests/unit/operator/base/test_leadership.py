"""Who may act: the decision as a table, and what two candidates may do in any order of events."""

import dataclasses
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdeployment_operator.plan.base.leadership import (
    LONGEST_SECONDS,
    Lease,
    Observation,
    Step,
    build_held_spec,
    build_released_spec,
    decide,
    observe_lease,
    read_lease,
)

NEW = Lease(uid="u", holder="", seconds=0, acquired="", renewed="", transitions=0)
MINE = Lease(uid="u", holder="me", seconds=15, acquired="t0", renewed="t1", transitions=3)
OTHERS = dataclasses.replace(MINE, holder="other")
RELEASED = dataclasses.replace(MINE, holder="", seconds=1)
CLEARED = dataclasses.replace(MINE, holder="")


@pytest.mark.parametrize(
    ("lease", "deadline", "now", "step"),
    [
        # A candidate that does not lead; the Lease is free at 115.
        (None, None, 100, Step.MAKE),
        (NEW, None, 114.9, Step.WAIT),
        (NEW, None, 115, Step.TAKE),
        (OTHERS, None, 114.9, Step.WAIT),
        (OTHERS, None, 115, Step.TAKE),
        (RELEASED, None, 100, Step.TAKE),
        (CLEARED, None, 114.9, Step.WAIT),
        # The answer to its own write was lost.
        (MINE, None, 100, Step.RENEW),
        # The leader, whose deadline is at 110.
        (MINE, 110, 109.9, Step.RENEW),
        (MINE, 110, 110, Step.STOP),
        (OTHERS, 110, 101, Step.STOP),
        (None, 110, 101, Step.MAKE),
        (NEW, 110, 101, Step.TAKE),
        (None, 110, 110, Step.STOP),
        (NEW, 110, 110, Step.STOP),
        (CLEARED, 110, 101, Step.TAKE),
    ],
)
def test_what_a_candidate_does_next(
    lease: Lease | None, deadline: float | None, now: float, step: Step
) -> None:
    observation = None if lease is None else Observation(lease, free_at=115.0)

    assert decide("me", observation, deadline, now) is step


@pytest.mark.parametrize(
    ("seconds", "own", "free_at"),
    [(15, 15, 115), (30, 15, 130), (1, 15, 115), (0, 15, 115), (10**9, 15, 100 + LONGEST_SECONDS)],
)
def test_the_longer_promise_counts_within_reason(seconds: int, own: int, free_at: float) -> None:
    lease = dataclasses.replace(OTHERS, seconds=seconds)

    assert observe_lease(None, lease, own, now=100.0).free_at == free_at


@pytest.mark.parametrize("change", [{"renewed": "t2"}, {"holder": "third"}, {"uid": "v"}])
def test_every_change_of_the_lease_starts_the_wait_anew(change: dict[str, str]) -> None:
    first = observe_lease(None, OTHERS, 15, now=100.0)

    assert (
        observe_lease(first, dataclasses.replace(OTHERS, **change), 15, now=107.0).free_at == 122.0
    )
    assert observe_lease(first, OTHERS, 15, now=107.0) == first


def _object(spec: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"uid": "u", "resourceVersion": "7"}, "spec": spec}


def test_taking_renewing_and_releasing() -> None:
    taken = read_lease(_object(build_held_spec("me", 15, NEW, "t0")))
    assert taken == Lease("u", "me", 15, "t0", "t0", 0)
    renewed = read_lease(_object(build_held_spec("me", 15, taken, "t1")))
    assert renewed == Lease("u", "me", 15, "t0", "t1", 0)
    released = read_lease(_object(build_released_spec(renewed, "t2")))
    assert (released.holder, released.released) == ("", True)
    again = read_lease(_object(build_held_spec("other", 15, released, "t3")))
    assert again == Lease("u", "other", 15, "t3", "t3", 1)


@pytest.mark.parametrize(
    "spec",
    [
        None,
        {"holderIdentity": 7, "leaseDurationSeconds": "15", "leaseTransitions": None},
        {"holderIdentity": None, "leaseDurationSeconds": -1, "renewTime": ["x"]},
    ],
)
def test_a_lease_that_makes_no_sense_is_one_that_nobody_holds(spec: Any) -> None:
    assert read_lease(_object(spec)) == NEW


LEASE_SECONDS, RENEW_SECONDS = 15, 10


@dataclass(eq=False)
class Candidate:
    """One process: its clock, what it saw, and the request it has on its way."""

    name: str
    skew: float
    paused_until: float = 0.0
    observation: Observation | None = None
    until: float | None = None
    got: list[dict[str, Any] | None] = field(default_factory=list)
    write: tuple[Step, dict[str, Any], float] | None = None
    answer: float | None = None

    def may_write(self, now: float) -> bool:
        return self.until is not None and now + self.skew < self.until


class World:
    """Two candidates, and a person who deletes Leases.

    Requests and answers are late by any time, because a candidate may be paused before each of its four phases: the answer
    to its read, its decision, the arrival of its write, the answer to that. The phases are those of kube/lease.py.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  # because the test should be the same each time
        self.now = 1000.0
        self.version = 0
        self.lease: dict[str, Any] | None = None
        self.candidates = [Candidate("a0", skew=0.0), Candidate("b0", skew=30.0)]
        self.ghosts: list[Candidate] = []
        self.led: set[str] = set()

    def live(self, steps: int) -> None:
        for _ in range(steps):
            self.now += self.random.choice([0.0, 0.01, 0.5, 2.0])
            self.check()
            chance = self.random.random()
            me = self.random.choice(self.candidates)
            if chance < 0.01:
                self.lease = None
            elif chance < 0.015:
                self.end(me)
            elif chance < 0.05:
                me.paused_until = self.now + self.random.choice([3.0, 8.0, 16.0, 60.0])
            elif chance < 0.06:
                me.answer = None
            elif chance < 0.07 and self.ghosts:
                self.arrive(self.ghosts.pop())
            elif self.now >= me.paused_until:
                self.go_on(me)
            self.check()

    def check(self) -> None:
        leaders = [c.name for c in self.candidates if c.may_write(self.now)]
        self.led.update(leaders)
        assert len(leaders) <= 1, f"two may write at {self.now}: {leaders}"

    def go_on(self, me: Candidate) -> None:
        if me.got:
            self.decide(me, me.got.pop())
        elif me.write:
            self.arrive(me)
        elif me.answer is not None:
            me.until, me.answer = me.answer + RENEW_SECONDS, None
        else:
            me.got = [self.lease]

    def decide(self, me: Candidate, got: dict[str, Any] | None) -> None:
        now, observation = self.now + me.skew, None
        if got is not None:
            me.observation = observation = observe_lease(
                me.observation, read_lease(got), LEASE_SECONDS, now
            )
        step = decide(me.name, observation, me.until, now)
        if step is Step.STOP:
            self.restart(me)
        elif step is Step.MAKE:
            me.write = (step, {}, now)
        elif step is not Step.WAIT and got is not None:
            spec = build_held_spec(me.name, LEASE_SECONDS, read_lease(got), str(self.now))
            me.write = (step, {**got, "spec": spec}, now)

    def arrive(self, me: Candidate) -> None:
        if me.write is None:
            return
        (step, body, sent), me.write = me.write, None
        if step is Step.MAKE:
            if self.lease is None:
                self.store(f"uid-{self.version}", {})
        elif self.lease is not None and self.lease["metadata"] == body["metadata"]:
            self.store(body["metadata"]["uid"], body["spec"])
            me.answer = sent

    def store(self, uid: str, spec: dict[str, Any]) -> None:
        self.version += 1
        self.lease = {"metadata": {"uid": uid, "resourceVersion": self.version}, "spec": spec}

    def end(self, me: Candidate) -> None:
        """End a process: killed, or cleanly, which releases the Lease."""
        lease = read_lease(self.lease) if self.lease is not None else None
        clean = me.may_write(self.now) and self.random.random() < 0.5
        if clean and lease and lease.holder == me.name:
            self.store(lease.uid, build_released_spec(lease, str(self.now)))
        self.restart(me)

    def restart(self, me: Candidate) -> None:
        """Begin a new process; what the old one sent is still on its way, and nobody waits for the answer."""
        if me.write is not None:
            self.ghosts.append(dataclasses.replace(me))
        fresh = Candidate(f"{me.name[0]}{int(me.name[1:]) + 1}", me.skew)
        self.candidates[self.candidates.index(me)] = fresh


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_two_candidates_never_both_write_and_one_of_them_does(seed: int) -> None:
    world = World(seed)

    world.live(3000)

    assert len(world.led) >= 5
