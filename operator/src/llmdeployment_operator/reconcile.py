"""One pass over one LLMDeployment: observe, plan, execute, report."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from kubernetes.aio.client import ApiClient

from llmdeployment_operator import status_metrics
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.status_document import dump_status, read_status
from llmdeployment_operator.api.types import API_VERSION, KIND, LLMDeployment, SpecError, parse
from llmdeployment_operator.costs.figures import read_cost_figures
from llmdeployment_operator.kube import objects
from llmdeployment_operator.kube.errors import (
    ApiError,
    ApiRefused,
    MalformedObject,
    OperatorError,
)
from llmdeployment_operator.kube.events import build_event
from llmdeployment_operator.kube.observe import Clients, look_up, observe
from llmdeployment_operator.kube.resources import HTTP_ROUTE, SECRET
from llmdeployment_operator.logs import name_object
from llmdeployment_operator.metrics import Metrics
from llmdeployment_operator.notifier import Notifier
from llmdeployment_operator.plan.base.conditions import read_state
from llmdeployment_operator.plan.base.events import Event
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.build import build_plan, plan_failure, refuse
from llmdeployment_operator.plan.drift import report as drift
from llmdeployment_operator.plan.experiment.figures import (
    ExperimentFigures,
    read_experiment_figures,
)
from llmdeployment_operator.plan.experiment.report import is_counted
from llmdeployment_operator.plan.live.ring import LiveHistory
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.plan import Plan, ServePut
from llmdeployment_operator.plan.scaling.report import find_new_decisions
from llmdeployment_operator.tracing import PassSpans

log = logging.getLogger(__name__)

LOOKUP_ROUNDS = 5
LOOKUP_SECONDS = 5.0
"""When a pass is made again whose plan still asked for names after `LOOKUP_ROUNDS`."""

_INVALID = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
_READ_BY_NAME = frozenset({SECRET.kind, HTTP_ROUTE.kind})
_GATEWAY_API = (
    "Install the CRDs of the Gateway API (standard channel, httproutes.gateway.networking.k8s.io v1) and a controller, "
    "or set spec.gateway.mode: Builtin."
)


@dataclass(frozen=True)
class DeploymentKey:
    """One LLMDeployment."""

    namespace: str
    name: str


Labels = tuple[str, str]
"""An arm and a revision, for cost a revision and a currency, for drift a revision and a metric."""


@dataclass(frozen=True)
class PassResult:
    """How a pass ended.

    Attributes:
        requeue_after: seconds until the next pass is due, or None: when something changes.
        state: one of `metrics.STATES`, or None when the LLMDeployment is gone.
        traffic: share of the requests, by arm and revision.
        verdicts: 1 or 0, by arm, canary and verdict.
        conditions: 1 or 0, by type and status.
        reasons: 1, by type, status and reason.
        desired: replicas that autoscaling wants, by runtime.
        scores: shares of the golden set that were answered as expected, by revision.
        drift: differences to the first window, by revision and metric.
        cost_per_hour: by revision and currency.
        cost: since the operator started, likewise.
        experiment: the numbers of an experiment.
    """

    requeue_after: float | None
    state: str | None
    traffic: Mapping[Labels, float] = field(default_factory=dict)
    verdicts: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    conditions: Mapping[Labels, float] = field(default_factory=dict)
    reasons: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    desired: Mapping[tuple[str], float] = field(default_factory=dict)
    scores: Mapping[tuple[str], float] = field(default_factory=dict)
    cost_per_hour: Mapping[Labels, float] = field(default_factory=dict)
    cost: Mapping[Labels, float] = field(default_factory=dict)
    experiment: ExperimentFigures = field(default_factory=ExperimentFigures)
    drift: Mapping[Labels, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Operator:
    """What every pass needs; without a notifier, nobody outside of the cluster is told."""

    clients: Clients
    settings: Settings
    metrics: Metrics
    live: LiveHistory = field(default_factory=LiveHistory)
    notifier: Notifier | None = None
    spans: PassSpans = field(default_factory=PassSpans)


async def reconcile(operator: Operator, key: DeploymentKey) -> PassResult | None:
    """Bring one LLMDeployment a step nearer to its spec.

    Returns:
        How the pass ended, or None: it waits for answers, and the poller calls for the next one.

    Raises:
        OperatorError: something could not be read or written now; the caller tries again later.
    """
    raw = operator.clients.store.get(KIND, key.namespace, key.name)
    with name_object(key.namespace, key.name), operator.spans.watch(raw):
        return await _reconcile(operator, key, raw)


async def _reconcile(
    operator: Operator, key: DeploymentKey, raw: Mapping[str, Any] | None
) -> PassResult | None:
    clients, owner, started = operator.clients, (key.namespace, key.name), _now()
    if raw is None or "deletionTimestamp" in raw["metadata"]:
        clients.forget(owner)
        operator.live.forget(owner)
        if operator.notifier is not None:
            operator.notifier.forget(owner)
        return PassResult(None, None)
    try:
        deployment = parse(raw)
    except SpecError as error:
        finding, before = Finding(Reason.INVALID_SPEC, str(error)), read_status(raw.get("status"))
        plan = refuse(raw["metadata"]["generation"], finding, before, _now())
        return await _report(operator, raw, before, plan)
    cluster = await observe(clients, deployment)
    if cluster is None:
        return None
    plan, cluster = await _make_plan(operator, deployment, cluster)
    # Before anything is written: a decision that was carried out in part is the same at the next pass.
    clients.scaling_cache.keep(owner, deployment.metadata.uid, plan.scaling)
    if plan.cost is not None or deployment.spec.cost is None:
        # A plan that only refuses charges nothing: the next one charges for that time too.
        clients.cost_cache.keep(owner, deployment.metadata.uid, plan.cost)
    try:
        await _execute(operator, deployment, plan, cluster)
    except ApiRefused as error:
        return await _report(operator, raw, deployment.status, _plan_refusal(deployment, error))
    result = await _report(operator, raw, deployment.status, plan)
    operator.spans.record(deployment, cluster, plan, started, _now())
    # Not after a failure, whose status has no counts: the next pass that ends well reports them.
    clients.counts_cache.mark_reported(owner)
    clients.shadow_cache.mark_reported(owner)
    if plan.status is not None and is_counted(deployment.status.experiment, plan.status.experiment):
        clients.experiment_cache.mark_reported(owner)
    if plan.status is not None and drift.is_counted(deployment.status, plan.status):
        clients.drift_cache.mark_reported(owner)
    status, rollout = plan.status or deployment.status, deployment.spec.rollout
    operator.live.record(
        owner, deployment.metadata.uid, cluster.live, _now().timestamp(), rollout, status
    )
    return result


async def report_failure(
    operator: Operator, key: DeploymentKey, error: Exception
) -> PassResult | None:
    """Say in the conditions that passes fail, and why. The next pass that ends well says what is true then.

    Returns:
        What was reported, or None: there is nothing to report on, or it could not be written.
    """
    raw = operator.clients.store.get(KIND, key.namespace, key.name)
    if raw is None or "deletionTimestamp" in raw["metadata"]:
        return None
    before = read_status(raw.get("status"))
    plan = plan_failure(raw["metadata"]["generation"], _describe_failure(error), before, _now())
    try:
        return await _report(operator, raw, before, plan)
    except OperatorError as other:
        log.warning("%s/%s: its status cannot be written: %s", key.namespace, key.name, other)
    return None


def _describe_failure(error: Exception) -> Finding:
    again = "The operator could not finish its work on this object. It tries again by itself."
    if isinstance(error, OperatorError):
        return Finding(Reason.API_ERROR, f"{again} {error}")
    if isinstance(error, TimeoutError):
        return Finding(Reason.API_ERROR, f"{again} The API server does not answer in time.")
    kind = type(error).__name__
    return Finding(Reason.OPERATOR_ERROR, f"{again} The operator's log has the details ({kind}).")


async def _make_plan(
    operator: Operator, deployment: LLMDeployment, cluster: ClusterState
) -> tuple[Plan, ClusterState]:
    """Return the plan and what it was made from, once every name that it needs was looked up.

    An answer may ask for other names: whether the cluster has a default StorageClass changes what is rendered.
    Each round looks up names that no round before has, so a few are enough.
    """
    for _ in range(LOOKUP_ROUNDS):
        plan = build_plan(deployment, cluster, operator.settings, _now())
        if not plan.lookups:
            return plan, cluster
        cluster = await look_up(operator.clients, deployment, cluster, plan.lookups)
    meta = deployment.metadata
    log.warning(
        "%s/%s: %d rounds of lookups were not enough. The next pass continues.",
        meta.namespace,
        meta.name,
        LOOKUP_ROUNDS,
    )
    return Plan(requeue_after=LOOKUP_SECONDS), cluster


async def _execute(
    operator: Operator, deployment: LLMDeployment, plan: Plan, cluster: ClusterState
) -> None:
    """Write what the plan says, and take each answer into the store: the next pass sees what this one wrote."""
    clients, namespace = operator.clients, deployment.metadata.namespace
    key = f"{namespace}/{deployment.metadata.name}"
    for line in plan.details if not plan.quiet else ():
        log.info("%s: %s", key, line)
    for obj in plan.apply:
        _take(clients, await _apply(clients.client, obj))
        _count_write(operator, "apply", obj["kind"])
    for put in plan.serve:
        _declare(operator, deployment, cluster, put)
    for gone in plan.remove:
        left = await objects.delete(clients.client, gone.kind, namespace, gone.name, gone.uid)
        if left is not None:
            _take(clients, left)
        else:
            clients.store.take_deletion(gone.kind, namespace, gone.name, gone.uid)
            clients.names.drop(gone.kind, namespace, gone.name)
        _count_write(operator, "delete", gone.kind)


def _take(clients: Clients, obj: Object) -> None:
    if obj["kind"] in _READ_BY_NAME:
        clients.names.put(obj)
    else:
        clients.store.put(obj)


async def _apply(client: ApiClient, obj: Object) -> Object:
    where = f"{obj['kind']} {obj['metadata']['name']}"
    try:
        return await objects.apply(client, obj)
    except MalformedObject as error:
        why = f"{where} would have a field or a value that its kind does not have. Correct spec.podTemplate. The API server says: {error}"
        raise ApiRefused(error.status, why) from error
    except ApiRefused as error:
        raise ApiRefused(
            error.status, f"The API server refuses {where}. It says: {error}"
        ) from error
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND or obj["kind"] != HTTP_ROUTE.kind:
            raise
        why = f"{where} cannot be written, because the cluster does not know this kind. {_GATEWAY_API}"
        raise ApiRefused(error.status, why) from error


def _declare(
    operator: Operator, deployment: LLMDeployment, cluster: ClusterState, put: ServePut
) -> None:
    """Have Ray Serve told what to run.

    Raises:
        ApiRefused: it refused this very configuration before.
    """
    meta = deployment.metadata
    head = next(p for p in cluster.pods if p["metadata"]["name"] == put.pod)
    refused = operator.clients.poller.declare(
        (meta.namespace, meta.name),
        put.runtime,
        head["status"]["podIP"],
        cluster.tokens[put.runtime],
        put.body,
    )
    if refused:
        why = f"Ray Serve refuses the configuration. It says: {refused}"
        raise ApiRefused(HTTPStatus.BAD_REQUEST, why)
    _count_write(operator, "declare", "ServeApplication")


async def _report(
    operator: Operator, raw: Mapping[str, Any], before: Status, plan: Plan
) -> PassResult:
    notifier, status = operator.notifier, plan.status or before
    if notifier is not None:
        notifier.begin(raw["metadata"], before)
    if plan.status is not None:
        await _write_status(operator, raw, plan.status)
    if notifier is not None:
        notifier.tell(raw["metadata"], status, plan.events)
    owner, metrics = (raw["metadata"]["namespace"], raw["metadata"]["name"]), operator.metrics
    metrics.begin(*owner, scales=status.scaling is not None)
    for event in plan.events:
        await _post_event(operator, raw, event)
        if event.reason == Reason.SELF_TEST_FAILED:
            metrics.self_tests_failed.labels(*owner).inc()
    for record in find_new_decisions(status, before):
        metrics.scaling_decisions.labels(*owner, record.reason).inc()
    return PassResult(
        plan.requeue_after,
        read_state(status.conditions),
        status_metrics.read_traffic(status),
        status_metrics.read_verdicts(status),
        status_metrics.read_conditions(status),
        status_metrics.read_reasons(status),
        status_metrics.read_desired(status),
        status_metrics.read_scores(status),
        *read_cost_figures(plan.cost),
        read_experiment_figures(status.experiment),
        drift.read_figures(status),
    )


async def _write_status(operator: Operator, raw: Mapping[str, Any], status: Status) -> None:
    meta = raw["metadata"]
    body = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {key: meta[key] for key in ("name", "namespace", "uid")},
        "status": dump_status(status),
    }
    try:
        operator.clients.store.put(await objects.apply_status(operator.clients.client, body))
    except ApiError as error:
        # Made anew meanwhile is a conflict of uids, and ends this pass: the next looks at the new one.
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        # Gone, and no event has told of it yet.
        operator.clients.store.take_deletion(KIND, meta["namespace"], meta["name"], meta["uid"])
        return
    _count_write(operator, "status", KIND)


async def _post_event(operator: Operator, raw: Mapping[str, Any], event: Event) -> None:
    meta = raw["metadata"]
    body = build_event(meta, event, _now())
    try:
        await objects.create_event(operator.clients.client, body)
    except OperatorError as error:
        # An Event is a courtesy: its loss must not make the pass run again.
        log.warning("%s/%s: an Event was not accepted: %s", meta["namespace"], meta["name"], error)
        return
    _count_write(operator, "create", "Event")


def _plan_refusal(deployment: LLMDeployment, error: ApiRefused) -> Plan:
    reason = Reason.INVALID_SPEC if error.status in _INVALID else Reason.API_ERROR
    if error.status == HTTPStatus.NOT_FOUND:
        reason = Reason.CRD_MISSING
    plan = refuse(
        deployment.metadata.generation, Finding(reason, str(error)), deployment.status, _now()
    )
    return Plan(status=plan.status, events=plan.events, requeue_after=60.0)


def _count_write(operator: Operator, verb: str, kind: str) -> None:
    operator.metrics.writes.labels(verb=verb, kind=kind).inc()


def _now() -> datetime:
    return datetime.now(UTC)
