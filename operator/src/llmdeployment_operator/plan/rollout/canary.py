"""How a new revision takes over from the one that serves: one move at a time, from what is known now.

The order of a step is capacity, traffic, observation: the new revision's replicas answer, then requests move, then the step's pause
runs. Every move is decided anew from the cluster: who has the traffic is in the routes, how far a rollout is in `status.arms`, so that
an operator that stops at any line goes on where it was. Terms are those of Argo Rollouts.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from llmdeployment_operator.analysis.comparison import (
    Analysis,
    exhausted,
    fails_requests,
    gathered,
    judged,
)
from llmdeployment_operator.analysis.sequential_test import Result, Verdict
from llmdeployment_operator.api.rollout import RolloutSpec, seconds
from llmdeployment_operator.plan.base.conditions import stamp
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.rollout import rollback, surge
from llmdeployment_operator.plan.rollout.commands import Commands
from llmdeployment_operator.plan.rollout.state import Memory, Warm
from llmdeployment_operator.plan.rollout.surge import WHOLE, share
from llmdeployment_operator.plan.rollout.types import (
    Move,
    Scene,
    in_same_pods,
    room_between,
    warmed,
)

WARM_UP_SECONDS = 10
"""Requests of a canary's first seconds are not compared: caches are cold, and that passes."""


def next_move(
    policy: RolloutSpec, scene: Scene, memory: Memory, commands: Commands, now: datetime
) -> Move:
    """Return the next move of an arm.

    Args:
        policy: `spec.rollout`.
        scene: what is known now.
        memory: what the last pass remembered.
        commands: what people asked for by annotation.
        now: the current time, UTC.
    """
    memory = memory.cooled(timedelta(seconds=seconds(policy.rollback_window)), now)
    memory = _making_room(memory, scene) if scene.crowded else memory
    if (why := _at_once(policy, scene)) is not None:
        if scene.target == scene.stable:
            asked = replace(memory, rejected=None)
            if (back := rollback.in_steps(policy, scene, asked, now)) is not None:
                return back
        return _whole(policy, scene, memory, now, why)
    if (why := _given_up(scene.target, memory, commands)) is not None:
        return rollback.stays(policy, scene, memory, why, now)
    scene = replace(scene, room=room_between(policy, scene, scene.target, scene.stable))
    if any(warm.revision == scene.target for warm in memory.warm) and _has(scene, scene.replicas):
        return _whole(policy, scene, memory, now, f"revision {scene.target} is still warm")
    if (back := rollback.before_another(policy, scene, memory, now)) is not None:
        return back
    memory = memory.of_canary(scene.target, now)
    if scene.room is not None:
        memory = replace(memory, warm=())
    return _canary(policy, scene, memory, commands, now)


def standing(scene: Scene, memory: Memory) -> Move:
    """Return the move of an arm that is left alone: none, whatever would be due."""
    needs = {scene.stable: scene.replicas}
    canary, weight = scene.canary or (None, 0)
    if canary is not None:
        needs[canary] = share(scene.replicas, weight)
    kept = warmed(needs, memory, scene)
    return Move(scene.stable, canary, weight, kept, memory, "spec.paused")


def _making_room(memory: Memory, scene: Scene) -> Memory:
    """Return the memory without what is kept warm in pods of its own: what is needed comes first."""
    used = (scene.stable, scene.target)
    stays = (
        each
        for each in memory.warm
        if any(in_same_pods(scene, each.revision, number) for number in used)
    )
    return replace(memory, warm=tuple(stays))


def _at_once(policy: RolloutSpec, scene: Scene) -> str | None:
    """Return why the target needs no rollout, or None."""
    if scene.target == scene.stable:
        return "it is what the spec asks for"
    if scene.stable not in scene.answered:
        return f"revision {scene.stable} never answered"
    # In the same pods nothing has to end first, and until they know the target they would answer for it with an error.
    recreated = policy.strategy == "Recreate" and not in_same_pods(
        scene, scene.stable, scene.target
    )
    return "strategy Recreate" if recreated else None


def _given_up(target: int, memory: Memory, commands: Commands) -> str | None:
    """Return why the target is not rolled out, or None."""
    if target in commands.abort:
        return f"revision {target} is aborted by annotation"
    rejected = memory.rejected
    stands = rejected is not None and rejected.stands(target, commands.retry.get(target))
    return rejected.message if stands and rejected is not None else None


def _canary(
    policy: RolloutSpec, scene: Scene, memory: Memory, commands: Commands, now: datetime
) -> Move:
    target, weights = scene.target, _weights(policy)
    # Steps that were edited on the way, or a status that was lost, take nothing back from the canary.
    reached = next(i for i, weight in enumerate(weights) if weight >= scene.weight)
    last = len(weights) - 1
    step = last if commands.promotes_fully(target) else min(max(memory.step, reached), last)
    memory = memory.progressed(step, scene.weight, scene.ready.get(target, 0), now)
    memory, verdict = _analyzed(policy, scene, memory, now)
    if (why := _failed(policy, scene, verdict, commands)) is not None:
        if verdict is not None and fails_requests(verdict):
            return rollback.rejected_at_once(policy, scene, memory, now, why)
        return rollback.rejected(policy, scene, memory, now, why)
    if (still := _standstill(scene, commands)) is not None:
        weight, stage = still
        return _at(scene, memory, weight, share(scene.replicas, weights[step]), stage)
    if scene.weight != weights[step]:
        return _towards(policy, scene, memory, commands, now)
    if not scene.applied:
        why = f"the gateways take up {scene.weight} % for revision {target}"
        need = share(scene.replicas, scene.weight)
        return _at(scene, memory, scene.weight, need, Finding(Reason.CANARY, why))
    return _observed(policy, scene, memory, verdict, commands, now)


def _analyzed(
    policy: RolloutSpec, scene: Scene, memory: Memory, now: datetime
) -> tuple[Memory, Verdict | None]:
    """Return the memory with the evidence of this step so far, and what it says."""
    if policy.analysis is None:
        return replace(memory, analysis=None), None
    evidence = memory.analysis or Analysis()
    # Only while the split is what the step says: with counts of another split, a drift of both looks like a difference.
    as_the_step_says = scene.applied and scene.weight == _weights(policy)[memory.step]
    warm_up = timedelta(seconds=0 if memory.step else WARM_UP_SECONDS)
    if as_the_step_says and memory.since is not None and now - memory.since >= warm_up:
        evidence = gathered(evidence, scene.fresh, scene.stable, scene.target)
    verdict, told = judged(policy.analysis, evidence, len(policy.steps))
    return replace(memory, analysis=told), verdict


def _failed(
    policy: RolloutSpec, scene: Scene, verdict: Verdict | None, commands: Commands
) -> str | None:
    """Return why the analysis gives the canary up, or None. Who promotes a revision fully has the last word."""
    if verdict is None or policy.analysis is None or commands.promotes_fully(scene.target):
        return None
    spent = exhausted(policy.analysis, verdict) and policy.analysis.on_inconclusive == "Rollback"
    return verdict.message if verdict.result is Result.FAIL or spent else None


def _standstill(scene: Scene, commands: Commands) -> tuple[int, Finding] | None:
    """Return the weight at which a rollout stands still, and why, or None."""
    target = scene.target
    if scene.weight and scene.alive.get(target, 0) == 0:
        why = f"no replica of revision {target} answers any more: revision {scene.stable} takes its requests"
        return 0, Finding(Reason.CANARY, why)
    if target in commands.pause:
        why = f"revision {target} is paused at {scene.weight} % by annotation"
        return scene.weight, Finding(Reason.CANARY_PAUSED, why)
    return None


def _towards(
    policy: RolloutSpec, scene: Scene, memory: Memory, commands: Commands, now: datetime
) -> Move:
    """Return the move to the step's weight: once its replicas answer, and the golden set if it is the first step, the traffic."""
    target, weights = scene.target, _weights(policy)
    weight = weights[memory.step]
    need = share(scene.replicas, weight)
    step = f"step {memory.step + 1} of {len(weights)}: " if policy.steps else ""
    carried = weight if _has(scene, need) else _carried(scene, weight)
    if carried <= scene.weight:
        return _awaited(policy, scene, memory, need, step, now)
    if (held := _evaluated(policy, scene, memory, commands, now)) is not None:
        return held
    if carried < weight:
        stage = Finding(Reason.CANARY, f"{step}revision {target} gets {carried} % on the way")
        return _at(scene, replace(memory, since=None), carried, need, stage)
    if weight == WHOLE:
        return _whole(policy, scene, memory, now, f"revision {target} is ready")
    stage = Finding(Reason.CANARY, f"{step}revision {target} gets {weight} %")
    return _at(scene, replace(memory, since=None), weight, need, stage)


def _carried(scene: Scene, weight: int) -> int:
    """Return the percent that the target takes before it has all replicas of a step, so that the stable one can make room."""
    if scene.room is None or not scene.applied:
        return 0
    return min(weight, surge.carried(scene.replicas, scene.ready.get(scene.target, 0)))


def _evaluated(
    policy: RolloutSpec, scene: Scene, memory: Memory, commands: Commands, now: datetime
) -> Move | None:
    """Return the move of a canary that may not have its first request yet, or never; None when it may."""
    if scene.weight or scene.gate is None or commands.promotes_fully(scene.target):
        return None
    verdict = scene.gate.verdict(memory.attempt)
    if verdict.refused:
        attempt = max(memory.attempt, verdict.attempt)
        memory = replace(memory, attempt=attempt)
        return rollback.rejected(policy, scene, memory, now, verdict.refused)
    if verdict.pending is None:
        return None
    need = share(scene.replicas, _weights(policy)[memory.step])
    if not scene.alive.get(scene.target):
        why = f"no replica of revision {scene.target} answers that could be asked the golden set"
        return _at(scene, memory, 0, need, Finding(Reason.CANARY, why))
    # An evaluation has a deadline of its own: replicas that leave for a moment are not counted from before it.
    return _at(scene, _not_late(policy, memory, now), 0, need, verdict.pending)


def _not_late(policy: RolloutSpec, memory: Memory, now: datetime) -> Memory:
    """Return the memory with half of the progress deadline left at least; written now and then, not at every look."""
    half = timedelta(seconds=policy.progress_deadline_seconds // 2)
    late = memory.progress_at is None or now - memory.progress_at >= half
    return replace(memory, progress_at=now) if late else memory


def _weights(policy: RolloutSpec) -> list[int]:
    return [*(step.weight for step in policy.steps), WHOLE]


def _observed(
    policy: RolloutSpec,
    scene: Scene,
    memory: Memory,
    verdict: Verdict | None,
    commands: Commands,
    now: datetime,
) -> Move:
    """Return the move of a step whose traffic flows: to wait, or to go on to the next one."""
    number, target = memory.step + 1, scene.target
    here = f"step {number} of {len(policy.steps) + 1}: revision {target} gets {scene.weight} %"
    need = share(scene.replicas, scene.weight)
    memory = replace(memory, since=memory.since or now)
    pause = policy.steps[memory.step].pause
    if pause is not None and not commands.promotes(target, number):
        if pause.duration is None:
            why = f"{here} until it is promoted (annotation llmdeployment.dev/promote: {target}/{number})"
            return _at(scene, memory, scene.weight, need, Finding(Reason.CANARY_PAUSED, why))
        until = (memory.since or now) + timedelta(seconds=seconds(pause.duration))
        if now < until:
            stage = Finding(Reason.CANARY, f"{here} until {stamp(until)}")
            return replace(_at(scene, memory, scene.weight, need, stage), look_at=until)
    if _awaits_verdict(policy, memory, verdict) and not commands.promotes(target, number):
        stage = Finding(Reason.ANALYZING, f"{here}: {verdict.message if verdict else ''}")
        return _at(scene, memory, scene.weight, need, stage)
    weights = _weights(policy)
    following = replace(memory, step=number, since=None, progress_at=now, analysis=None)
    stage = Finding(Reason.CANARY, f"{here}; {weights[number]} % is next")
    return _at(scene, following, scene.weight, share(scene.replicas, weights[number]), stage)


def _awaits_verdict(policy: RolloutSpec, memory: Memory, verdict: Verdict | None) -> bool:
    if verdict is None or policy.analysis is None or not policy.steps[memory.step].analysis:
        return False
    go_on = exhausted(policy.analysis, verdict) and policy.analysis.on_inconclusive == "Promote"
    return verdict.result is not Result.PASS and not go_on


def _awaited(
    policy: RolloutSpec, scene: Scene, memory: Memory, need: int, here: str, now: datetime
) -> Move:
    """Return the move while replicas are missing: to wait, or to give up."""
    target, have = scene.target, scene.ready.get(scene.target, 0)
    if not scene.replicas:
        memory = _not_late(policy, memory, now)
        stage = Finding(Reason.CANARY, f"{here}revision {target} waits: no replica is asked for")
        half = timedelta(seconds=policy.progress_deadline_seconds // 2)
        again = (memory.progress_at or now) + half
        return replace(_at(scene, memory, scene.weight, need, stage), look_at=again)
    since = memory.progress_at or now
    deadline = since + timedelta(seconds=policy.progress_deadline_seconds)
    if now >= deadline:
        why = f"{have} of {need} replicas answered and nothing moved since {stamp(since)} (spec.rollout.progressDeadlineSeconds)"
        if scene.lacking:
            # Short enough for what to do about it to fit behind it.
            why = f"{why}: {scene.lacking[:400]}"
        return rollback.rejected(policy, scene, memory, now, why)
    stage = Finding(Reason.CANARY, f"{here}{have} of {need} replicas of revision {target} answer")
    return replace(_at(scene, memory, scene.weight, need, stage), look_at=deadline)


def _at(scene: Scene, memory: Memory, weight: int, need: int, stage: Finding) -> Move:
    needs = {scene.target: need, scene.stable: scene.replicas}
    if scene.room is not None:
        old, new = surge.split(scene.replicas, scene.room, min(weight, scene.weight), need)
        # What is about to have requests stays, even if it answers from before and was about to go.
        new = max(new, surge.needed(scene.replicas, weight))
        if not scene.applied:
            # A gateway may still send more to the stable one than the routes say: none of it goes yet.
            old = max(old, min(scene.replicas, scene.alive.get(scene.stable, 0)))
            new = max(
                min(need, scene.replicas + scene.room - old), scene.ready.get(scene.target, 0)
            )
        needs = {scene.target: new, scene.stable: old}
    return Move(
        stable=scene.stable,
        canary=scene.target,
        weight=weight,
        needs=warmed(needs, memory, scene),
        memory=replace(memory, stable=scene.stable, weight=weight),
        why=stage.message,
        stage=stage,
    )


def _whole(policy: RolloutSpec, scene: Scene, memory: Memory, now: datetime, why: str) -> Move:
    """Return the move that gives the target everything; the revision before it stays warm for a while."""
    before, target = memory.stable or scene.stable, scene.target
    kept = memory.without_canary()
    window = seconds(policy.rollback_window)
    if before != target:
        fits = room_between(policy, scene, target, before) is None
        fits = fits and not scene.crowded
        warms = window and fits and before in scene.answered and policy.strategy != "Recreate"
        until = now + timedelta(seconds=window)
        kept = replace(kept, warm=(Warm(before, until),) if warms else ())
    warm = tuple(each for each in kept.warm if each.revision != target)
    kept = replace(kept, warm=warm, stable=target, rejected=None)
    needs = warmed({target: scene.replicas}, kept, scene)
    return Move(target, None, 0, needs, kept, why, None, kept.next_expiry)


def _has(scene: Scene, need: int) -> bool:
    return scene.target in scene.ready and scene.ready[scene.target] >= need
