"""How a canary that is not asked for any more gives its requests back: given up, or the spec asks for another revision.

Without `spec.rollout.maxSurge` the stable revision has all its replicas, and takes everything at once. With it, it gave replicas up on
the way, and gets them back as it lost them, one in, one out: the canary keeps the requests that the stable revision cannot carry yet,
and the replicas for these. Who has how much is in the routes, who answers is in the pods, so nothing else has to be remembered.

All goes back at once, whatever the stable revision can carry, when nothing is left of the canary that answers, and when it was given up
for its errors: a stable revision that is overloaded is slow for everybody, which passes, but requests that fail are lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from llmdeployment_operator.api.rollout import RolloutSpec
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.rollout import surge
from llmdeployment_operator.plan.rollout.state import Memory, Rejection
from llmdeployment_operator.plan.rollout.types import Move, Scene, room_between, warmed


@dataclass(frozen=True)
class _Leaving:
    """A canary that gives back.

    Attributes:
        revision: its number.
        weight: percent of the traffic that the routes give it.
        room: how many replicas it and the stable revision may have beyond those asked for.
    """

    revision: int
    weight: int
    room: int


def in_steps(policy: RolloutSpec, scene: Scene, memory: Memory, now: datetime) -> Move | None:
    """Return the move by which the stable revision gets what it can carry; None when nothing is left, or all may go back at once."""
    leaving = _leaving(policy, scene, memory)
    if leaving is None:
        return None
    have, answers = scene.alive.get(scene.stable, 0), scene.alive.get(leaving.revision, 0) > 0
    left = min(leaving.weight, surge.kept(scene.replicas, have)) if answers else 0
    told = f"revision {leaving.revision} is being taken back: {left} % left"
    if left:
        told = f"{told}, {have} of {scene.replicas} replicas of revision {scene.stable} answer"
    elif not answers:
        told = f"{told}, as none of its replicas answers any more"
    return _moved(scene, memory, leaving, left, told, now)


def before_another(policy: RolloutSpec, scene: Scene, memory: Memory, now: datetime) -> Move | None:
    """Return the move by which an earlier canary gives back before the target's rollout begins, or None: it has."""
    if scene.weight or (scene.other is None and memory.canary == scene.target):
        return None
    following = f"revision {scene.target} is next"
    back = in_steps(policy, scene, memory, now)
    if back is not None and back.stage is not None:
        return _telling(back, Reason.CANARY, f"{back.stage.message}; {following}")
    starts = not scene.alive.get(scene.target) and memory.canary is None
    if (
        scene.applied
        or not starts
        or room_between(policy, scene, scene.stable, scene.target) is None
    ):
        return None
    # Of a status that was lost: a gateway may still have a canary that nobody remembers, whose replicas take the room.
    told = f"the gateways take up the routes; {following}"
    kept, needs = replace(memory, stable=scene.stable), {scene.stable: scene.replicas}
    stage = Finding(Reason.CANARY, told)
    return Move(scene.stable, None, 0, warmed(needs, kept, scene), kept, told, stage, now)


def rejected(policy: RolloutSpec, scene: Scene, memory: Memory, now: datetime, why: str) -> Move:
    """Return the move that gives the target up, until the spec changes or somebody asks to try again."""
    memory, message = _given_up(scene, memory, now, why)
    return stays(policy, scene, memory, message, now)


def rejected_at_once(
    policy: RolloutSpec, scene: Scene, memory: Memory, now: datetime, why: str
) -> Move:
    """Return the move that gives the target up without waiting for the stable revision's replicas."""
    leaving = _leaving(policy, scene, memory)
    if leaving is None:
        return rejected(policy, scene, memory, now, why)
    why = f"{why}. Its requests went back at once, because it fails them"
    memory, message = _given_up(scene, memory, now, why)
    back = _moved(scene, memory, leaving, 0, message, now)
    return _telling(back, Reason.ROLLED_BACK, f"revision {scene.stable} serves: {message}")


def stays(policy: RolloutSpec, scene: Scene, memory: Memory, message: str, now: datetime) -> Move:
    """Return the move that leaves everything with the stable revision, as soon as it can carry it."""
    back = in_steps(policy, scene, memory, now)
    if back is not None and back.stage is not None:
        told = f"revision {scene.stable} serves: {back.stage.message}; {message}"
        return _telling(back, Reason.ROLLED_BACK, told)
    kept = replace(memory.without_canary(), stable=scene.stable)
    stage = Finding(Reason.ROLLED_BACK, f"revision {scene.stable} serves: {message}")
    needs = warmed({scene.stable: scene.replicas}, kept, scene)
    return Move(scene.stable, None, 0, needs, kept, message, stage, kept.next_expiry)


def _given_up(scene: Scene, memory: Memory, now: datetime, why: str) -> tuple[Memory, str]:
    message = (
        f"revision {scene.target} was given up: {why}. Change the spec, or try again with the annotation "
        f"llmdeployment.dev/retry: {scene.target}/{memory.attempt}"
    )
    gone = Rejection(scene.target, memory.attempt, now, message)
    return replace(memory, rejected=gone), message


def _leaving(policy: RolloutSpec, scene: Scene, memory: Memory) -> _Leaving | None:
    """Return the canary that gives back in steps, until every gateway knows that it has no requests any more."""
    last = (memory.canary, 0) if memory.canary is not None else None
    revision, weight = scene.canary or last or (scene.stable, 0)
    if revision == scene.stable or (not weight and scene.applied):
        return None
    room = room_between(policy, scene, scene.stable, revision)
    return _Leaving(revision, weight, room) if room is not None else None


def _moved(
    scene: Scene, memory: Memory, leaving: _Leaving, left: int, told: str, now: datetime
) -> Move:
    kept = memory.taken_back(leaving.revision, left)
    return Move(
        stable=scene.stable,
        canary=leaving.revision if left else None,
        weight=left,
        needs=_needs(scene, leaving, left),
        memory=replace(kept, stable=scene.stable),
        why=told,
        stage=Finding(Reason.CANARY, told),
        # Ray Serve and the gateways, who are waited for, send no events.
        look_at=now,
    )


def _needs(scene: Scene, leaving: _Leaving, left: int) -> Mapping[int, int]:
    """Return the replicas of both: none of the canary's goes while a gateway may still send it what it had."""
    answering = scene.alive.get(leaving.revision, 0)
    stable, canary = surge.back(scene.replicas, leaving.room, left)
    if left != leaving.weight or not scene.applied:
        canary = max(canary, answering)
        stable = min(scene.replicas, scene.replicas + leaving.room - canary)
    stable = max(stable, min(scene.replicas, scene.alive.get(scene.stable, 0)))
    return {scene.stable: stable, leaving.revision: canary}


def _telling(back: Move, reason: Reason, message: str) -> Move:
    return replace(back, stage=Finding(reason, message))
