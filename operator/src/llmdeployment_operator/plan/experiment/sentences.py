"""What is said of an experiment, for people."""

import json
from collections.abc import Mapping, Sequence

from llmdeployment_operator.analysis.comparison import Analysis
from llmdeployment_operator.analysis.counts import CACHED, COST
from llmdeployment_operator.analysis.experiment import (
    ArmComparison,
    ArmResult,
    MetricComparison,
    Outcome,
)
from llmdeployment_operator.analysis.power_plan import PowerPlan
from llmdeployment_operator.api.experiment import ExperimentSpec, parse_duration_seconds
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.durations import DAY, HOUR, MINUTE
from llmdeployment_operator.plan.experiment.counting import ArmCounts
from llmdeployment_operator.plan.experiment.experiment_status import format_points

KNOWN = "At "
"""How a plan begins that is known."""


BACK = " The arms have the weights of spec.arms again, so users that onEnd had moved go back."
"""What a new design does after `onEnd: ShiftToWinner`."""


def describe_progress(comparisons: Sequence[ArmComparison], counted: Sequence[ArmCounts]) -> str:
    """Return what is known of each arm so far, and why its counts pause or began anew."""
    told = [
        f"{found.name}: {_name_result(found.result)} ({_describe_size(found, arm)})."
        for found, arm in zip(comparisons, counted, strict=True)
    ]
    notes = dict.fromkeys(_describe_note(arm) for arm in counted if arm.message)
    return " ".join([*told, *notes])


def describe_end(
    spec: ExperimentSpec,
    outcome: Outcome,
    winner: str | None,
    comparisons: Sequence[ArmComparison],
) -> str:
    """Return how the experiment ended, with the figures that decide."""
    found = {each.name: each for each in comparisons}
    if winner is not None:
        best = found[winner]
        text = f"Arm {winner} wins: {describe_metric(_find_telling(best))}{_describe_guards(best)}."
        others = [n for n, each in found.items() if each.result is ArmResult.BETTER and n != winner]
        if others:
            text += (
                f" {', '.join(others)} {'is' if len(others) == 1 else 'are'} better than the control too. {winner} has the lowest "
                f"{spec.metrics[0].name} counted; the arms other than the control are not compared with each other."
            )
        open_ones = [n for n, each in found.items() if each.result is ArmResult.UNDECIDED]
        return text + (f" Time is up for {', '.join(open_ones)}." if open_ones else "")
    figures = " ".join(f"{n}: {describe_metric(_find_telling(each))}." for n, each in found.items())
    if outcome is Outcome.CONTROL_WINS:
        return f"No arm is better than {spec.control}. {figures}"
    if outcome is Outcome.NO_DIFFERENCE:
        return f"No arm differs from {spec.control} by {spec.minimum_effect_percent} points or more. {figures}"
    return f"There is no answer after {spec.max_duration}. {figures}"


def describe_shift(
    deployment: LLMDeployment,
    winner: str,
    done: bool,  # noqa: FBT001  # because it is a fact about the routes, not a choice of the caller
) -> str:
    """Return who has the users after `onEnd: ShiftToWinner`, and what the spec still says."""
    weights = ", ".join(f"{arm.name} {arm.weight}" for arm in deployment.spec.arms)
    because = "because spec.experiment.onEnd is ShiftToWinner"
    if not done:
        return f" The operator moves all users to {winner} when its replicas are ready, {because}."
    return f" The operator sends all users to {winner}, {because}. spec.arms still has {weights}."


def describe_metric(metric: MetricComparison) -> str:
    """Return a metric's figures: `errorRate 1.2 % against 4.3 % (-4.0 to -2.1 points)`."""
    if metric.name.startswith(COST):
        return _describe_cost_metric(metric)
    shares = (
        f"{metric.name} {format_points(metric.arm)} % against {format_points(metric.control)} %"
    )
    if metric.difference is None:
        return f"{metric.name} has no requests to compare"
    return f"{shares} ({format_points(metric.low)} to {format_points(metric.high)} points)"


def _describe_cost_metric(metric: MetricComparison) -> str:
    if metric.difference is None:
        return "cost has no tokens to compare"
    size, than = format_points(abs(metric.difference)), "less" if metric.difference < 0 else "more"
    ends = f"{format_points(metric.low)} to {format_points(metric.high)} %"
    return f"a request costs {size} % {than} than the control's ({ends})"


def describe_plan(
    spec: ExperimentSpec, evidence: Mapping[str, Analysis], plan: PowerPlan | None
) -> str:
    """Return about how long the experiment takes, of what is known of its traffic."""
    effect = f"a difference of {spec.minimum_effect_percent} points"
    if {metric.name for metric in spec.metrics} == {COST}:
        return "How long it takes until a difference in cost shows is not estimated."
    if plan is None:
        return f"How long it takes until {effect} shows is not known yet: too few requests were counted."
    counted = evidence[plan.arm]
    where = (
        f"{_describe_rates(counted)} in arm {plan.arm} and the control, {effect} in {plan.metric}"
    )
    if plan.seconds is None:
        return f"{where} does not show within a year. Raise minimumEffectPercent, or give the arm more users."
    text = (
        f"{where} shows in about {_format_about(plan.seconds)} from the beginning (4 of 5 times)."
    )
    if plan.seconds > parse_duration_seconds(spec.max_duration):
        text += f" That is longer than maxDuration {spec.max_duration}."
    return text


def write_patch(deployment: LLMDeployment, arm: str) -> str:
    """Return the JSON patch that ends the experiment and gives one arm all users; nobody who has it is moved.

    It is refused if the arms have changed places meanwhile.
    """
    arms = [each.name for each in deployment.spec.arms]
    place = arms.index(arm)
    others = [n for n in range(len(arms)) if n != place]
    steps = [
        {"op": "test", "path": f"/spec/arms/{place}/name", "value": arm},
        {"op": "replace", "path": f"/spec/arms/{place}/weight", "value": 100},
        *({"op": "remove", "path": f"/spec/arms/{n}"} for n in reversed(others)),
        {"op": "remove", "path": "/spec/experiment"},
    ]
    return json.dumps(steps, separators=(",", ":"))


_NAMES = {
    ArmResult.BETTER: "better",
    ArmResult.WORSE: "worse",
    ArmResult.NOT_DIFFERENT: "not different",
    ArmResult.UNDECIDED: "undecided",
}


def _name_result(result: ArmResult) -> str:
    return _NAMES[result]


def _describe_size(found: ArmComparison, arm: ArmCounts) -> str:
    requests = f"{found.requests:,} requests"
    users = arm.evidence.users.canary
    return f"{users:,} users, {requests}" if users else requests


def _describe_note(arm: ArmCounts) -> str:
    return arm.message if arm.counting else f"Counting pauses. {arm.message}"


def _find_telling(found: ArmComparison) -> MetricComparison:
    """Return the metric that decides: one of the arm's own result, else the first."""
    return next((m for m in found.metrics if m.result is found.result), found.metrics[0])


def _describe_guards(best: ArmComparison) -> str:
    """Return in what else a winner is shown not to be worse; begins with a comma where there is something."""
    telling = _find_telling(best)
    others = [metric for metric in best.metrics if metric is not telling]
    if not others:
        return ""
    margins = (
        f"{100 * metric.margin:g} {_name_unit(metric)} in {metric.name}" for metric in others
    )
    return f", and not worse by more than {', '.join(margins)}"


def _name_unit(metric: MetricComparison) -> str:
    if metric.name.startswith(COST):
        return "%"
    return "point" if round(100 * metric.margin) == 1 else "points"


def _describe_rates(counted: Analysis) -> str:
    names = {key.metric for key in counted.counts if key.metric != CACHED}
    totals = [
        sum(
            seen.stable.total + seen.canary.total
            for key, seen in counted.counts.items()
            if key.metric == name and key.group is None
        )
        for name in names
    ]
    rate = max(totals) / counted.seconds
    told = f"{rate:.1f} requests/s" if rate >= 1 else f"{rate * MINUTE:.1f} requests a minute"
    users = sum(counted.users)
    by_hour = users * HOUR / counted.seconds
    return f"{KNOWN}{told} and {by_hour:,.0f} users an hour" if users else f"{KNOWN}{told}"


def _format_about(seconds: float) -> str:
    """Return a duration in one unit.

    >>> [_format_about(seconds) for seconds in (90, 7000, 100_000, 800_000)]
    ['2 minutes', '117 minutes', '28 hours', '9 days']
    """
    for size, unit in ((DAY, "days"), (HOUR, "hours")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1.0, seconds / MINUTE):.0f} minutes"
