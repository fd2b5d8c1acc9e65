"""The shadow of a canary before its first request: who casts it, what was counted, whether the rollout goes on.

The replicas of the stable revision cast it (serving's `shadow.py`), told so in their settings for as long as the memory of the rollout
has a shadow that runs. Their counts come in differences, so that a replica or an operator that starts again takes nothing back.
"""

from dataclasses import replace
from datetime import datetime

from llmdeployment_operator.analysis.shadow import (
    ShadowResult,
    collect_shadow,
    describe_shadow,
    judge_shadow,
)
from llmdeployment_operator.api.rollout import RolloutSpec
from llmdeployment_operator.api.shadow import ShadowSpec
from llmdeployment_operator.plan.base.external import is_external
from llmdeployment_operator.plan.base.reasons import Reason
from llmdeployment_operator.plan.rollout.shadow_state import Shadow
from llmdeployment_operator.plan.rollout.state import RolloutState
from llmdeployment_operator.plan.rollout.types import RolloutInputs, RolloutStep


def begin_shadow(policy: ShadowSpec, state: RolloutState, now: datetime) -> Shadow:
    """Return the shadow of a rollout, a new one if it has none."""
    if state.shadow is not None:
        return state.shadow
    new = Shadow(now)
    return replace(new, message=describe_shadow(policy, new.counts))


def advance_shadow(
    policy: RolloutSpec, inputs: RolloutInputs, state: RolloutState, now: datetime
) -> RolloutState:
    """Return the memory with what replicas counted since, and what it says."""
    shadow = state.shadow
    if policy.shadow is None or shadow is None:
        return replace(state, shadow=None)
    if shadow.result is not ShadowResult.RUNNING:
        return state
    counts = collect_shadow(shadow.counts, inputs.shadow_fresh, inputs.stable, inputs.target)
    seconds = (now - shadow.started_at).total_seconds()
    result, message = judge_shadow(policy.shadow, counts, inputs.stable, seconds)
    return replace(state, shadow=replace(shadow, counts=counts, result=result, message=message))


def can_be_shadowed(inputs: RolloutInputs) -> bool:
    """Say whether both revisions run in replicas that this operator tells what to do: those of an API elsewhere have no settings."""
    pods = (inputs.runtimes.get(number, "") for number in (inputs.stable, inputs.target))
    return not any(map(is_external, pods))


def casts_shadow(step: RolloutStep, target: int) -> bool:
    """Say whether the stable replicas of an arm shadow its canary now."""
    shadow, stage = step.state.shadow, step.stage
    runs = shadow is not None and shadow.result is ShadowResult.RUNNING
    # Whatever the stage waits for: settings that came and went with it would never come to rest.
    stops = stage is not None and stage.reason is Reason.CANARY_PAUSED
    return runs and step.canary == target and not step.weight and not stops
