"""The status of an LLMDeployment, and what is worth an Event about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan import names
from llmdeployment_operator.plan.conditions import Condition, merged, refused, stamp, transitions
from llmdeployment_operator.plan.memory import row_of
from llmdeployment_operator.plan.observed import Observed
from llmdeployment_operator.plan.plan import Event
from llmdeployment_operator.plan.reasons import Finding
from llmdeployment_operator.plan.revisions import Revision
from llmdeployment_operator.plan.rollout import Move
from llmdeployment_operator.plan.routes import ARM
from llmdeployment_operator.plan.stage import ready_replicas


@dataclass(frozen=True)
class Report:
    """What a pass found out, before it becomes a status."""

    conditions: list[Condition]
    revisions: tuple[Revision, ...]
    stable: Revision
    target: Revision
    move: Move
    needs: Mapping[str, int]

    def percent(self, number: int) -> int:
        """Return the share of the requests that a revision gets."""
        if number == self.move.canary:
            return self.move.weight
        return 100 - self.move.weight if number == self.stable.number else 0


def status_of(
    deployment: LLMDeployment, report: Report, observed: Observed, now: datetime
) -> dict[str, Any]:
    """Return the whole status."""
    spec, meta = deployment.spec, deployment.metadata
    selector = names.selector(meta.name, runtime=report.target.runtime, component="worker")
    return {
        "observedGeneration": meta.generation,
        "conditions": _conditions(report.conditions, observed.status, meta.generation, now),
        "endpoint": f"http://{meta.name}.{meta.namespace}/v1",
        "model": report.stable.template["model"].get("servedName") or meta.name,
        "replicas": spec.replicas,
        "readyReplicas": ready_replicas(observed, report.stable.runtime),
        "selector": ",".join(f"{key}={value}" for key, value in sorted(selector.items())),
        "traffic": _traffic(report),
        "arms": [row_of(report.move.memory, ARM)],
        "revisions": [_revision(deployment, r, report, observed, now) for r in report.revisions],
    }


def refusal(
    generation: int, finding: Finding, previous: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Return the status of a spec that cannot be acted on: what is known of the past stays."""
    kept = {
        key: value
        for key, value in previous.items()
        if key not in {"conditions", "observedGeneration"}
    }
    conditions = _conditions(refused(finding), previous, generation, now)
    return {**kept, "observedGeneration": generation, "conditions": conditions}


def events_of(status: Mapping[str, Any], previous: Mapping[str, Any]) -> tuple[Event, ...]:
    """Return one Event for each reason that is new, Warning when somebody has to act, and one for traffic that moves."""
    changed = transitions(status["conditions"], previous.get("conditions") or [])
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
        found["TrafficChanged"] = Event("Normal", "TrafficChanged", f"{before} -> {traffic}")
    return tuple(found.values())


def _conditions(
    conditions: list[Condition], previous: Mapping[str, Any], generation: int, now: datetime
) -> list[dict[str, Any]]:
    return merged(conditions, previous.get("conditions") or [], generation, now)


def _traffic(report: Report) -> str:
    """Return who gets the requests, for people: `rev1 95% rev2 5%`."""
    shares = [(r.number, report.percent(r.number)) for r in report.revisions]
    return " ".join(f"rev{number} {percent}%" for number, percent in shares if percent)


def _revision(
    deployment: LLMDeployment, revision: Revision, report: Report, observed: Observed, now: datetime
) -> dict[str, Any]:
    live = revision.runtime in report.needs
    ready = ready_replicas(observed, revision.runtime) if live else 0
    percent = report.percent(revision.number)
    rows = observed.status.get("revisions") or []
    before: Mapping[str, Any] = next((r for r in rows if r.get("number") == revision.number), {})
    answers = percent > 0 and ready > 0
    first = before.get("firstReadyAt") or (stamp(now) if answers else None)
    entry = {
        "name": names.revision_name(deployment.metadata.name, revision.number),
        "number": revision.number,
        "hash": revision.hash,
        "runtime": revision.runtime,
        "replicas": report.needs.get(revision.runtime, 0),
        "ready": ready,
        "trafficPercent": percent,
        "createdAt": before.get("createdAt") or revision.created_at or stamp(now),
        "firstReadyAt": first,
    }
    return {key: value for key, value in entry.items() if value is not None}
