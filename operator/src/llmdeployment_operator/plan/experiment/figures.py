"""The numbers of `status.experiment` for metrics. Ratios are parts of 1: 3 points are 0.03, and 30 % less is -0.3."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from llmdeployment_operator.analysis.experiment import Outcome
from llmdeployment_operator.api.experiment_status import ExperimentArmStatus, ExperimentStatus

_PERCENT = Decimal(100)

Pair = tuple[str, str]


@dataclass(frozen=True)
class ExperimentFigures:
    """What metrics show of an experiment; nothing without one.

    Attributes:
        outcomes: 1 for the outcome that holds and 0 for each other, by outcome.
        differences: the arm's share of bad requests minus the control's, by arm, metric and bound.
        requests: requests that were counted, by arm and side (`arm`, `control`).
        users: their users, likewise.
        costs: by how much the arm costs more than the control, by arm and `requests` or `tokens`.
    """

    outcomes: Mapping[tuple[str], float] = field(default_factory=dict)
    differences: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    requests: Mapping[Pair, float] = field(default_factory=dict)
    users: Mapping[Pair, float] = field(default_factory=dict)
    costs: Mapping[Pair, float] = field(default_factory=dict)


def read_experiment_figures(row: ExperimentStatus | None) -> ExperimentFigures:
    """Return the numbers of an experiment."""
    if row is None:
        return ExperimentFigures()
    return ExperimentFigures(
        outcomes={(each.value,): float(each.value == row.outcome) for each in Outcome},
        differences={key: value for arm in row.arms for key, value in _list_differences(arm)},
        requests={
            (arm.name, side): float(count)
            for arm in row.arms
            for side, count in (("arm", arm.requests), ("control", arm.control_requests))
        },
        users={
            (arm.name, side): float(count)
            for arm in row.arms
            for side, count in (("arm", arm.users), ("control", arm.control_users))
        },
        costs={key: value for arm in row.arms for key, value in _list_costs(arm)},
    )


def _list_differences(arm: ExperimentArmStatus) -> Iterator[tuple[tuple[str, str, str], float]]:
    for metric in arm.metrics:
        bounds = {"estimate": metric.difference, "lower": metric.low, "upper": metric.high}
        for bound, text in bounds.items():
            if (ratio := _read_ratio(text)) is not None:
                yield (arm.name, metric.name, bound), ratio


def _list_costs(arm: ExperimentArmStatus) -> Iterator[tuple[Pair, float]]:
    if arm.cost is None:
        return
    excess = {
        "requests": arm.cost.requests_difference_percent,
        "tokens": arm.cost.tokens_difference_percent,
    }
    for per, text in excess.items():
        if (ratio := _read_ratio(text)) is not None:
            yield (arm.name, per), ratio


def _read_ratio(percent: str | None) -> float | None:
    """Return percents or points as a part of 1; None where there are none, or none that can be read.

    >>> [_read_ratio(text) for text in ("-5.3", "+100.0", None, "x", "NaN")]
    [-0.053, 1.0, None, None, None]
    """
    try:
        found = float(Decimal(percent or "") / _PERCENT)
    except ArithmeticError:
        return None
    return found if math.isfinite(found) else None
