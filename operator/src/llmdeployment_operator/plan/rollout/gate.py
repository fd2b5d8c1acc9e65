"""Whether a new revision may have requests: what the evaluation of it on the golden set says.

One Job per attempt asks the golden set; `evaluation_job.py` makes it. Its result goes into the revision's row of `status.revisions` and
is read back from there, so a score that is known is not asked for again. Only the Job's conditions and its pod's last message are
believed, and of the message only the counts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.api.status import EvaluationStatus
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.drift import digest
from llmdeployment_operator.plan.base.durations import format_duration
from llmdeployment_operator.plan.base.objects import Kind, Object
from llmdeployment_operator.plan.base.pods import check_pods
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.sentences import begin_sentence, join_sentences
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.readiness import select_pods

CONTAINER = "evaluate"
REVISION = "llmdeployment.dev/revision"
ATTEMPT = "llmdeployment.dev/attempt"
GOLDEN = "llmdeployment.dev/golden"

_TOLD = 400
"""Characters of a result that a rollout's message quotes."""


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
    """

    golden: str
    attempt: int
    at: str
    passed: int = 0
    total: int = 0
    message: str = ""

    @property
    def score(self) -> int | None:
        """Percent, rounded down, or None when there is no result."""
        return self.passed * 100 // self.total if self.total else None


@dataclass(frozen=True)
class GateVerdict:
    """What is to be done with a new revision: wait, give it up, or, with neither, let it have requests.

    Attributes:
        pending: what is waited for.
        refused: why it is rolled back.
        attempt: the one that was refused; a status that was lost may count less.
    """

    pending: Finding | None = None
    refused: str = ""
    attempt: int = 0


@dataclass(frozen=True)
class Gate:
    """What is known about a new revision's evaluation.

    Attributes:
        revision: its number.
        policy: `spec.rollout.evaluation`.
        outcomes: how its evaluations on the current golden set ended, by attempt.
        baseline: that of the stable revision on the same golden set, or None.
        missing: what keeps an evaluation from running, or None.
        running: what the evaluation's pod waits for, for people.
    """

    revision: int
    policy: EvaluationSpec
    outcomes: Mapping[int, EvaluationResult] = field(default_factory=dict)
    baseline: EvaluationResult | None = None
    missing: Finding | None = None
    running: str = ""

    def verdict(self, attempt: int) -> GateVerdict:
        """Return what the evaluation says in this attempt of the rollout.

        A result that is good enough counts in every attempt, one that is not only until somebody asks to try again.
        """
        reasons = {number: self._refusal(outcome) for number, outcome in self.outcomes.items()}
        if any(not why for why in reasons.values()):
            return GateVerdict()
        later = [number for number in reasons if number >= attempt]
        if later:
            return GateVerdict(refused=reasons[max(later)], attempt=max(later))
        if self.missing is not None:
            return GateVerdict(pending=self.missing)
        text = f"Revision {self.revision} is being evaluated on the golden set before its first request."
        return GateVerdict(pending=Finding(Reason.EVALUATING, join_sentences(text, self.running)))

    def attempt(self, retry: int | None) -> int:
        """Return the attempt of a revision that has no rollout to count them: another one if somebody asked for it after the last."""
        last = max(self.outcomes, default=1)
        asked = last in self.outcomes and retry == last
        return last + 1 if asked else last

    def _refusal(self, outcome: EvaluationResult) -> str:
        """Return why a revision with this outcome gets no requests, in whole sentences, or nothing."""
        quoted = outcome.message[:_TOLD]
        if outcome.score is None:
            return join_sentences("Its evaluation has no result", begin_sentence(quoted))
        failures = f"The first failures: {quoted}" if quoted else ""
        bar = self.policy.min_score_percent
        before = self.baseline.score if self.baseline is not None else None
        got = f"It answered {outcome.passed} of {outcome.total} questions of the golden set as expected ({outcome.score} %)"
        if outcome.score < bar:
            needs = f"It needs {bar} % (spec.rollout.evaluation.minScorePercent)"
            return join_sentences(got, needs, failures)
        allowed = self.policy.max_regression_percent
        if before is not None and before - outcome.score > allowed:
            needs = (
                f"The revision that serves has {before} %, and at most {allowed} points less are allowed "
                "(spec.rollout.evaluation.maxRegressionPercent)"
            )
            return join_sentences(got, needs, failures)
        return ""


def hash_golden_set(policy: EvaluationSpec) -> str:
    """Return the hash of what a score depends on: golden set, length of answers, judge. Bars and speed are not part of it."""
    asked = policy.model_dump(
        mode="json", include={"golden", "max_tokens", "judge"}, exclude_none=True
    )
    return digest(asked)


def build_gate(
    deployment: LLMDeployment, cluster: ClusterState, stable: int, target: int
) -> Gate | None:
    """Return the gate before a new revision's first request, or None when the spec asks for none."""
    policy = deployment.spec.rollout.evaluation
    if policy is None:
        return None
    golden = hash_golden_set(policy)
    return Gate(
        revision=target,
        policy=policy,
        outcomes=_read_results(cluster, target, golden),
        baseline=_read_recorded(cluster, stable, golden),
        missing=_find_missing(policy, cluster),
        running=_describe_running(cluster, target),
    )


def build_evaluation_status(
    deployment: LLMDeployment, cluster: ClusterState, number: int
) -> EvaluationStatus | None:
    """Return `status.revisions[].evaluation` of a revision: its last outcome, or what was there, or None."""
    policy = deployment.spec.rollout.evaluation
    before = _find_recorded(cluster, number)
    if policy is None:
        return before
    outcomes = _read_results(cluster, number, hash_golden_set(policy))
    if not outcomes:
        return before
    last = outcomes[max(outcomes)]
    known = last.score is not None
    return EvaluationStatus(
        golden=last.golden,
        attempt=last.attempt,
        score=last.score,
        passed=last.passed if known else None,
        total=last.total if known else None,
        at=last.at,
        message=last.message,
    )


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


def _read_results(cluster: ClusterState, number: int, golden: str) -> dict[int, EvaluationResult]:
    """Return the outcomes of a revision: those its Jobs say, and that on record, which stands when they are gone."""
    found = {}
    for attempt, job in select_jobs(cluster, number, golden).items():
        if (outcome := _read_result(cluster, job, golden, attempt)) is not None:
            found[attempt] = outcome
    if (recorded := _read_recorded(cluster, number, golden)) is not None:
        found[recorded.attempt] = recorded
    return found


def _read_result(
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
    messages = [said for pod in pods if (said := _read_last_message(pod)) is not None]
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
    passed, total, failures = counts
    return EvaluationResult(golden, attempt, at, passed, total, failures)


def _parse_counts(text: str) -> tuple[int, int, str] | None:
    """Return passed, total and the first failures of a result, or None when it is none.

    >>> _parse_counts('{"passed": 1, "total": 2, "failures": [{"id": "q1", "why": "is wrong"}]}')
    (1, 2, 'q1: is wrong')
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
    return passed, total, "; ".join(failures)


def _read_recorded(cluster: ClusterState, number: int, golden: str) -> EvaluationResult | None:
    row = _find_recorded(cluster, number)
    if row is None or row.golden != golden:
        return None
    return EvaluationResult(
        golden, row.attempt, row.at, row.passed or 0, row.total or 0, row.message
    )


def _find_recorded(cluster: ClusterState, number: int) -> EvaluationStatus | None:
    rows = cluster.status.revisions
    return next((row.evaluation for row in rows if row.number == number), None)


def _find_missing(policy: EvaluationSpec, cluster: ClusterState) -> Finding | None:
    ref = policy.golden.config_map_ref
    if ref is None or ref.name not in cluster.missing_config_maps:
        return None
    what = f"ConfigMap {ref.name} of spec.rollout.evaluation.golden.configMapRef"
    return Finding(
        Reason.CONFIG_MAP_MISSING, f"{what} does not exist in this namespace. Create it."
    )


def _describe_running(cluster: ClusterState, number: int) -> str:
    """Return what an evaluation's pod waits for."""
    pods = [
        pod
        for pod in select_pods(cluster, names.EVALUATION)
        if pod["metadata"]["labels"].get(REVISION) == str(number)
        and _read_last_message(pod) is None
    ]
    found = check_pods(pods, cluster.capacity)
    return found.message[:_TOLD] if found is not None else ""


def _read_last_message(pod: Object) -> str | None:
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
