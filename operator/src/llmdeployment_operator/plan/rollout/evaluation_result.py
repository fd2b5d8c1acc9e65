"""How an evaluation on the golden set ended: what its Job says, or what is on record.

One Job per attempt asks the golden set; `evaluation_job.py` makes it. Its result goes into the revision's row of `status.revisions` and
is read back from there, so a score that is known is not asked for again. Only the Job's conditions and its pod's last message are
believed, and of the message only the counts, the bits and the names of questions.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.api.evaluation_status import EvaluationStatus, WrongQuestionStatus
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.drift import digest
from llmdeployment_operator.plan.base.durations import format_duration
from llmdeployment_operator.plan.base.objects import Kind, Object
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.readiness import select_pods
from llmdeployment_operator.plan.rollout.answers import Answers, read_answers

CONTAINER = "evaluate"
REVISION = "llmdeployment.dev/revision"
ATTEMPT = "llmdeployment.dev/attempt"
GOLDEN = "llmdeployment.dev/golden"


@dataclass(frozen=True)
class EvaluationResult:
    """How an evaluation ended; without a score it came to no result.

    Attributes:
        golden: hash of the golden set and how it is asked.
        attempt: of the rollout.
        at: when it ended, as the API writes times.
        passed: questions answered as expected.
        total: questions, or 0 when there is no result.
        message: the first failures, or why there is no result.
        answers: which questions passed; None when an older image asked them.
    """

    golden: str
    attempt: int
    at: str
    passed: int = 0
    total: int = 0
    message: str = ""
    answers: Answers | None = None

    @property
    def score(self) -> int | None:
        """Percent, rounded down, or None when there is no result."""
        return self.passed * 100 // self.total if self.total else None


def hash_golden_set(policy: EvaluationSpec) -> str:
    """Return the hash of what a score depends on: golden set, length of answers, judge. Bars and speed are not part of it."""
    asked = policy.model_dump(
        mode="json", include={"golden", "max_tokens", "judge"}, exclude_none=True
    )
    return digest(asked)


def select_jobs(cluster: ClusterState, number: int, golden: str) -> dict[int, Object]:
    """Return a revision's Jobs on a golden set, by attempt."""
    wanted = {names.COMPONENT: names.EVALUATION, REVISION: str(number), GOLDEN: golden}
    jobs = [
        (obj["metadata"]["labels"].get(ATTEMPT, ""), obj)
        for (kind, _), obj in cluster.children.items()
        if kind == Kind.JOB and wanted.items() <= obj["metadata"]["labels"].items()
    ]
    return {int(attempt): obj for attempt, obj in jobs if attempt.isdecimal()}


def is_finished(job: Object) -> bool:
    """Say whether a Job has ended, well or not."""
    return (
        _find_condition(job, "Complete") is not None or _find_condition(job, "Failed") is not None
    )


def read_results(cluster: ClusterState, number: int, golden: str) -> dict[int, EvaluationResult]:
    """Return the outcomes of a revision: those its Jobs say, and that on record, which stands when they are gone."""
    found = {}
    for attempt, job in select_jobs(cluster, number, golden).items():
        if (outcome := read_result(cluster, job, golden, attempt)) is not None:
            found[attempt] = outcome
    if (recorded := read_recorded(cluster, number, golden)) is not None:
        found[recorded.attempt] = recorded
    return found


def read_result(
    cluster: ClusterState, job: Object, golden: str, attempt: int
) -> EvaluationResult | None:
    """Return how a Job ended, or None while it has not, or while its pod is not yet seen as ended."""
    failed, complete = _find_condition(job, "Failed"), _find_condition(job, "Complete")
    ended = failed or complete
    if ended is None:
        return None
    at = str(ended.get("lastTransitionTime", ""))
    if failed is not None and failed.get("reason") == "DeadlineExceeded":
        limit = format_duration(float(job["spec"].get("activeDeadlineSeconds", 0)))
        why = f"It did not end within {limit} (spec.rollout.evaluation.timeoutSeconds)."
        return EvaluationResult(golden, attempt, at, message=why)
    pods = [pod for pod in select_pods(cluster, names.EVALUATION) if _is_owned(pod, job)]
    messages = [said for pod in pods if (said := read_last_message(pod)) is not None]
    if pods and not messages:
        return None
    last = messages[-1] if messages else "Its pod was gone before the operator read the result."
    if failed is not None or not messages:
        return EvaluationResult(golden, attempt, at, message=last)
    counts = _parse_counts(last)
    if counts is None:
        return EvaluationResult(
            golden, attempt, at, message=f"Its result cannot be read. It begins with: {last[:200]}"
        )
    passed, total, failures, answers = counts
    return EvaluationResult(golden, attempt, at, passed, total, failures, answers)


def _parse_counts(text: str) -> tuple[int, int, str, Answers | None] | None:
    """Return passed, total, the first failures and the answers of a result, or None when it is none.

    >>> _parse_counts('{"passed": 1, "total": 2, "failures": [{"id": "q1", "why": "is wrong"}]}')
    (1, 2, 'q1: is wrong', None)
    """
    try:
        found = json.loads(text)
        passed, total = found["passed"], found["total"]
        failures = [f"{failure['id']}: {failure['why']}" for failure in found["failures"]]
    except (ValueError, LookupError, TypeError):
        return None
    whole = all(isinstance(number, int) for number in (passed, total))
    if not whole or not 0 <= passed <= total or not 0 < total < 2**31:
        return None
    return passed, total, "; ".join(failures), read_answers(found, passed, total)


def read_recorded(cluster: ClusterState, number: int, golden: str) -> EvaluationResult | None:
    """Return the outcome of a revision on a golden set that is on record, or None."""
    row = find_recorded(cluster, number)
    if row is None or row.golden != golden:
        return None
    return read_row(row)


def read_row(row: EvaluationStatus) -> EvaluationResult:
    """Return the outcome that a row of the status records."""
    passed, total = row.passed or 0, row.total or 0
    wrong = [[each.number, each.id] for each in row.wrong]
    found = {"contents": row.contents, "answers": row.answers, "wrong": wrong}
    answers = read_answers(found, passed, total)
    return EvaluationResult(row.golden, row.attempt, row.at, passed, total, row.message, answers)


def build_row(result: EvaluationResult) -> EvaluationStatus:
    """Return the row of the status that records an outcome."""
    known, answers = result.score is not None, result.answers
    return EvaluationStatus(
        golden=result.golden,
        attempt=result.attempt,
        score=result.score,
        passed=result.passed if known else None,
        total=result.total if known else None,
        at=result.at,
        message=result.message,
        contents=answers.contents if answers is not None else None,
        answers=answers.packed if answers is not None else None,
        wrong=tuple(
            WrongQuestionStatus(number=number, id=name)
            for number, name in (answers.wrong if answers is not None else ())
        ),
    )


def find_recorded(cluster: ClusterState, number: int) -> EvaluationStatus | None:
    """Return the row of a revision's last evaluation, or None."""
    rows = cluster.status.revisions
    return next((row.evaluation for row in rows if row.number == number), None)


def read_last_message(pod: Object) -> str | None:
    """Return what the evaluation left when it ended, or None while it has not."""
    for container in pod.get("status", {}).get("containerStatuses", []):
        ended = container.get("state", {}).get("terminated")
        if container.get("name") == CONTAINER and ended is not None:
            code, reason = ended.get("exitCode"), ended.get("reason", "")
            said = str(ended.get("message") or "").strip()
            return said or f"It ended with exit code {code} ({reason}) and without a message."
    return None


def _find_condition(job: Object, kind: str) -> Mapping[str, Any] | None:
    conditions: list[dict[str, Any]] = job.get("status", {}).get("conditions") or []
    return next(
        (c for c in conditions if c.get("type") == kind and c.get("status") == "True"), None
    )


def _is_owned(pod: Object, job: Object) -> bool:
    owners = pod["metadata"].get("ownerReferences") or []
    return any(owner.get("uid") == job["metadata"]["uid"] for owner in owners)
