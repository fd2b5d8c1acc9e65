"""One point in time of an LLMDeployment: rates and latencies since the point before, replicas, and what the comparison says.

A point is a JSON object of numbers: seconds, requests per second, shares from 0 to 1, or null for what nobody counted.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llmdeployment_operator.analysis.comparison import compare
from llmdeployment_operator.analysis.sequential_test import MetricFinding
from llmdeployment_operator.api.rollout import RolloutSpec
from llmdeployment_operator.api.status import ArmStatus, Status
from llmdeployment_operator.autoscaler.types import BOUNDS
from llmdeployment_operator.plan.observed.live_counters import (
    LiveCounters,
    RevisionCounters,
    subtract,
)
from llmdeployment_operator.plan.rollout.analysis_status import read_analysis

Point = dict[str, Any]

REVISIONS, METRICS = 8, 16
"""How many revisions and metrics a point has at most: of more revisions, the newest."""

_MOST_SECONDS = 900.0
"""A rate over a longer time says little of now."""


def build_point(
    counters: LiveCounters,
    before: LiveCounters | None,
    seconds: float,
    rollout: RolloutSpec,
    status: Status,
) -> Point:
    """Return the point of now, without its time.

    Args:
        counters: what pods count now.
        before: what they counted at the point before; None if there is none.
        seconds: between the two.
        rollout: how canary and stable revision are compared.
        status: as this pass reports it.
    """
    known = before is not None and 0 < seconds <= _MOST_SECONDS
    fresh = subtract(counters, before) if known and before is not None else {}
    requests = sum(each.requests for each in fresh.values())
    return {
        "requestsPerSecond": requests / seconds if known and counters.pods else None,
        "ttftP90": find_percentile(_sum_histograms(fresh.values()), 90),
        "waiting": counters.waiting,
        "replicas": {"ready": status.ready_replicas, "desired": status.replicas},
        "revisions": {
            str(number): _describe_revision(fresh[number], seconds)
            for number in sorted(fresh)[-REVISIONS:]
        },
        "analysis": build_analysis_point(rollout, status),
    }


def count_desired(status: Status) -> int:
    """Return how many replicas should exist; revisions of one runtime share its pods."""
    return sum({row.runtime: row.replicas for row in status.revisions}.values())


def build_analysis_point(rollout: RolloutSpec, status: Status) -> dict[str, Any]:
    """Return what each metric says of the first arm's canary that is compared; nothing if none is."""
    arm = next((arm for arm in status.arms if arm.canary is not None and arm.analysis), None)
    if arm is None or arm.analysis is None or rollout.analysis is None:
        return {}
    return {
        finding.name: {
            "requests": finding.requests,
            "users": arm.analysis.canary_users,
            "difference": finding.effect,
            "low": finding.low,
            "high": finding.high,
            "tolerance": tolerance,
        }
        for finding, tolerance in find_differences(rollout, arm)[:METRICS]
    }


def find_differences(rollout: RolloutSpec, arm: ArmStatus) -> list[tuple[MetricFinding, float]]:
    """Return each metric's difference of canary and stable revision with its interval, and its tolerance.

    Computed from the counts in status by the code that decides. Nothing where there is nothing that can be read.
    """
    if rollout.analysis is None or arm.analysis is None:
        return []
    try:
        evidence = read_analysis(arm.analysis)
        verdict, _ = compare(rollout.analysis, evidence, max(1, len(rollout.steps)))
    except ValueError:
        return []
    limits = [metric.tolerance for metric in rollout.analysis.metrics]
    return list(zip(verdict.findings, limits, strict=True))


def find_percentile(cumulative: Sequence[int], percent: float) -> float | None:
    """Return a percentile of a histogram in seconds, linear within its bucket; None without values.

    In a bucket from a to b that begins at rank r and has n values, the value of rank k is a + (b - a) (k - r) / n.
    Beyond the last bound it is the last bound.

    >>> counts = [0] * 12 + [10] * 24 + [10]  # ten values between 0.075 s and 0.1 s
    >>> round(find_percentile(counts, 50), 4), find_percentile([0] * 37, 50)
    (0.0875, None)
    """
    if not cumulative or not cumulative[-1]:
        return None
    rank = cumulative[-1] * percent / 100
    place = next(i for i, count in enumerate(cumulative) if count >= rank)
    if place >= len(BOUNDS):
        return BOUNDS[-1]
    low, below = (BOUNDS[place - 1], cumulative[place - 1]) if place else (0.0, 0)
    inside = cumulative[place] - below
    return low + (BOUNDS[place] - low) * (rank - below) / inside


def _describe_revision(fresh: RevisionCounters, seconds: float) -> dict[str, float | None]:
    return {
        "ttftP50": find_percentile(fresh.ttft, 50),
        "ttftP90": find_percentile(fresh.ttft, 90),
        "requestsPerSecond": fresh.requests / seconds,
        "errorRatio": fresh.errors / fresh.requests if fresh.requests else None,
        "outputTokensPerSecond": fresh.output_tokens / seconds if fresh.ttft else None,
    }


def _sum_histograms(rows: Iterable[RevisionCounters]) -> tuple[int, ...]:
    found = [row.ttft for row in rows if row.ttft]
    return tuple(map(sum, zip(*found, strict=True)))


def describe_minutes(points: Iterable[tuple[float, Mapping[str, Any]]], now: float) -> list[Any]:
    """Return the median of the points' `ttftP90` in each of the last 60 minutes, the newest last; None where there is none.

    >>> describe_minutes([(3590.0, {"ttftP90": 0.4}), (3595.0, {"ttftP90": 0.5})], 3600.0)[-2:]
    [None, 0.5]
    """
    minutes: list[list[float]] = [[] for _ in range(60)]
    for at, point in points:
        back = int((now - at) // 60)
        if 0 <= back < len(minutes) and point["ttftP90"] is not None:
            minutes[-1 - back].append(point["ttftP90"])
    return [sorted(each)[len(each) // 2] if each else None for each in minutes]
