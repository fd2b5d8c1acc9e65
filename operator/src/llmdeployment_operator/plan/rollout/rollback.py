"""How a canary that is not asked for any more gives its requests back: rolled back, or the spec asks for another revision.

Without `spec.rollout.maxSurge` the stable revision has all its replicas, and takes everything at once. With it, it gave replicas up on
the way, and gets them back as it lost them, one in, one out: the canary keeps the requests that the stable revision cannot carry yet,
and the replicas for these. Who has how much is in the routes, who answers is in the pods, so nothing else has to be remembered.

All goes back at once, whatever the stable revision can carry, when nothing is left of the canary that answers, and when it was rolled back
for its errors: a stable revision that is overloaded is slow for everybody, which passes, but requests that fail are lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from llmdeployment_operator.api.rollout import RolloutSpec
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.sentences import join_sentences
from llmdeployment_operator.plan.rollout import surge
from llmdeployment_operator.plan.rollout.state import Rejection, RolloutState
from llmdeployment_operator.plan.rollout.types import (
    RolloutInputs,
    RolloutStep,
    add_warm,
    count_room_between,
)


@dataclass(frozen=True)
class _LeavingCanary:
    """A canary that gives back.

    Attributes:
        revision: its number.
        weight: percent of the traffic that the routes give it.
        room: how many replicas it and the stable revision may have beyond those asked for.
    """

    revision: int
    weight: int
    room: int


def return_in_steps(
    policy: RolloutSpec, inputs: RolloutInputs, state: RolloutState, now: datetime
) -> RolloutStep | None:
    """Return the move by which the stable revision gets what it can carry; None when nothing is left, or all may go back at once."""
    leaving = _find_leaving(policy, inputs, state)
    if leaving is None:
        return None
    have, answers = inputs.alive.get(inputs.stable, 0), inputs.alive.get(leaving.revision, 0) > 0
    left = min(leaving.weight, surge.percent_kept(inputs.replicas, have)) if answers else 0
    text = f"Requests are moving from revision {leaving.revision} back to revision {inputs.stable}."
    if left:
        text = (
            f"{text} Revision {leaving.revision} still gets {left} %, because {have} of "
            f"{inputs.replicas} replicas of revision {inputs.stable} are ready."
        )
    elif answers:
        text = f"{text} Revision {leaving.revision} gets none any more."
    else:
        text = f"{text} No replica of revision {leaving.revision} is ready any more."
    return _build_step(inputs, state, leaving, left, text, now)


def return_before_next(
    policy: RolloutSpec, inputs: RolloutInputs, state: RolloutState, now: datetime
) -> RolloutStep | None:
    """Return the move by which an earlier canary gives back before the target's rollout begins, or None: it has."""
    if inputs.weight or (inputs.other is None and state.canary == inputs.target):
        return None
    following = f"The rollout of revision {inputs.target} begins after that."
    back = return_in_steps(policy, inputs, state, now)
    if back is not None and back.stage is not None:
        return _set_message(back, Reason.CANARY, f"{back.stage.message} {following}")
    starts = not inputs.alive.get(inputs.target) and state.canary is None
    if (
        inputs.applied
        or not starts
        or count_room_between(policy, inputs, inputs.stable, inputs.target) is None
    ):
        return None
    # Of a status that was lost: a gateway may still have a canary that nobody remembers, whose replicas take the room.
    told = f"The gateways are applying the routes. {following}"
    kept, needs = replace(state, stable=inputs.stable), {inputs.stable: inputs.replicas}
    stage = Finding(Reason.CANARY, told)
    return RolloutStep(
        inputs.stable, None, 0, add_warm(needs, kept, inputs), kept, told, stage, now
    )


def reject(
    policy: RolloutSpec, inputs: RolloutInputs, state: RolloutState, now: datetime, why: str
) -> RolloutStep:
    """Return the move that gives the target up, until the spec changes or somebody asks to try again."""
    state, message = _record_rejection(inputs, state, now, why)
    return keep_stable(policy, inputs, state, message, now)


def reject_at_once(
    policy: RolloutSpec, inputs: RolloutInputs, state: RolloutState, now: datetime, why: str
) -> RolloutStep:
    """Return the move that gives the target up without waiting for the stable revision's replicas."""
    leaving = _find_leaving(policy, inputs, state)
    if leaving is None:
        return reject(policy, inputs, state, now, why)
    why = join_sentences(why, "It lost its requests at once, because it answered them with errors")
    state, message = _record_rejection(inputs, state, now, why)
    back = _build_step(inputs, state, leaving, 0, message, now)
    return _set_message(back, Reason.ROLLED_BACK, f"Revision {inputs.stable} serves. {message}")


def keep_stable(
    policy: RolloutSpec, inputs: RolloutInputs, state: RolloutState, message: str, now: datetime
) -> RolloutStep:
    """Return the move that leaves everything with the stable revision, as soon as it can carry it."""
    back = return_in_steps(policy, inputs, state, now)
    if back is not None and back.stage is not None:
        return _set_message(back, Reason.ROLLED_BACK, f"{back.stage.message} {message}")
    kept = replace(state.without_canary(), stable=inputs.stable)
    stage = Finding(Reason.ROLLED_BACK, f"Revision {inputs.stable} serves. {message}")
    needs = add_warm({inputs.stable: inputs.replicas}, kept, inputs)
    return RolloutStep(inputs.stable, None, 0, needs, kept, message, stage, kept.next_expiry)


def _record_rejection(
    inputs: RolloutInputs, state: RolloutState, now: datetime, why: str
) -> tuple[RolloutState, str]:
    message = (
        f"{join_sentences(f'Revision {inputs.target} was rolled back', why)} Change the spec, or try again with the "
        f"annotation llmdeployment.dev/retry: {inputs.target}/{state.attempt}"
    )
    gone = Rejection(inputs.target, state.attempt, now, message)
    return replace(state, rejected=gone), message


def _find_leaving(
    policy: RolloutSpec, inputs: RolloutInputs, state: RolloutState
) -> _LeavingCanary | None:
    """Return the canary that gives back in steps, until every gateway knows that it has no requests any more."""
    last = (state.canary, 0) if state.canary is not None else None
    revision, weight = inputs.canary or last or (inputs.stable, 0)
    if revision == inputs.stable or (not weight and inputs.applied):
        return None
    room = count_room_between(policy, inputs, inputs.stable, revision)
    return _LeavingCanary(revision, weight, room) if room is not None else None


def _build_step(
    inputs: RolloutInputs,
    state: RolloutState,
    leaving: _LeavingCanary,
    left: int,
    told: str,
    now: datetime,
) -> RolloutStep:
    kept = state.taken_back(leaving.revision, left)
    return RolloutStep(
        stable=inputs.stable,
        canary=leaving.revision if left else None,
        weight=left,
        needs=_count_needs(inputs, leaving, left),
        state=replace(kept, stable=inputs.stable),
        why=told,
        stage=Finding(Reason.CANARY, told),
        # Ray Serve and the gateways, who are waited for, send no events.
        look_at=now,
    )


def _count_needs(inputs: RolloutInputs, leaving: _LeavingCanary, left: int) -> Mapping[int, int]:
    """Return the replicas of both: none of the canary's goes while a gateway may still send it what it had."""
    answering = inputs.alive.get(leaving.revision, 0)
    stable, canary = surge.split_back(inputs.replicas, leaving.room, left)
    if left != leaving.weight or not inputs.applied:
        canary = max(canary, answering)
        stable = min(inputs.replicas, inputs.replicas + leaving.room - canary)
    stable = max(stable, min(inputs.replicas, inputs.alive.get(inputs.stable, 0)))
    return {inputs.stable: stable, leaving.revision: canary}


def _set_message(back: RolloutStep, reason: Reason, message: str) -> RolloutStep:
    return replace(back, stage=Finding(reason, message))
