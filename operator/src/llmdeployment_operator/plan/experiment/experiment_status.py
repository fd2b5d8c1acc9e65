"""The experiment as `status.experiment` holds it, read leniently: an arm that cannot be read begins anew."""

from datetime import datetime

from llmdeployment_operator.analysis.comparison import Analysis
from llmdeployment_operator.analysis.cost_ratio import LEAST, MOST
from llmdeployment_operator.analysis.experiment import ArmComparison, MetricComparison
from llmdeployment_operator.analysis.power_plan import UserGrowth
from llmdeployment_operator.api.experiment_status import (
    ExperimentArmStatus,
    ExperimentMetricStatus,
    UserGrowthStatus,
)
from llmdeployment_operator.plan.base.conditions import format_time
from llmdeployment_operator.plan.base.pods import read_time
from llmdeployment_operator.plan.experiment.cost import build_cost, read_cost
from llmdeployment_operator.plan.experiment.counting import ArmCounts
from llmdeployment_operator.plan.rollout.analysis_status import build_analysis, read_analysis


def read_arm(row: ExperimentArmStatus | None, name: str, now: datetime) -> ArmCounts:
    """Return what was counted of an arm; nothing where the row is missing or cannot be read."""
    try:
        if row is None:
            return ArmCounts(name, now)
        evidence = read_analysis(row.evidence) if row.evidence is not None else Analysis()
        since = read_time(row.since) or now
    except ValueError:
        return ArmCounts(name, now)
    growth = row.growth or UserGrowthStatus()
    return ArmCounts(
        name,
        since,
        row.revision,
        row.control_revision,
        counting=row.counting,
        message=row.message,
        evidence=evidence,
        growth=UserGrowth(growth.users, growth.seconds, growth.new_percent / 100),
        cost=read_cost(row.cost),
    )


def build_arm(counts: ArmCounts, comparison: ArmComparison) -> ExperimentArmStatus:
    """Return the row of an arm."""
    evidence, growth = counts.evidence, counts.growth
    return ExperimentArmStatus(
        name=counts.name,
        revision=counts.revision,
        control_revision=counts.control,
        since=format_time(counts.since),
        counting=counts.counting,
        message=counts.message,
        users=evidence.users.canary,
        control_users=evidence.users.stable,
        requests=comparison.requests,
        control_requests=comparison.control_requests,
        result=comparison.result.value,
        metrics=tuple(map(_build_metric, comparison.metrics)),
        cost=build_cost(counts.cost),
        growth=UserGrowthStatus(
            users=growth.users, seconds=growth.seconds, new_percent=round(100 * growth.new)
        ),
        evidence=build_analysis(evidence),
    )


def format_points(share: float | None) -> str | None:
    """Return a share in percent, or a difference in points.

    >>> format_points(0.1234), format_points(-0.00456), format_points(-0.000001), format_points(None)
    ('12.3', '-0.46', '0.00', None)
    """
    if share is None:
        return None
    text = f"{100 * share:.1f}" if abs(100 * share) >= 1 else f"{100 * share:.2f}"
    return "0.00" if text == "-0.00" else text


def _build_metric(metric: MetricComparison) -> ExperimentMetricStatus:
    known = (metric.low, metric.high) not in {(-1.0, 1.0), (LEAST, MOST)}
    return ExperimentMetricStatus(
        name=metric.name,
        control=format_points(metric.control),
        arm=format_points(metric.arm),
        difference=format_points(metric.difference),
        low=format_points(metric.low) if known else None,
        high=format_points(metric.high) if known else None,
        result=metric.result.value,
    )
