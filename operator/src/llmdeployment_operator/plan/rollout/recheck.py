"""The golden set asked again on schedule: when it is due, and what the revision that serves answered.

`spec.rollout.evaluation.schedule` names the times. The answers are compared with those of the revision's evaluation, question by
question. The same questions asked again are no new evidence, so the looks are not added up: each is a test of its own, whose share of
MONTHLY_ALPHA is one of all looks within 31 days before and after it. So the probability of a false alarm is at most MONTHLY_ALPHA in
any 31 days, however the answers of one day depend on those of another (Bonferroni).
"""

from datetime import UTC, datetime, timedelta

from llmdeployment_operator.api import cron
from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.api.evaluation_status import RecheckStatus
from llmdeployment_operator.api.status import RevisionStatus
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.conditions import format_time
from llmdeployment_operator.plan.base.objects import Kind, Object
from llmdeployment_operator.plan.base.pods import read_time
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.rollout.evaluation_result import (
    GOLDEN,
    REVISION,
    EvaluationResult,
    build_row,
    hash_golden_set,
    read_recorded,
    read_result,
    read_row,
)
from llmdeployment_operator.plan.rollout.golden_comparison import compare_results, is_drift

DUE = "llmdeployment.dev/due"
"""The label of a Job that asks again: the time of the schedule, in seconds since 1970."""
MONTHLY_ALPHA = 0.01
"""The highest probability of a false alarm in any 31 days."""
_MONTH = timedelta(days=31)
_DIGITS = 10
"""Digits of a time in seconds, at most: until the year 2286."""


def select_rechecks(cluster: ClusterState, number: int, golden: str) -> dict[int, Object]:
    """Return the Jobs that ask a revision again, by the time they are for."""
    wanted = {names.COMPONENT: names.EVALUATION, REVISION: str(number), GOLDEN: golden}
    jobs = [
        (obj["metadata"]["labels"].get(DUE, ""), obj)
        for (kind, _), obj in cluster.children.items()
        if kind == Kind.JOB and wanted.items() <= obj["metadata"]["labels"].items()
    ]
    return {int(due): obj for due, obj in jobs if due.isdecimal() and len(due) <= _DIGITS}


def find_due(
    policy: EvaluationSpec, cluster: ClusterState, number: int, now: datetime
) -> int | None:
    """Return the time for which a revision is to be asked now, in seconds since 1970, or None.

    Of several times that nobody was there for, only the last counts.
    """
    if policy.schedule is None:
        return None
    row, golden = _find_row(cluster, number), hash_golden_set(policy)
    before = read_recorded(cluster, number, golden)
    if row is None or before is None or before.score is None:
        return None
    known = _read_recheck(row, golden)
    asked = [before.at, row.promoted_at, known.due_at if known is not None else None]
    latest = max((at for each in asked if (at := read_time(each)) is not None), default=None)
    due = cron.find_last(policy.schedule, policy.time_zone, now)
    if due is None or latest is None or due <= latest:
        return None
    return int(due.timestamp())


def find_next_recheck(policy: EvaluationSpec | None, now: datetime) -> datetime | None:
    """Return when the schedule names a time next, or None."""
    if policy is None or policy.schedule is None:
        return None
    return cron.find_next(policy.schedule, policy.time_zone, now)


def split_alpha(policy: EvaluationSpec, at: datetime) -> float:
    """Return the probability of a false alarm that one look may have.

    Daily looks are 62 in the 31 days before and after one, so each has a 62nd of 1 %.

    >>> from datetime import UTC
    >>> spec = {"golden": {"pvc": "pvc://a/b.jsonl"}, "schedule": "0 3 * * *"}
    >>> 0.01 / split_alpha(EvaluationSpec.model_validate(spec), datetime(2026, 6, 1, 3, tzinfo=UTC))
    62.0
    """
    looks = cron.count_times(policy.schedule or "", policy.time_zone, at - _MONTH, at + _MONTH)
    return MONTHLY_ALPHA / max(1, looks)


def build_recheck_status(
    deployment: LLMDeployment, cluster: ClusterState, number: int
) -> RecheckStatus | None:
    """Return `status.revisions[].recheck` of a revision that serves: its last answers, or None without a schedule or an answer."""
    policy = deployment.spec.rollout.evaluation
    row = _find_row(cluster, number)
    if policy is None or policy.schedule is None or row is None:
        return None
    golden = hash_golden_set(policy)
    known, before = _read_recheck(row, golden), read_recorded(cluster, number, golden)
    found = [
        (due, result)
        for due, job in sorted(select_rechecks(cluster, number, golden).items())
        if (result := read_result(cluster, job, golden, 1)) is not None
        and (known is None or format_due(due) > known.due_at)
    ]
    if not found or before is None:
        return known
    due, result = found[-1]
    return _build_recheck(policy, number, due, before, result, known)


def find_drift(
    policy: EvaluationSpec, before: EvaluationResult, recheck: RecheckStatus
) -> bool | None:
    """Say whether the answers became worse; None where that cannot be told."""
    at = read_time(recheck.due_at)
    alpha = split_alpha(policy, at) if at is not None else MONTHLY_ALPHA
    return is_drift(policy, before, read_row(recheck.result), alpha)


def format_due(due: int) -> str:
    """Return a time in seconds since 1970 as the API writes it.

    >>> format_due(0)
    '1970-01-01T00:00:00Z'
    """
    return format_time(datetime.fromtimestamp(due, UTC))


def _build_recheck(
    policy: EvaluationSpec,
    number: int,
    due: int,
    before: EvaluationResult,
    result: EvaluationResult,
    known: RecheckStatus | None,
) -> RecheckStatus:
    at, alpha = format_due(due), split_alpha(policy, datetime.fromtimestamp(due, UTC))
    compared = compare_results(policy, before, result, number, alpha)
    row = build_row(result).model_copy(update={"comparison": compared})
    fallen = is_drift(policy, before, result, alpha)
    since = known.fallen_since if known is not None else None
    if fallen is None:
        # What cannot be told ends nothing.
        return RecheckStatus(due_at=at, result=row, fallen_since=since)
    return RecheckStatus(due_at=at, result=row, fallen_since=(since or at) if fallen else None)


def _read_recheck(row: RevisionStatus, golden: str) -> RecheckStatus | None:
    """Return the last answers on record to this golden set."""
    found = row.recheck
    return found if found is not None and found.result.golden == golden else None


def _find_row(cluster: ClusterState, number: int) -> RevisionStatus | None:
    return next((row for row in cluster.status.revisions if row.number == number), None)
