"""What the analysis says of a canary's step: what was counted, whether it fails, whether the step waits for it."""

from dataclasses import replace
from datetime import datetime, timedelta

from llmdeployment_operator.analysis.comparison import (
    Analysis,
    collect_counts,
    compare,
    is_exhausted,
)
from llmdeployment_operator.analysis.sequential_test import Result, Verdict
from llmdeployment_operator.api.rollout import RolloutSpec
from llmdeployment_operator.plan.rollout.commands import Commands
from llmdeployment_operator.plan.rollout.state import RolloutState
from llmdeployment_operator.plan.rollout.surge import WHOLE
from llmdeployment_operator.plan.rollout.types import RolloutInputs

WARM_UP_SECONDS = 10
"""Requests of a canary's first seconds are not compared: caches are cold, and that passes."""


def list_weights(policy: RolloutSpec) -> list[int]:
    """Return the percent of the requests at each step; the last one is the promotion."""
    return [*(step.weight for step in policy.steps), WHOLE]


def analyze(
    policy: RolloutSpec, inputs: RolloutInputs, state: RolloutState, now: datetime
) -> tuple[RolloutState, Verdict | None]:
    """Return the memory with the evidence of this step so far, and what it says."""
    if policy.analysis is None:
        return replace(state, analysis=None), None
    evidence = collect_evidence(policy, inputs, state, now)
    verdict, told = compare(policy.analysis, evidence, len(policy.steps))
    return replace(state, analysis=told), verdict


def collect_evidence(
    policy: RolloutSpec, inputs: RolloutInputs, state: RolloutState, now: datetime
) -> Analysis:
    """Return the evidence of this step so far, with what was counted since the last look."""
    evidence = state.analysis or Analysis()
    # Only while the split is what the step says: with counts of another split, a drift of both looks like a difference.
    as_the_step_says = inputs.applied and inputs.weight == list_weights(policy)[state.step]
    warm_up = timedelta(seconds=0 if state.step else WARM_UP_SECONDS)
    if not as_the_step_says or state.since is None or now - state.since < warm_up:
        return evidence
    seconds = int((now - state.since - warm_up).total_seconds())
    revisions = (inputs.stable, inputs.target)
    return collect_counts(evidence, inputs.fresh, revisions, inputs.users, seconds, inputs.past)


def explain_failure(
    policy: RolloutSpec, inputs: RolloutInputs, verdict: Verdict | None, commands: Commands
) -> str | None:
    """Return why the analysis gives the canary up, or None. Who promotes a revision fully has the last word."""
    if verdict is None or policy.analysis is None or commands.promotes_fully(inputs.target):
        return None
    spent = is_exhausted(policy.analysis, verdict) and policy.analysis.on_inconclusive == "Rollback"
    return verdict.message if verdict.result is Result.FAIL or spent else None


def awaits_verdict(policy: RolloutSpec, state: RolloutState, verdict: Verdict | None) -> bool:
    """Say whether the step waits for what the analysis says."""
    if verdict is None or policy.analysis is None or not policy.steps[state.step].analysis:
        return False
    go_on = is_exhausted(policy.analysis, verdict) and policy.analysis.on_inconclusive == "Promote"
    return verdict.result is not Result.PASS and not go_on
