"""The status of an LLMDeployment, and what is worth an Event about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.conditions import (
    Condition,
    build_refused,
    find_transitions,
    format_time,
    merge_conditions,
)
from llmdeployment_operator.plan.base.events import Event
from llmdeployment_operator.plan.base.reasons import Finding
from llmdeployment_operator.plan.base.revisions import Revision
from llmdeployment_operator.plan.base.routes import BUCKETS, Route, measure_widths
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.readiness import count_ready
from llmdeployment_operator.plan.rollout.arms import Arms
from llmdeployment_operator.plan.rollout.gate import format_evaluation
from llmdeployment_operator.plan.rollout.state import format_rollout_state
from llmdeployment_operator.plan.scaling import report as scaling_report
from llmdeployment_operator.plan.scaling.report import ScalingReport
from llmdeployment_operator.plan.traffic import front_door


@dataclass(frozen=True)
class StatusReport:
    """What a pass found out, before it becomes a status."""

    conditions: list[Condition]
    revisions: tuple[Revision, ...]
    arms: Arms
    routes: tuple[Route, ...]
    needs: Mapping[str, int]
    replicas: int
    scaling: ScalingReport

    @property
    def stable(self) -> tuple[Revision, ...]:
        """The revisions that serve, by arm."""
        serving = [arm.step.stable for arm in self.arms.routed]
        return tuple(next(r for r in self.revisions if r.number == number) for number in serving)

    def percent(self, number: int) -> int:
        """Return the share of the requests that a revision gets, at least 1 if it gets any."""
        buckets = sum(
            width for route, width in measure_widths(self.routes) if route.revision == number
        )
        return max(1, round(buckets * 100 / BUCKETS)) if buckets else 0


def build_status(
    deployment: LLMDeployment, report: StatusReport, cluster: ClusterState, now: datetime
) -> dict[str, Any]:
    """Return the whole status."""
    meta = deployment.metadata
    runtimes = {revision.runtime for revision in report.stable}
    # The scale subresource has one selector: that of a single runtime, or of all.
    of_one = len(report.arms.steps) == 1
    which = {"runtime": report.arms.steps[0].target.runtime} if of_one else {}
    selector = names.selector(meta.name, component="worker", **which)
    scaling = {"scaling": report.scaling.row} if report.scaling.row is not None else {}
    return {
        "observedGeneration": meta.generation,
        "conditions": _merge_conditions(report.conditions, cluster.status, meta.generation, now),
        "endpoint": front_door.find_endpoint(deployment),
        "model": report.stable[0].template["model"].get("servedName") or meta.name,
        "replicas": report.replicas,
        "readyReplicas": sum(count_ready(cluster, runtime) for runtime in runtimes),
        "selector": ",".join(f"{key}={value}" for key, value in sorted(selector.items())),
        "traffic": _describe_traffic(deployment, report),
        "arms": [
            format_rollout_state(arm.step.state, arm.name, arm.weight) for arm in report.arms.steps
        ],
        "revisions": [
            _format_revision(deployment, r, report, cluster, now) for r in report.revisions
        ],
        **scaling,
    }


def build_refusal(
    generation: int, finding: Finding, previous: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Return the status of a spec that cannot be acted on: what is known of the past stays."""
    kept = {
        key: value
        for key, value in previous.items()
        if key not in {"conditions", "observedGeneration"}
    }
    conditions = _merge_conditions(build_refused(finding), previous, generation, now)
    return {**kept, "observedGeneration": generation, "conditions": conditions}


def list_events(status: Mapping[str, Any], previous: Mapping[str, Any]) -> tuple[Event, ...]:
    """Return one Event for each reason that is new, Warning when somebody has to act, and one for traffic that moves."""
    changed = find_transitions(status["conditions"], previous.get("conditions") or [])
    found: dict[str, Event] = {}
    for condition in changed:
        if not condition["message"]:
            continue
        bad = (condition["type"], condition["status"]) in {
            ("Degraded", "True"),
            ("Accepted", "False"),
        }
        if bad or condition["reason"] not in found:
            kind = "Warning" if bad else "Normal"
            found[condition["reason"]] = Event(kind, condition["reason"], condition["message"])
    before, traffic = previous.get("traffic"), status.get("traffic")
    if before and traffic != before:
        found["TrafficChanged"] = Event(
            "Normal", "TrafficChanged", f"The traffic changed from {before} to {traffic}."
        )
    return (*found.values(), *scaling_report.list_scaling_events(status.get("scaling"), previous))


def _merge_conditions(
    conditions: list[Condition], previous: Mapping[str, Any], generation: int, now: datetime
) -> list[dict[str, Any]]:
    return merge_conditions(conditions, previous.get("conditions") or [], generation, now)


def _describe_traffic(deployment: LLMDeployment, report: StatusReport) -> str:
    """Return who gets the requests, for people: `rev1 95% rev2 5%`, with arms `control rev1 90% terse rev2 10%`."""
    shares: dict[str, list[tuple[int, float]]] = {}
    for route, width in measure_widths(report.routes):
        shares.setdefault(route.arm, []).append((route.revision, width * 100 / BUCKETS))
    arms = (
        (arm, " ".join(f"rev{number} {percent:g}%" for number, percent in sorted(rows) if percent))
        for arm, rows in shares.items()
    )
    return " ".join(f"{arm} {text}" if deployment.spec.arms else text for arm, text in arms)


def _build_url(deployment: LLMDeployment, revision: Revision) -> str:
    meta = deployment.metadata
    service = names.runtime_names(meta.name, revision.runtime).name
    return f"http://{service}.{meta.namespace}:{names.REPLICA_PORT}/v1"


def _format_revision(
    deployment: LLMDeployment,
    revision: Revision,
    report: StatusReport,
    cluster: ClusterState,
    now: datetime,
) -> dict[str, Any]:
    live = revision.runtime in report.needs
    ready = count_ready(cluster, revision.runtime) if live else 0
    percent = report.percent(revision.number)
    rows = cluster.status.get("revisions") or []
    before: Mapping[str, Any] = next((r for r in rows if r.get("number") == revision.number), {})
    answers = percent > 0 and ready > 0
    first = before.get("firstReadyAt") or (format_time(now) if answers else None)
    number, was = revision.number, {a.get("stable") for a in cluster.status.get("arms") or []}
    promoted = number in report.arms.stable() and number not in was
    entry = {
        "name": names.revision_name(deployment.metadata.name, revision.number),
        "number": revision.number,
        "hash": revision.hash,
        "runtime": revision.runtime,
        "replicas": report.needs.get(revision.runtime, 0),
        "ready": ready,
        "trafficPercent": percent,
        "url": _build_url(deployment, revision) if live else None,
        "createdAt": before.get("createdAt") or revision.created_at or format_time(now),
        "firstReadyAt": first,
        "promotedAt": format_time(now) if promoted else before.get("promotedAt"),
        "evaluation": format_evaluation(deployment, cluster, revision.number),
    }
    return {key: value for key, value in entry.items() if value is not None}
