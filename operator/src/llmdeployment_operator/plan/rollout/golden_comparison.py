"""Two evaluations on one golden set compared question by question, in numbers and in sentences."""

from llmdeployment_operator.analysis.paired import (
    ALPHA,
    FEWEST,
    Interval,
    Pairs,
    find_interval,
    is_fall,
)
from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.api.evaluation_status import ComparisonStatus
from llmdeployment_operator.plan.base.sentences import join_sentences
from llmdeployment_operator.plan.rollout.answers import are_same_questions, count_pairs, name_lost
from llmdeployment_operator.plan.rollout.evaluation_result import EvaluationResult

_LISTED = 300
"""Characters of questions' names in a sentence."""
_FORGIVEN = (
    "The score is lower than spec.rollout.evaluation.maxRegressionPercent allows. "
    "As that may be noise, compare: Paired lets it pass."
)


def is_comparable(before: EvaluationResult, after: EvaluationResult) -> bool:
    """Say whether two scores are of the same questions, as far as that is known."""
    if before.score is None or after.score is None:
        return False
    if before.answers is None or after.answers is None:
        return True
    return are_same_questions(before.answers, after.answers)


def is_regression(
    policy: EvaluationSpec, before: EvaluationResult, after: EvaluationResult
) -> bool:
    """Say whether a score is lower than `maxRegressionPercent` allows, and, with `compare: Paired`, not by noise.

    The paired test can only forgive. It forgives nothing where it can decide nothing: without the answers, or with too few questions.
    """
    if before.score is None or after.score is None or not is_comparable(before, after):
        return False
    if before.score - after.score <= policy.max_regression_percent:
        return False
    pairs = _pair(before, after)
    if policy.compare == "Points" or pairs is None or pairs.total < FEWEST:
        return True
    return is_fall(pairs)


def is_drift(
    policy: EvaluationSpec, before: EvaluationResult, after: EvaluationResult, alpha: float
) -> bool | None:
    """Say whether answers became worse than `maxRegressionPercent` allows, and not by noise; None where that cannot be told.

    Without evidence there is no alarm, because this is asked again and again.
    """
    if before.score is None or after.score is None or not is_comparable(before, after):
        return None
    pairs = _pair(before, after)
    if pairs is None or pairs.total < FEWEST:
        return None
    beyond = before.score - after.score > policy.max_regression_percent
    return beyond and is_fall(pairs, alpha)


def compare_results(
    policy: EvaluationSpec,
    before: EvaluationResult,
    after: EvaluationResult,
    revision: int,
    alpha: float | None = None,
) -> ComparisonStatus | None:
    """Return how the answers differ from those of a revision, or None when either has no score.

    Args:
        policy: `spec.rollout.evaluation`.
        before: the answers of the revision.
        after: the answers that are compared with them.
        revision: its number.
        alpha: the highest probability of a false alarm, where the answers are compared again and again; None before a rollout.
    """
    if before.score is None or after.score is None:
        return None
    if not is_comparable(before, after):
        text = (
            f"The golden set has other questions than when revision {revision} answered it, so the two are not compared. "
            "Give a changed set another name."
        )
        return ComparisonStatus(revision=revision, message=text)
    pairs = _pair(before, after)
    if before.answers is None or after.answers is None or pairs is None:
        text = (
            f"It has {after.score} %, and revision {revision} has {before.score} %. Which questions changed is not known, "
            "because an older image asked one of the two."
        )
        return ComparisonStatus(revision=revision, message=text)
    sure = ALPHA if alpha is None else alpha
    found, lost = find_interval(pairs, sure), name_lost(before.answers, after.answers)
    forgiven = (
        alpha is None
        and policy.compare == "Paired"
        and before.score - after.score > policy.max_regression_percent
        and not is_regression(policy, before, after)
    )
    return ComparisonStatus(
        revision=revision,
        lost=pairs.lost,
        won=pairs.won,
        difference=format_points(pairs.difference),
        low=format_points(found.low),
        high=format_points(found.high),
        questions=lost,
        message=join_sentences(
            _describe_counts(pairs, found, revision),
            _describe_noise(pairs, sure),
            _FORGIVEN if forgiven else "",
            f"Failed now: {list_names(lost, pairs.lost)}" if lost else "",
        ),
    )


def list_names(names: tuple[str, ...], total: int) -> str:
    """Return names for a sentence, and how many more there are than fit.

    >>> list_names(("a", "b"), 5), list_names(("a", "b"), 2)
    ('a, b and 3 more', 'a, b')
    """
    shown: list[str] = []
    for name in names:
        if len(", ".join([*shown, name])) > _LISTED:
            break
        shown.append(name)
    more = total - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def format_points(share: float) -> str:
    """Return a difference of shares in percentage points, with its sign.

    >>> format_points(-0.03), format_points(0.004), format_points(0.0)
    ('-3.0', '+0.4', '0.0')
    """
    return f"{100 * share:+.1f}" if abs(share) >= 0.0005 else "0.0"  # noqa: PLR2004  # because half a digit shows none


def _pair(before: EvaluationResult, after: EvaluationResult) -> Pairs | None:
    if before.answers is None or after.answers is None:
        return None
    return count_pairs(before.answers, after.answers)


def _describe_counts(pairs: Pairs, interval: Interval, revision: int) -> str:
    questions = "question" if pairs.lost == 1 else "questions"
    return (
        f"{pairs.lost} {questions} that revision {revision} answered as expected failed, and {pairs.won} the other way round "
        f"({format_points(pairs.difference)} points; {format_points(interval.low)} to {format_points(interval.high)})"
    )


def _describe_noise(pairs: Pairs, alpha: float) -> str:
    if pairs.total < FEWEST:
        size = "1 question" if pairs.total == 1 else f"{pairs.total} questions"
        return (
            f"A golden set of {size} can never tell a fall from noise. It takes at least {FEWEST}."
        )
    if pairs.lost <= pairs.won:
        return ""
    return "This is more than noise." if is_fall(pairs, alpha) else "This may be noise."
