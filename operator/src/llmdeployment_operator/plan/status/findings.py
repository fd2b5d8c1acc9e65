"""What keeps an LLMDeployment from being what its spec says: of all its arms, the thing that people should know first."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.conditions import Condition
from llmdeployment_operator.plan.base.names import runtime_names
from llmdeployment_operator.plan.base.objects import Kind
from llmdeployment_operator.plan.base.reasons import HEALS_BY_WAITING, Finding, Reason
from llmdeployment_operator.plan.base.routes import read_routes
from llmdeployment_operator.plan.desired.desired import DesiredState
from llmdeployment_operator.plan.observed.adapters import check_adapters
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.readiness import check_runtime, count_ready
from llmdeployment_operator.plan.rollout.accelerator_forecast import forecast_accelerators
from llmdeployment_operator.plan.rollout.arms import ArmStep
from llmdeployment_operator.plan.scaling.report import explain_zero
from llmdeployment_operator.plan.traffic import front_door


def find_problem(
    deployment: LLMDeployment, decision: DesiredState, cluster: ClusterState, now: datetime
) -> tuple[Finding | None, bool]:
    """Return what is not as the spec says, if anything, and whether the current generation answers nevertheless."""
    arms = decision.arms
    gateway = _check_front_door(deployment, decision, cluster, now)
    current = arms.waits is None and all(a.step.stable == a.target.number for a in arms.routed)
    answers = current and gateway is None and _do_all_answer(decision, cluster)
    if cluster.missing_secrets:
        missing = cluster.missing_secrets[0]
        return Finding(
            Reason.SECRET_MISSING, f"{missing} does not exist in this namespace. Create it."
        ), answers
    if (found := next(_list_troubles(deployment, decision, cluster), None)) is not None:
        return found, answers
    if decision.scaling.wanted.total == 0:
        return _check_zero(deployment, decision, cluster, gateway, current=current)
    if gateway is not None and gateway.reason not in HEALS_BY_WAITING:
        # A rollout that waits for it would not say so.
        return gateway, answers
    stages = [name_arm(deployment, arm, arm.step.stage) for arm in arms.steps if arm.step.stage]
    return next(iter(stages), arms.waits or gateway), answers


def check_availability(
    deployment: LLMDeployment, cluster: ClusterState, finding: Finding | None
) -> Condition:
    """Return the condition Available: whether requests of every arm are answered now, by whichever revision has them.

    Args:
        deployment: the spec.
        cluster: the cluster; the routes in it say who has the requests.
        finding: what is not as the spec says, if anything; it is why nobody answers.
    """
    name = deployment.metadata.name
    routes = read_routes(cluster.children.get((Kind.CONFIG_MAP, names.routes_name(name))))
    services = {route.arm: route.service for route in routes}
    runtimes = {service: service.removeprefix(f"{name}-") for service in services.values()}
    ready = {service: count_ready(cluster, runtime) for service, runtime in runtimes.items()}
    replicas = bool(services) and all(ready.values())
    # why: without a ready replica the answer is known: nobody answers, whatever the gateway would say.
    if replicas and front_door.is_silent(deployment, cluster):
        text = "The gateway does not answer the operator, which therefore does not know whether requests are answered. It asks again."
        if deployment.spec.gateway.http_route is not None:
            text = (
                f"No controller has answered for HTTPRoute {name}, so the operator does not know whether requests are answered. "
                "Check that the Gateway exists and that a controller of its class runs."
            )
        return Condition("Available", None, Reason.GATEWAY_SILENT, text)
    if deployment.spec.gateway.http_route is None:
        reached = all(
            any(gateway.up.get(service, 0) for gateway in cluster.gateways)
            for service in services.values()
        )
    else:
        reached = front_door.is_accepted(deployment, cluster)
    if replicas and reached:
        text = f"Requests are answered by {sum(ready.values())} ready replicas."
        return Condition("Available", True, Reason.SERVING, text)
    if finding is None:
        text = "The gateway reaches no replica yet."
        return Condition("Available", False, Reason.STARTING_GATEWAY, text)
    text = "Requests are not answered now. The condition Ready says why."
    return Condition("Available", False, finding.reason, text)


def _check_zero(
    deployment: LLMDeployment,
    decision: DesiredState,
    cluster: ClusterState,
    gateway: Finding | None,
    *,
    current: bool,
) -> tuple[Finding, bool]:
    """Return what is said without replicas, and whether that is all that the spec asks for."""
    if deployment.spec.scaling is None:
        return Finding(Reason.SCALED_TO_ZERO, front_door.explain_zero(deployment)), current
    if gateway is not None and not front_door.is_applied(deployment, cluster, decision.routes_map):
        return gateway, False
    return explain_zero(deployment.spec.scaling), True


def name_arm(deployment: LLMDeployment, arm: ArmStep, finding: Finding) -> Finding:
    """Return a finding with the arm's name before it, where there is more than one."""
    if not deployment.spec.arms:
        return finding
    return replace(finding, message=f"Arm {arm.name}: {finding.message}")


def _list_troubles(
    deployment: LLMDeployment, decision: DesiredState, cluster: ClusterState
) -> Iterator[Finding]:
    """Yield what is wrong with what serves, then what was rolled back, then what is on its way."""
    for arm in decision.arms.steps:
        stable = _check_revision(decision, cluster, arm.step.stable)
        if stable is not None and stable.reason not in HEALS_BY_WAITING:
            yield name_arm(deployment, arm, stable)
    for arm in decision.arms.steps:
        if arm.step.stage is not None and arm.step.stage.reason is Reason.ROLLED_BACK:
            yield name_arm(deployment, arm, arm.step.stage)
    for arm in decision.arms.steps:
        lack = _check_revision(decision, cluster, arm.target.number)
        if lack is not None:
            stable_revision = decision.revision(arm.step.stable)
            wanted = decision.scaling.wanted
            lack = forecast_accelerators(deployment, arm, stable_revision, cluster, wanted, lack)
            yield name_arm(deployment, arm, lack)


def _check_revision(decision: DesiredState, cluster: ClusterState, number: int) -> Finding | None:
    revision = decision.revision(number)
    need = decision.needs.get(revision.runtime, 0)
    found = check_runtime(cluster, revision.runtime, need)
    return found or check_adapters(cluster, revision)


def _check_front_door(
    deployment: LLMDeployment, decision: DesiredState, cluster: ClusterState, now: datetime
) -> Finding | None:
    """Return what the front door lacks to route to what each arm should serve, or None."""
    name = deployment.metadata.name
    runtimes = dict.fromkeys(arm.target.runtime for arm in decision.arms.routed)
    services = (runtime_names(name, runtime).name for runtime in runtimes)
    routes = decision.routes_map
    found = (
        front_door.check_front_door(deployment, cluster, routes, each, now) for each in services
    )
    return next((finding for finding in found if finding is not None), None)


def _do_all_answer(decision: DesiredState, cluster: ClusterState) -> bool:
    runtimes = {arm.target.runtime for arm in decision.arms.routed}
    return all(count_ready(cluster, runtime) > 0 for runtime in runtimes)
