"""Spans of what is beside a rollout's steps: evaluations, shadows and analyses, from rows of the status."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.world import admitted, sample

from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.status_document import read_status
from llmdeployment_operator.api.types import parse
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.span import Span
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.tracing.identity import make_trace_id, to_nanoseconds
from llmdeployment_operator.plan.tracing.rollout_spans import list_rollout_spans

NOW = datetime(2026, 1, 2, 4, 0, 0, tzinfo=UTC)
DEPLOYMENT = parse(admitted(sample("canary")))
TRACE = make_trace_id("uid-of-the-owner", 2)
CANARY = {"canary": 2, "step": 1, "attempt": 1, "progressAt": "2026-01-02T03:30:00Z"}
RESULT = {"golden": "g", "attempt": 1, "at": "2026-01-02T03:50:00Z", "score": 95}


def status(arm: Object, **revision: Any) -> Status:
    row = {"name": "chat-2", "number": 2, "hash": "h", "runtime": "r"}
    row["createdAt"] = "2026-01-02T03:00:00Z"  # type: ignore[assignment]  # because a row is JSON
    return read_status(
        {"arms": [{"name": "main", "stable": 1, **arm}], "revisions": [{**row, **revision}]}
    )


def spans(before: Status, after: Status, *jobs: Object) -> dict[str, Span]:
    children = {("Job", f"job-{number}"): job for number, job in enumerate(jobs)}
    cluster = replace(ClusterState(), status=before, children=children)
    return {span.name: span for span in list_rollout_spans(DEPLOYMENT, cluster, after, NOW)}


def at(text: str) -> int:
    return to_nanoseconds(datetime.fromisoformat(text))


def job(revision: int, created: str) -> Object:
    labels = {"llmdeployment.dev/revision": str(revision)}
    return {"metadata": {"labels": labels, "creationTimestamp": created}}


def test_an_evaluation_is_a_part_of_the_preparation_that_waits_for_it() -> None:
    jobs = (
        job(2, "2026-01-02T03:40:00Z"),
        job(2, "2026-01-02T03:20:00Z"),
        job(1, "2026-01-02T03:45:00Z"),
    )
    found = spans(status(CANARY), status(CANARY, evaluation=RESULT), *jobs)
    later = spans(status(CANARY), status({**CANARY, "stepStartedAt": "2026-01-02T03:55:00Z"}))

    span = found["evaluation"]
    assert list(found) == ["evaluation"]
    assert (span.trace_id, span.error) == (TRACE, "")
    assert (span.start, span.end) == (at("2026-01-02T03:40:00Z"), at("2026-01-02T03:50:00Z"))
    assert span.attributes["gen_ai.evaluation.score.value"] == 0.95
    assert span.parent_id == later["prepare 1"].span_id


def test_an_evaluation_without_a_result_failed() -> None:
    result = {"golden": "g", "at": "2026-01-02T03:50:00Z", "message": "The Job has no pods."}
    span = spans(status(CANARY), status(CANARY, evaluation=result))["evaluation"]

    assert span.error == "there is no result"
    assert span.attributes["gen_ai.evaluation.explanation"] == "The Job has no pods."
    assert span.start == span.end


def test_the_same_evaluation_is_said_once() -> None:
    known = status(CANARY, evaluation=RESULT)

    assert spans(known, known) == {}
    again = {**RESULT, "at": "2026-01-02T03:58:00Z", "attempt": 2}
    (found,) = spans(known, status(CANARY, evaluation=again)).values()
    assert found.attributes["llmdeployment.attempt"] == 2


def test_a_recheck_is_in_the_trace_of_its_revision() -> None:
    row = {"dueAt": "2026-01-02T03:45:00Z", "result": RESULT}
    serving = {"stable": 2}
    span = spans(status(serving), status(serving, recheck=row))["recheck"]

    assert (span.trace_id, span.start) == (TRACE, at("2026-01-02T03:45:00Z"))
    assert span.parent_id


def shadow(result: str) -> Object:
    return {"shadow": {"startedAt": "2026-01-02T03:40:00Z", "result": result, "compared": 7}}


def test_a_shadow_that_has_ended_is_a_span() -> None:
    running = status({**CANARY, **shadow("Running")})
    assert spans(running, running) == {}

    span = spans(running, status({**CANARY, **shadow("Passed")}))["shadow"]
    assert (span.start, span.end) == (at("2026-01-02T03:40:00Z"), to_nanoseconds(NOW))
    assert span.attributes["llmdeployment.result"] == "Passed"
    assert span.attributes["llmdeployment.compared"] == 7


def test_a_shadow_ends_with_its_rollout() -> None:
    rejected = {"revision": 2, "at": "2026-01-02T03:59:00Z", "message": "The answers differ."}
    found = spans(
        status({**CANARY, **shadow("Running")}), status({"canary": 2, "rejected": rejected})
    )

    assert list(found) == ["prepare 1", "shadow", "rollout"]
    assert found["rollout"].error == "The answers differ."


def test_an_analysis_is_a_part_of_its_step() -> None:
    analysis = {"result": "Pass", "message": "No worse.", "seconds": 60}
    on_step = {**CANARY, "stepStartedAt": "2026-01-02T03:50:00Z", "canaryWeight": 10}
    found = spans(
        status({**on_step, "analysis": analysis}), status({**CANARY, "step": 2, "canaryWeight": 50})
    )

    assert list(found) == ["analysis", "step 1"]
    assert found["analysis"].parent_id == found["step 1"].span_id
    assert found["analysis"].start == to_nanoseconds(NOW - timedelta(seconds=60))
    assert found["analysis"].attributes["llmdeployment.result"] == "Pass"
    assert found["step 1"].attributes["llmdeployment.weight"] == 10


def test_an_arm_that_is_removed_ends_its_rollout() -> None:
    (*_, rollout) = spans(status(CANARY), read_status({})).values()

    assert rollout.attributes["llmdeployment.outcome"] == "replaced"
