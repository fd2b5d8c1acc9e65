"""What keeps an LLMDeployment from being what its spec says: of all its arms, the thing that people should know first."""

from collections.abc import Iterator
from datetime import datetime

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.names import runtime_names
from llmdeployment_operator.plan.base.reasons import HEALS_BY_WAITING, Finding, Reason
from llmdeployment_operator.plan.desired.desired import Decision
from llmdeployment_operator.plan.observed.adapters import adapters_finding
from llmdeployment_operator.plan.observed.observed import Observed
from llmdeployment_operator.plan.observed.readiness import ready_replicas, runtime_finding
from llmdeployment_operator.plan.rollout.accelerator_forecast import planned
from llmdeployment_operator.plan.rollout.arms import ArmMove
from llmdeployment_operator.plan.scaling.report import at_zero
from llmdeployment_operator.plan.traffic import front_door


def finding_of(
    deployment: LLMDeployment, decision: Decision, observed: Observed, now: datetime
) -> tuple[Finding | None, bool]:
    """Return what is not as the spec says, if anything, and whether the current generation answers nevertheless."""
    arms = decision.arms
    gateway = _front_door(deployment, decision, observed, now)
    current = arms.waits is None and all(a.move.stable == a.target.number for a in arms.routed)
    answers = current and gateway is None and _all_answer(decision, observed)
    if observed.missing_secrets:
        missing = observed.missing_secrets[0]
        return Finding(
            Reason.SECRET_MISSING, f"{missing} does not exist in this namespace: create it"
        ), answers
    if (found := next(_troubles(deployment, decision, observed), None)) is not None:
        return found, answers
    if decision.scaling.wanted.total == 0:
        return _zero(deployment, decision, observed, gateway)
    if gateway is not None and gateway.reason not in HEALS_BY_WAITING:
        # A rollout that waits for it would not say so.
        return gateway, answers
    stages = [named(deployment, arm, arm.move.stage) for arm in arms.moves if arm.move.stage]
    return next(iter(stages), arms.waits or gateway), answers


def _zero(
    deployment: LLMDeployment, decision: Decision, observed: Observed, gateway: Finding | None
) -> tuple[Finding, bool]:
    """Return what is said without replicas, and whether a request is answered nevertheless: autoscaling orders one for it."""
    if deployment.spec.scaling is None:
        return Finding(Reason.SCALED_TO_ZERO, front_door.at_zero(deployment)), False
    if gateway is not None and not front_door.applied(deployment, observed, decision.routes_map):
        return gateway, False
    return at_zero(deployment.spec.scaling), True


def named(deployment: LLMDeployment, arm: ArmMove, finding: Finding) -> Finding:
    """Return a finding with the arm's name before it, where there is more than one."""
    if not deployment.spec.arms:
        return finding
    return Finding(finding.reason, f"arm {arm.name}: {finding.message}")


def _troubles(
    deployment: LLMDeployment, decision: Decision, observed: Observed
) -> Iterator[Finding]:
    """Yield what is wrong with what serves, then what was given up, then what is on its way."""
    for arm in decision.arms.moves:
        stable = _lack(decision, observed, arm.move.stable)
        if stable is not None and stable.reason not in HEALS_BY_WAITING:
            yield named(deployment, arm, stable)
    for arm in decision.arms.moves:
        if arm.move.stage is not None and arm.move.stage.reason is Reason.ROLLED_BACK:
            yield named(deployment, arm, arm.move.stage)
    for arm in decision.arms.moves:
        lack = _lack(decision, observed, arm.target.number)
        if lack is not None:
            stable_revision = decision.revision(arm.move.stable)
            wanted = decision.scaling.wanted
            lack = planned(deployment, arm, stable_revision, observed, wanted, lack)
            yield named(deployment, arm, lack)


def _lack(decision: Decision, observed: Observed, number: int) -> Finding | None:
    revision = decision.revision(number)
    need = decision.needs.get(revision.runtime, 0)
    found = runtime_finding(observed, revision.runtime, need)
    return found or adapters_finding(observed, revision)


def _front_door(
    deployment: LLMDeployment, decision: Decision, observed: Observed, now: datetime
) -> Finding | None:
    """Return what the front door lacks to route to what each arm should serve, or None."""
    name = deployment.metadata.name
    runtimes = dict.fromkeys(arm.target.runtime for arm in decision.arms.routed)
    services = (runtime_names(name, runtime).name for runtime in runtimes)
    routes = decision.routes_map
    found = (front_door.finding(deployment, observed, routes, each, now) for each in services)
    return next((finding for finding in found if finding is not None), None)


def _all_answer(decision: Decision, observed: Observed) -> bool:
    runtimes = {arm.target.runtime for arm in decision.arms.routed}
    return all(ready_replicas(observed, runtime) > 0 for runtime in runtimes)
