"""The documents of the API, made from objects as the API server has them and from points of the operator."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from llmdeployment_cli.arms import Object
from llmdeployment_cli.history import Record, list_entries
from llmdeployment_cli.times import parse_time
from llmdeployment_console import golden
from llmdeployment_console.actions import list_actions
from llmdeployment_console.cache import read_event_time
from llmdeployment_console.runbooks import NO_RUNBOOKS, Runbooks
from llmdeployment_console.sentences import describe_deployment, describe_rollout
from llmdeployment_operator.api.analysis_status import MetricStatus
from llmdeployment_operator.api.rollout import RolloutSpec, Step
from llmdeployment_operator.api.status import ArmStatus, RevisionStatus, Status
from llmdeployment_operator.api.status_document import dump_status, read_status
from llmdeployment_operator.api.types import SpecError, parse
from llmdeployment_operator.plan.base.accelerators import count_accelerators
from llmdeployment_operator.plan.base.conditions import read_state
from llmdeployment_operator.plan.live.point import Point, count_desired, find_differences

NO_MINUTES: list[float | None] = [None] * 60


def build_fleet_item(
    deployment: Object, point: Point | None, spark: Sequence[float | None], now: datetime
) -> dict[str, Any]:
    """Return one line of the fleet.

    Args:
        deployment: as the API server has it.
        point: the operator's last one, if there is one.
        spark: p90 of the time to first token in each of the last 60 minutes, in seconds.
        now: the time.
    """
    status, meta = read_status(deployment.get("status")), deployment["metadata"]
    last = point or {}
    return {
        "namespace": meta["namespace"],
        "name": meta["name"],
        "state": read_state(status.conditions).capitalize(),
        "sentence": describe_deployment(status),
        "arms": [_describe_traffic(arm) for arm in status.arms],
        "replicas": {"ready": status.ready_replicas, "desired": status.replicas},
        "accelerators": _count_accelerators(deployment, status),
        "costPerHour": _read_cost(status),
        "requestsPerSecond": last.get("requestsPerSecond"),
        "ttftP90": last.get("ttftP90"),
        "spark": list(spark),
        "age": _measure_age(meta.get("creationTimestamp"), now),
    }


def build_deployment(
    deployment: Object,
    records: Sequence[Record],
    events: Sequence[Object],
    point: Point | None,
    now: datetime,
    runbooks: Runbooks = NO_RUNBOOKS,
) -> dict[str, Any]:
    """Return all of one LLMDeployment.

    Args:
        deployment: as the API server has it.
        records: its revisions on record, oldest first.
        events: about it, newest first.
        point: the operator's last one, if there is one.
        now: the time.
        runbooks: where those of the conditions' reasons are.
    """
    status, meta = read_status(deployment.get("status")), deployment["metadata"]
    rollout = read_rollout(deployment)
    document = dump_status(status)
    scaling = document.get("scaling") or {}
    return {
        "namespace": meta["namespace"],
        "name": meta["name"],
        "state": read_state(status.conditions).capitalize(),
        "sentence": describe_deployment(status),
        "generation": meta.get("generation"),
        "conditions": [
            _describe_condition(row, runbooks) for row in document.get("conditions") or ()
        ],
        "revisions": _list_revisions(deployment, status, records, point or {}, now),
        "rollout": [
            _describe_arm(arm, rollout, several=len(status.arms) > 1) for arm in status.arms
        ],
        "analysis": [found for arm in status.arms if (found := _describe_analysis(arm, rollout))],
        "evaluation": _read_evaluations(deployment, document, status.arms),
        "experiment": document.get("experiment"),
        "cost": document.get("cost"),
        "scaling": [
            {key: row.get(key) for key in ("at", "runtime", "from", "to", "reason", "message")}
            for row in scaling.get("decisions") or ()
        ],
        "events": [_describe_event(event) for event in events],
        "actions": list_actions(deployment, records),
    }


def read_rollout(deployment: Object) -> RolloutSpec:
    """Return the rollout of a spec; the defaults of one that cannot be read."""
    try:
        return parse(deployment).spec.rollout
    except SpecError:
        return RolloutSpec()


def _describe_traffic(arm: ArmStatus) -> dict[str, Any]:
    return {
        "name": arm.name,
        "weight": arm.weight,
        "stable": arm.stable,
        "canary": arm.canary,
        "canaryWeight": arm.canary_weight or 0,
    }


def _count_accelerators(deployment: Object, status: Status) -> int:
    """Return the accelerators of all replicas, by what spec.resources asks for a replica."""
    each = sum(count_accelerators(deployment["spec"].get("resources") or {}).values())
    return each * count_desired(status)


def _read_cost(status: Status) -> dict[str, Any] | None:
    if status.cost is None:
        return None
    try:
        amount = float(Decimal(status.cost.per_hour))
    except InvalidOperation:
        return None
    return {"amount": amount, "currency": status.cost.currency}


def _measure_age(created: str | None, now: datetime) -> int | None:
    found = parse_time(created)
    return max(0, int((now - found).total_seconds())) if found is not None else None


def _describe_condition(row: Mapping[str, Any], runbooks: Runbooks) -> dict[str, Any]:
    names = ("type", "status", "reason", "message", "lastTransitionTime")
    return {**{name: row.get(name) for name in names}, "runbook": runbooks.find(row.get("reason"))}


def _list_revisions(
    deployment: Object,
    status: Status,
    records: Sequence[Record],
    point: Mapping[str, Any],
    now: datetime,
) -> list[dict[str, Any]]:
    entries = {entry.number: entry for entry in list_entries(deployment, records)}
    live = point.get("revisions") or {}
    rows = []
    for row in sorted(status.revisions, key=lambda row: row.number, reverse=True):
        entry = entries.get(row.number)
        changed = entry.changed if entry is not None else None
        rates = live.get(str(row.number)) or {}
        rows.append(
            {
                "number": row.number,
                "age": _measure_age(row.created_at, now),
                "replicas": row.replicas,
                "ready": row.ready,
                "state": (entry.role if entry is not None else "") or _guess_role(row),
                "change": ", ".join(changed) if changed is not None else None,
                "serves": row.traffic_percent > 0,
                "trafficPercent": row.traffic_percent,
                "chat": row.url is not None,
                **{name: rates.get(name) for name in _RATES},
            }
        )
    return rows


_RATES = ("ttftP50", "ttftP90", "errorRatio", "outputTokensPerSecond")


def _guess_role(row: RevisionStatus) -> str:
    return "stopping" if row.replicas or row.ready else "history"


def _describe_arm(arm: ArmStatus, rollout: RolloutSpec, *, several: bool) -> dict[str, Any]:
    return {
        **_describe_traffic(arm),
        "step": arm.step,
        "steps": [_describe_step(step) for step in rollout.steps],
        "sentence": describe_rollout(arm, several=several),
    }


def _describe_step(step: Step) -> dict[str, Any]:
    pause = step.pause
    return {
        "weight": step.weight,
        "pause": None if pause is None else pause.duration or "until promoted",
        "analysis": step.analysis,
    }


def _describe_analysis(arm: ArmStatus, rollout: RolloutSpec) -> dict[str, Any] | None:
    found = arm.analysis
    if found is None or arm.canary is None:
        return None
    counts = {row.name: row for row in found.metrics}
    metrics = []
    for finding, tolerance in find_differences(rollout, arm):
        row = counts.get(finding.name, MetricStatus(name=finding.name))
        metrics.append(
            {
                "name": finding.name,
                "tolerance": tolerance,
                "difference": finding.effect,
                "low": finding.low,
                "high": finding.high,
                "result": finding.result.value,
                "stable": {"total": row.stable, "bad": row.stable_bad},
                "canary": {"total": row.canary, "bad": row.canary_bad},
            }
        )
    return {
        "arm": arm.name,
        "result": found.result,
        "message": found.message,
        "requestsLeft": found.requests_left,
        "users": {"stable": found.stable_users, "canary": found.canary_users},
        "metrics": metrics,
    }


def _read_evaluations(
    deployment: Object, document: Mapping[str, Any], arms: Sequence[ArmStatus]
) -> dict[str, Any] | None:
    """Return the evaluations of the stable revision and the canary of the arm that has one, else of the first arm."""
    arm = next((arm for arm in arms if arm.canary is not None), arms[0] if arms else None)
    if arm is None:
        return None
    rows = {row["number"]: row.get("evaluation") for row in document.get("revisions") or ()}
    found = {
        role: {"revision": number, **rows[number]} if rows.get(number) else None
        for role, number in (("stable", arm.stable), ("canary", arm.canary))
    }
    if not any(found.values()):
        return None
    policy = golden.read_policy(deployment)
    readable = policy is not None and policy.golden.config_map_ref is not None
    questions = golden.list_changed(found["stable"], found["canary"])
    return {**found, "questions": questions, "readable": readable}


def _describe_event(event: Object) -> dict[str, Any]:
    return {
        "at": read_event_time(event),
        "type": event.get("type"),
        "reason": event.get("reason"),
        "message": event.get("message"),
    }
