"""The Job that asks the revision that serves the golden set again, at the times of `spec.rollout.evaluation.schedule`."""

from datetime import datetime

from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.drift import digest
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.revisions import Revision
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.desired.evaluation_job import Ask, build_job, format_baseline
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.readiness import count_ready
from llmdeployment_operator.plan.rollout.arms import Arms, ArmStep, list_arms
from llmdeployment_operator.plan.rollout.evaluation_result import (
    hash_golden_set,
    is_finished,
    read_recorded,
    select_jobs,
)
from llmdeployment_operator.plan.rollout.recheck import DUE, find_due, select_rechecks


def plan_rechecks(
    deployment: LLMDeployment,
    arms: Arms,
    cluster: ClusterState,
    settings: Settings,
    now: datetime,
) -> tuple[list[Object], list[Object]]:
    """Return the Jobs that ask revisions again: those to be made, and those that exist and stay as they are.

    One Job at a time asks a revision, and none while its arm is in a rollout. The last one stays for its log until the next is due.

    Args:
        deployment: what the user asked for.
        arms: what each arm's rollout does now.
        cluster: the cluster.
        settings: images and defaults of this operator.
        now: the current time, UTC.
    """
    policy = deployment.spec.rollout.evaluation
    if policy is None or policy.schedule is None:
        return [], []
    made: list[Object] = []
    left: list[Object] = []
    templates = {arm.name: arm.deployment for arm in list_arms(deployment)}
    seen: set[int] = set()
    for arm in arms.routed:
        number = arm.step.stable
        if arm.name not in templates or number in seen:
            continue
        seen.add(number)
        jobs = select_rechecks(cluster, number, hash_golden_set(policy))
        due = find_due(policy, cluster, number, now)
        if due is None or due in jobs or not _is_free(policy, arm, cluster):
            left += [jobs[max(jobs)]] if jobs else []
        else:
            ask = _build_ask(deployment, policy, arm.target, due, cluster)
            made.append(build_job(templates[arm.name], policy, ask, settings))
    return made, left


def _is_free(policy: EvaluationSpec, arm: ArmStep, cluster: ClusterState) -> bool:
    """Say whether an arm's revision can be asked now: it serves alone, a replica is ready, and nobody asks it."""
    target, golden = arm.target, hash_golden_set(policy)
    serves = arm.step.stable == arm.step.state.stable == target.number and arm.step.canary is None
    if not serves or not count_ready(cluster, target.runtime):
        return False
    ref = policy.golden.config_map_ref
    if ref is not None and ref.name in cluster.missing_config_maps:
        return False
    jobs = (
        *select_jobs(cluster, target.number, golden).values(),
        *select_rechecks(cluster, target.number, golden).values(),
    )
    return all(is_finished(job) for job in jobs)


def _build_ask(
    deployment: LLMDeployment,
    policy: EvaluationSpec,
    target: Revision,
    due: int,
    cluster: ClusterState,
) -> Ask:
    golden = hash_golden_set(policy)
    name = names.revision_name(deployment.metadata.name, target.number)
    before = read_recorded(cluster, target.number, golden)
    return Ask(
        target,
        f"{name}-eval-{digest([golden, due])}",
        {DUE: str(due)},
        format_baseline(before),
    )
