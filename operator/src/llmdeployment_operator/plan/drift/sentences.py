"""What is said of a revision and its first window."""

from llmdeployment_operator.analysis.drift import BLOCKS
from llmdeployment_operator.api.drift import OUTPUT_TOKENS, PROMPT_LENGTH, DriftSpec
from llmdeployment_operator.api.rollout import PATTERN
from llmdeployment_operator.plan.base.conditions import Condition, format_time
from llmdeployment_operator.plan.base.reasons import Reason
from llmdeployment_operator.plan.base.sentences import join_sentences
from llmdeployment_operator.plan.drift.memory import format_percent
from llmdeployment_operator.plan.drift.windows import (
    DriftState,
    MetricState,
    find_time,
)

MOST_NAMED = 4
"""Metrics that the message names; the rest is counted."""
ACT = (
    "Find out what changed: who sends requests, what they ask, or the model behind an API elsewhere. "
    "To begin a new first window, set the annotation llmdeployment.dev/baseline to another value, such as today's date"
)
_NAMES = {
    "refusal": "refusals",
    "empty": "empty answers",
    "truncated": "truncated answers",
    "invalidJson": "answers that are not JSON",
    "invalidToolCall": "invalid tool calls",
    "repetition": "answers that end in a loop",
    "languageSwitch": "answers in another script than their prompt",
}


def describe_metric(name: str) -> str:
    """Return what a metric counts.

    >>> describe_metric("outputTokens>1500"), describe_metric("promptLength>=1024")
    ('answers longer than 1,500 tokens', 'prompts of 1,024 bytes or more')
    >>> describe_metric("pattern/brand"), describe_metric("refusal")
    ('answers with the pattern brand', 'refusals')
    """
    kind, _, length = name.partition(">")
    if kind == OUTPUT_TOKENS:
        return f"answers longer than {int(length):,} tokens"
    if kind == PROMPT_LENGTH:
        return f"prompts of {int(length.removeprefix('=')):,} bytes or more"
    if name.startswith(PATTERN):
        return f"answers with the pattern {name.removeprefix(PATTERN)}"
    return _NAMES.get(name, name)


def describe_drift(number: int, state: DriftState, spec: DriftSpec) -> Condition:
    """Return the condition Drifting of one revision."""
    if state.first_ended is None:
        return _say_first(number, state, spec)
    compared = {name: each for name, each in state.metrics.items() if each.change is not None}
    if state.drifting:
        return _say_drifting(number, state)
    if not compared:
        text = (
            f"The first window of revision {number} ended at {format_time(state.first_ended)} with {state.requests:,} answers. "
            "No later request has been compared with it yet."
        )
        return Condition("Drifting", None, Reason.FIRST_WINDOW, text)
    widest = max(compared, key=lambda name: abs(_measure(compared[name])))
    same = (
        f"The prompts and answers of revision {number} are as in its first window, which began at {format_time(state.began)}: "
        f"no share differs for sure by more than {spec.tolerance_percent} points"
    )
    most = f"The largest difference is {_describe_change(widest, compared[widest])}"
    return Condition("Drifting", False, Reason.NO_DRIFT, join_sentences(same, most))


def _say_first(number: int, state: DriftState, spec: DriftSpec) -> Condition:
    ends = find_time(state, spec, (state.block // BLOCKS + 1) * BLOCKS)
    text = (
        f"Revision {number} is in its first window, with which later ones are compared. It ends at {format_time(ends)} "
        f"if there are {spec.min_requests:,} answers by then, and otherwise goes on for {spec.first_window}. "
        f"There were {state.requests:,} by {format_time(state.written)}."
    )
    return Condition("Drifting", None, Reason.FIRST_WINDOW, text)


def _say_drifting(number: int, state: DriftState) -> Condition:
    found = sorted(state.drifting.items(), key=lambda each: -abs(_measure(each[1])))
    named = ", ".join(_describe_since(name, each) for name, each in found[:MOST_NAMED])
    more = f", and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    text = (
        f"The prompts or answers of revision {number} differ from its first window: {named}{more}"
    )
    return Condition("Drifting", True, Reason.DIFFERS_FROM_FIRST, join_sentences(text, ACT))


def _describe_since(name: str, metric: MetricState) -> str:
    since = f" (since {format_time(metric.since)})" if metric.since is not None else ""
    return _describe_change(name, metric) + since


def _describe_change(name: str, metric: MetricState) -> str:
    if metric.change is None:
        return describe_metric(name)
    first, present = metric.change.first, metric.change.present
    return f"{describe_metric(name)} {format_percent(first)} % then and {format_percent(present)} % now"


def _measure(metric: MetricState) -> float:
    return metric.change.present - metric.change.first if metric.change is not None else 0.0
