"""How a new revision takes over from the one that serves: one move at a time, from what is known now.

The order of a step is capacity, traffic, observation: the new revision's replicas answer, then requests move, then the step's pause
runs. Every move is decided anew from the cluster: who has the traffic is in the routes, how far a rollout is in `status.arms`, so that
an operator that stops at any line goes on where it was. Terms are those of Argo Rollouts.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from llmdeployment_operator.analysis.comparison import fails_by_errors
from llmdeployment_operator.analysis.sequential_test import Verdict
from llmdeployment_operator.analysis.shadow import ShadowResult
from llmdeployment_operator.api.rollout import RolloutSpec, parse_seconds
from llmdeployment_operator.plan.base.conditions import format_time
from llmdeployment_operator.plan.base.durations import format_duration
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.sentences import begin_sentence, join_sentences
from llmdeployment_operator.plan.rollout import rollback, surge
from llmdeployment_operator.plan.rollout.commands import Commands
from llmdeployment_operator.plan.rollout.shadow import (
    advance_shadow,
    begin_shadow,
    can_be_shadowed,
)
from llmdeployment_operator.plan.rollout.state import RolloutState, WarmRevision
from llmdeployment_operator.plan.rollout.step_analysis import (
    analyze,
    awaits_verdict,
    explain_failure,
    list_weights,
)
from llmdeployment_operator.plan.rollout.surge import WHOLE, share_replicas
from llmdeployment_operator.plan.rollout.types import (
    RolloutInputs,
    RolloutStep,
    add_warm,
    count_room_between,
    share_pods,
)


def plan_step(
    policy: RolloutSpec,
    inputs: RolloutInputs,
    state: RolloutState,
    commands: Commands,
    now: datetime,
) -> RolloutStep:
    """Return the next move of an arm.

    Args:
        policy: `spec.rollout`.
        inputs: what is known now.
        state: what the last pass remembered.
        commands: what people asked for by annotation.
        now: the current time, UTC.
    """
    state = state.cooled(timedelta(seconds=parse_seconds(policy.rollback_window)), now)
    state = _make_room(state, inputs) if inputs.crowded else state
    if (why := _explain_at_once(policy, inputs)) is not None:
        if inputs.target == inputs.stable:
            asked = replace(state, rejected=None)
            if (back := rollback.return_in_steps(policy, inputs, asked, now)) is not None:
                return back
        return _promote(policy, inputs, state, now, why)
    if (why := _explain_rejection(inputs.target, state, commands)) is not None:
        return rollback.keep_stable(policy, inputs, state, why, now)
    inputs = replace(inputs, room=count_room_between(policy, inputs, inputs.target, inputs.stable))
    if any(warm.revision == inputs.target for warm in state.warm) and _has_replicas(
        inputs, inputs.replicas
    ):
        return _promote(policy, inputs, state, now, f"revision {inputs.target} is still warm")
    if (back := rollback.return_before_next(policy, inputs, state, now)) is not None:
        return back
    state = state.of_canary(inputs.target, now)
    if inputs.room is not None:
        state = replace(state, warm=())
    return _plan_canary(policy, inputs, state, commands, now)


def plan_paused_step(inputs: RolloutInputs, state: RolloutState) -> RolloutStep:
    """Return the move of an arm that is left alone: none, whatever would be due."""
    needs = {inputs.stable: inputs.replicas}
    canary, weight = inputs.canary or (None, 0)
    if canary is not None:
        needs[canary] = share_replicas(inputs.replicas, weight)
    kept = add_warm(needs, state, inputs)
    return RolloutStep(inputs.stable, canary, weight, kept, state, "spec.paused")


def _make_room(state: RolloutState, inputs: RolloutInputs) -> RolloutState:
    """Return the memory without what is kept warm in pods of its own: what is needed comes first."""
    used = (inputs.stable, inputs.target)
    stays = (
        each
        for each in state.warm
        if any(share_pods(inputs, each.revision, number) for number in used)
    )
    return replace(state, warm=tuple(stays))


def _explain_at_once(policy: RolloutSpec, inputs: RolloutInputs) -> str | None:
    """Return why the target needs no rollout, or None."""
    if inputs.target == inputs.stable:
        return "it is what the spec asks for"
    if inputs.stable not in inputs.answered:
        return f"revision {inputs.stable} was never ready"
    # In the same pods nothing has to end first, and until they know the target they would answer for it with an error.
    recreated = policy.strategy == "Recreate" and not share_pods(
        inputs, inputs.stable, inputs.target
    )
    return "strategy Recreate" if recreated else None


def _explain_rejection(target: int, state: RolloutState, commands: Commands) -> str | None:
    """Return why the target is not rolled out, or None."""
    if target in commands.abort:
        return (
            f"Revision {target} is aborted by the annotation llmdeployment.dev/abort. "
            "Remove the annotation to roll it out."
        )
    rejected = state.rejected
    stands = rejected is not None and rejected.stands(target, commands.retry.get(target))
    return rejected.message if stands and rejected is not None else None


def _plan_canary(
    policy: RolloutSpec,
    inputs: RolloutInputs,
    state: RolloutState,
    commands: Commands,
    now: datetime,
) -> RolloutStep:
    target, weights = inputs.target, list_weights(policy)
    # Steps that were edited on the way, or a status that was lost, take nothing back from the canary.
    reached = next(i for i, weight in enumerate(weights) if weight >= inputs.weight)
    last = len(weights) - 1
    step = last if commands.promotes_fully(target) else min(max(state.step, reached), last)
    state = state.progressed(step, inputs.weight, inputs.ready.get(target, 0), now)
    state = advance_shadow(policy, inputs, state, now)
    state, verdict = analyze(policy, inputs, state, now)
    if (why := explain_failure(policy, inputs, verdict, commands)) is not None:
        if verdict is not None and fails_by_errors(verdict):
            return rollback.reject_at_once(policy, inputs, state, now, why)
        return rollback.reject(policy, inputs, state, now, why)
    if (still := _check_standstill(inputs, commands)) is not None:
        weight, stage = still
        return _stay_at(
            inputs, state, weight, share_replicas(inputs.replicas, weights[step]), stage
        )
    if inputs.weight != weights[step]:
        return _move_towards(policy, inputs, state, commands, now)
    if not inputs.applied:
        why = f"The gateways are applying {inputs.weight} % for revision {target}."
        need = share_replicas(inputs.replicas, inputs.weight)
        return _stay_at(inputs, state, inputs.weight, need, Finding(Reason.CANARY, why))
    return _observe_step(policy, inputs, state, verdict, commands, now)


def _check_standstill(inputs: RolloutInputs, commands: Commands) -> tuple[int, Finding] | None:
    """Return the weight at which a rollout stands still, and why, or None."""
    target = inputs.target
    if inputs.weight and inputs.alive.get(target, 0) == 0:
        why = (
            f"No replica of revision {target} is ready any more. "
            f"Revision {inputs.stable} takes its requests."
        )
        return 0, Finding(Reason.CANARY, why)
    if target in commands.pause:
        why = (
            f"Revision {target} is paused at {inputs.weight} % by the annotation "
            "llmdeployment.dev/pause. Remove the annotation to continue."
        )
        return inputs.weight, Finding(Reason.CANARY_PAUSED, why)
    return None


def _move_towards(
    policy: RolloutSpec,
    inputs: RolloutInputs,
    state: RolloutState,
    commands: Commands,
    now: datetime,
) -> RolloutStep:
    """Return the move to the step's weight: once its replicas answer, and the golden set if it is the first step, the traffic."""
    target, weights = inputs.target, list_weights(policy)
    weight = weights[state.step]
    need = share_replicas(inputs.replicas, weight)
    step = f"Step {state.step + 1} of {len(weights)}: " if policy.steps else ""
    carried = weight if _has_replicas(inputs, need) else _count_carried(inputs, weight)
    if carried <= inputs.weight:
        return _await_replicas(policy, inputs, state, need, step, now)
    held = _check_evaluation(policy, inputs, state, commands, now)
    held = held or _check_shadow(policy, inputs, state, commands, now)
    if held is not None:
        return held
    if carried < weight:
        text = f"{step}revision {target} gets {carried} % on the way to {weight} %."
        stage = Finding(Reason.CANARY, begin_sentence(text))
        return _stay_at(inputs, replace(state, since=None), carried, need, stage)
    if weight == WHOLE:
        return _promote(policy, inputs, state, now, f"revision {target} is ready")
    stage = Finding(Reason.CANARY, begin_sentence(f"{step}revision {target} gets {weight} %."))
    return _stay_at(inputs, replace(state, since=None), weight, need, stage)


def _count_carried(inputs: RolloutInputs, weight: int) -> int:
    """Return the percent that the target takes before it has all replicas of a step, so that the stable one can make room."""
    if inputs.room is None or not inputs.applied:
        return 0
    return min(weight, surge.percent_carried(inputs.replicas, inputs.ready.get(inputs.target, 0)))


def _check_evaluation(
    policy: RolloutSpec,
    inputs: RolloutInputs,
    state: RolloutState,
    commands: Commands,
    now: datetime,
) -> RolloutStep | None:
    """Return the move of a canary that may not have its first request yet, or never; None when it may."""
    if inputs.weight or inputs.gate is None or commands.promotes_fully(inputs.target):
        return None
    verdict = inputs.gate.verdict(state.attempt)
    if verdict.refused:
        attempt = max(state.attempt, verdict.attempt)
        state = replace(state, attempt=attempt)
        return rollback.reject(policy, inputs, state, now, verdict.refused)
    if verdict.pending is None:
        return None
    need = share_replicas(inputs.replicas, list_weights(policy)[state.step])
    if not inputs.alive.get(inputs.target):
        why = (
            f"The evaluation of revision {inputs.target} waits until one of its replicas is ready."
        )
        return _stay_at(inputs, state, 0, need, Finding(Reason.CANARY, why))
    # An evaluation has a deadline of its own: replicas that leave for a moment are not counted from before it.
    return _stay_at(inputs, _extend_deadline(policy, state, now), 0, need, verdict.pending)


def _check_shadow(
    policy: RolloutSpec,
    inputs: RolloutInputs,
    state: RolloutState,
    commands: Commands,
    now: datetime,
) -> RolloutStep | None:
    """Return the move of a canary that answers live requests beside the stable revision, or did not well; None when it did."""
    target = inputs.target
    skips = commands.promotes_fully(target) or not can_be_shadowed(inputs)
    if inputs.weight or policy.shadow is None or skips:
        return None
    need = share_replicas(inputs.replicas, list_weights(policy)[state.step])
    if not inputs.alive.get(target):
        why = f"The shadow of revision {target} waits until one of its replicas is ready."
        return _stay_at(inputs, state, 0, need, Finding(Reason.CANARY, why))
    shadow = begin_shadow(policy.shadow, state, now)
    if shadow.result is ShadowResult.REFUSED:
        return rollback.reject(policy, inputs, state, now, shadow.message)
    if shadow.result is not ShadowResult.RUNNING:
        return None
    text = f"Revision {target} answers a sample of live requests before its first one."
    stage = Finding(Reason.SHADOWING, join_sentences(text, shadow.message))
    state = _extend_deadline(policy, replace(state, shadow=shadow), now)
    return _stay_at(inputs, state, 0, need, stage)


def _extend_deadline(policy: RolloutSpec, state: RolloutState, now: datetime) -> RolloutState:
    """Return the memory with half of the progress deadline left at least; written now and then, not at every look."""
    half = timedelta(seconds=policy.progress_deadline_seconds // 2)
    late = state.progress_at is None or now - state.progress_at >= half
    return replace(state, progress_at=now) if late else state


def _observe_step(
    policy: RolloutSpec,
    inputs: RolloutInputs,
    state: RolloutState,
    verdict: Verdict | None,
    commands: Commands,
    now: datetime,
) -> RolloutStep:
    """Return the move of a step whose traffic flows: to wait, or to go on to the next one."""
    number, target = state.step + 1, inputs.target
    here = f"Step {number} of {len(policy.steps) + 1}: revision {target} gets {inputs.weight} %."
    if state.shadow is not None and not state.step:
        here = join_sentences(here, state.shadow.message)
    need = share_replicas(inputs.replicas, inputs.weight)
    state = replace(state, since=state.since or now)
    pause = policy.steps[state.step].pause
    if pause is not None and not commands.promotes(target, number):
        if pause.duration is None:
            why = (
                f"{here} The rollout waits until somebody promotes it. "
                f"To promote it, set the annotation llmdeployment.dev/promote: {target}/{number}"
            )
            return _stay_at(inputs, state, inputs.weight, need, Finding(Reason.CANARY_PAUSED, why))
        until = (state.since or now) + timedelta(seconds=parse_seconds(pause.duration))
        if now < until:
            lasts = format_duration(parse_seconds(pause.duration))
            text = f"{here} The step takes {lasts}, until {format_time(until)}."
            stage = Finding(Reason.CANARY, text)
            return replace(_stay_at(inputs, state, inputs.weight, need, stage), look_at=until)
    if awaits_verdict(policy, state, verdict) and not commands.promotes(target, number):
        text = join_sentences(here, verdict.message if verdict else "")
        stage = Finding(Reason.ANALYZING, text)
        return _stay_at(inputs, state, inputs.weight, need, stage)
    weights = list_weights(policy)
    following = replace(state, step=number, since=None, progress_at=now, analysis=None)
    stage = Finding(Reason.CANARY, f"{here} The next step is {weights[number]} %.")
    return _stay_at(
        inputs, following, inputs.weight, share_replicas(inputs.replicas, weights[number]), stage
    )


def _await_replicas(
    policy: RolloutSpec,
    inputs: RolloutInputs,
    state: RolloutState,
    need: int,
    here: str,
    now: datetime,
) -> RolloutStep:
    """Return the move while replicas are missing: to wait, or to give up."""
    target, have = inputs.target, inputs.ready.get(inputs.target, 0)
    if not inputs.replicas:
        state = _extend_deadline(policy, state, now)
        text = f"{here}revision {target} waits, because no replica is asked for."
        stage = Finding(Reason.CANARY, begin_sentence(text))
        half = timedelta(seconds=policy.progress_deadline_seconds // 2)
        again = (state.progress_at or now) + half
        return replace(_stay_at(inputs, state, inputs.weight, need, stage), look_at=again)
    since = state.progress_at or now
    deadline = since + timedelta(seconds=policy.progress_deadline_seconds)
    if now >= deadline:
        limit = format_duration(policy.progress_deadline_seconds)
        why = (
            f"{have} of {need} replicas were ready, and there was no progress within {limit} "
            "(spec.rollout.progressDeadlineSeconds)"
        )
        # Short enough for what to do about it to fit behind it.
        why = join_sentences(why, inputs.lacking[:400])
        return rollback.reject(policy, inputs, state, now, why)
    text = (
        f"{here}{have} of {need} replicas of revision {target} are ready. "
        f"It is rolled back at {format_time(deadline)} unless another one becomes ready before."
    )
    stage = Finding(Reason.CANARY, begin_sentence(text))
    return replace(_stay_at(inputs, state, inputs.weight, need, stage), look_at=deadline)


def _stay_at(
    inputs: RolloutInputs, state: RolloutState, weight: int, need: int, stage: Finding
) -> RolloutStep:
    needs = {inputs.target: need, inputs.stable: inputs.replicas}
    if inputs.room is not None:
        old, new = surge.split(inputs.replicas, inputs.room, min(weight, inputs.weight), need)
        # What is about to have requests stays, even if it answers from before and was about to go.
        new = max(new, surge.count_needed(inputs.replicas, weight))
        if not inputs.applied:
            # A gateway may still send more to the stable one than the routes say: none of it goes yet.
            old = max(old, min(inputs.replicas, inputs.alive.get(inputs.stable, 0)))
            new = max(
                min(need, inputs.replicas + inputs.room - old), inputs.ready.get(inputs.target, 0)
            )
        needs = {inputs.target: new, inputs.stable: old}
    return RolloutStep(
        stable=inputs.stable,
        canary=inputs.target,
        weight=weight,
        needs=add_warm(needs, state, inputs),
        state=replace(state, stable=inputs.stable, weight=weight),
        why=stage.message,
        stage=stage,
    )


def _promote(
    policy: RolloutSpec, inputs: RolloutInputs, state: RolloutState, now: datetime, why: str
) -> RolloutStep:
    """Return the move that gives the target everything; the revision before it stays warm for a while."""
    before, target = state.stable or inputs.stable, inputs.target
    kept = state.without_canary()
    window = parse_seconds(policy.rollback_window)
    if before != target:
        fits = count_room_between(policy, inputs, target, before) is None
        fits = fits and not inputs.crowded
        warms = window and fits and before in inputs.answered and policy.strategy != "Recreate"
        until = now + timedelta(seconds=window)
        kept = replace(kept, warm=(WarmRevision(before, until),) if warms else ())
    warm = tuple(each for each in kept.warm if each.revision != target)
    kept = replace(kept, warm=warm, stable=target, rejected=None)
    needs = add_warm({target: inputs.replicas}, kept, inputs)
    return RolloutStep(target, None, 0, needs, kept, why, None, kept.next_expiry)


def _has_replicas(inputs: RolloutInputs, need: int) -> bool:
    return inputs.target in inputs.ready and inputs.ready[inputs.target] >= need
