"""The condition Drifting: whether the revisions that serve answer the golden set worse than at first, or differ from their first window."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.api.evaluation_status import RecheckStatus
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.conditions import Condition, format_time
from llmdeployment_operator.plan.base.reasons import Reason
from llmdeployment_operator.plan.base.sentences import begin_sentence, join_sentences
from llmdeployment_operator.plan.desired.golden_source import describe_source
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.rollout.arms import Arms
from llmdeployment_operator.plan.rollout.evaluation_result import (
    EvaluationResult,
    hash_golden_set,
    read_results,
)
from llmdeployment_operator.plan.rollout.recheck import (
    build_recheck_status,
    find_drift,
    find_next_recheck,
)

_ACT = (
    "Find out what changed under the revision: an API elsewhere, an image of the same tag, files of the same path. "
    "To take the answers of now as its first ones, give the golden set another name."
)
_ORDER = (
    Reason.SCORE_FELL,
    Reason.DIFFERS_FROM_FIRST,
    Reason.DRIFT_UNKNOWN,
    Reason.FIRST_WINDOW,
    Reason.NO_DRIFT,
)
"""The worst first."""
_TOLD = 300
"""Characters of a failure that the condition quotes."""


def read_rechecks(
    deployment: LLMDeployment, arms: Arms, cluster: ClusterState
) -> dict[int, RecheckStatus]:
    """Return the last scheduled answers of the revisions that serve, by number."""
    numbers = {arm.step.stable for arm in arms.routed}
    found = ((number, build_recheck_status(deployment, cluster, number)) for number in numbers)
    return {number: recheck for number, recheck in found if recheck is not None}


def choose_worst(found: Sequence[Condition]) -> Condition | None:
    """Return the condition Drifting of several revisions and both ways to drift: the worst, with the messages of all that drift."""
    if not found:
        return None
    ordered = sorted(found, key=lambda condition: _ORDER.index(condition.reason))
    told = [each.message for each in ordered if each.status] or [ordered[0].message]
    return replace(ordered[0], message=" ".join(told))


def check_golden_set(
    deployment: LLMDeployment,
    arms: Arms,
    cluster: ClusterState,
    rechecks: Mapping[int, RecheckStatus],
    now: datetime,
) -> list[Condition]:
    """Return what the golden set says of each revision that serves; nothing without a schedule."""
    policy = deployment.spec.rollout.evaluation
    if policy is None or policy.schedule is None:
        return []
    golden = hash_golden_set(policy)
    found = []
    for number in sorted({arm.step.stable for arm in arms.routed}):
        results = read_results(cluster, number, golden)
        before = results[max(results)] if results else None
        found.append(_check_revision(policy, number, before, rechecks.get(number), now))
    return found


def _check_revision(
    policy: EvaluationSpec,
    number: int,
    before: EvaluationResult | None,
    recheck: RecheckStatus | None,
    now: datetime,
) -> Condition:
    if before is None:
        return _say_unknown(f"Revision {number} has not answered the golden set yet")
    if before.score is None:
        why = (
            f"Revision {number} has no score to compare with, because its evaluation had no result"
        )
        return _say_unknown(why, begin_sentence(before.message[:_TOLD]), _describe_again(policy))
    if recheck is not None:
        return _check_recheck(policy, number, before, recheck)
    following = find_next_recheck(policy, now)
    when = f" on {format_time(following.astimezone(UTC))}" if following is not None else ""
    text = f"{_describe_first(number, before)}. It is asked again{when}."
    return Condition("Drifting", False, Reason.NO_DRIFT, text)


def _check_recheck(
    policy: EvaluationSpec, number: int, before: EvaluationResult, recheck: RecheckStatus
) -> Condition:
    result = recheck.result
    if result.score is None:
        why = f"Revision {number} was asked the golden set again on {recheck.due_at}, without a result"
        return _say_unknown(why, begin_sentence(result.message[:_TOLD]))
    drifts = find_drift(policy, before, recheck)
    told = result.comparison.message if result.comparison is not None else ""
    scores = f"{_describe_first(number, before)}, and {result.score} % on {recheck.due_at}"
    if drifts is None:
        return _say_unknown(scores, told)
    if not drifts:
        return Condition("Drifting", False, Reason.NO_DRIFT, join_sentences(scores, told))
    since = f"Its answers have been worse since {recheck.fallen_since or recheck.due_at}"
    text = join_sentences(scores, since, told, _ACT)
    return Condition("Drifting", True, Reason.SCORE_FELL, text)


def _describe_first(number: int, before: EvaluationResult) -> str:
    return (
        f"Revision {number} answered {before.score} % of the golden set as expected on {before.at}"
    )


def _describe_again(policy: EvaluationSpec) -> str:
    where = policy.golden.config_map_ref
    what = f"ConfigMap {where.name}" if where is not None else describe_source(policy.golden)
    return f"Correct {what} under another name"


def _say_unknown(*parts: str) -> Condition:
    return Condition("Drifting", None, Reason.DRIFT_UNKNOWN, join_sentences(*parts))
