"""What an analysis compares: requests and how many of them were bad.

Counted by revision, metric and stratum; the strata are the replicas' buckets of prompt lengths. A gateway, and a replica of an older
image, knows none: its counts are of the stratum UNKNOWN. Beside them stand counts by group of users, over all prompt lengths.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from llmdeployment_operator.api.rollout import MetricSpec

UNKNOWN = ""
"""The stratum of requests whose prompt length nobody counted."""

STRATA = 8
"""How many there may be of a metric, UNKNOWN among them: status has room for no more."""

BUCKETS, GROUPS = 10_000, 64
"""How many buckets users are assigned to, and how many groups of users are counted: a user's group is his bucket modulo GROUPS."""

BOUNDED_GROUPS, USER_BOUND = 16, 20
"""Groups of users of the bounded sample (`name_bounded`), and about how many requests of a user in ten minutes it has."""

ERRORS, LENGTH, FEEDBACK, COST = "errorRate", "outputTokens", "feedback", "cost"

FROM_GATEWAYS = frozenset({ERRORS, FEEDBACK})
"""Metrics that gateways count; replicas count all others."""

COST_TOKENS = 1000
"""As how many tokens a longer answer counts in a comparison of costs, unless the spec says."""

CACHED = "cachedPromptTokens"
"""Not a metric, but counted like one: prompt tokens, and those of them that were in the prefix cache."""


@dataclass(frozen=True)
class Counts:
    """How many requests there were and how many of them were bad; fractions are for counts that are only expected.

    Raises:
        ValueError: unless 0 <= bad <= total, naming the field.
    """

    total: float = 0
    bad: float = 0

    def __post_init__(self) -> None:
        if not 0 <= self.total < math.inf:
            raise ValueError(f"total: {self.total} is not a number of requests")
        if not 0 <= self.bad <= self.total:
            raise ValueError(f"bad: {self.bad} is not a part of {self.total} requests")


class CountKey(NamedTuple):
    """What is counted: a metric's name with its threshold, and where the stratum's prompts end, in bytes.

    Or a group of users, 0 to GROUPS - 1: its counts are of all strata together. None is the whole stratum.
    """

    metric: str
    stratum: str = UNKNOWN
    group: int | None = None


class DesignEffect(NamedTuple):
    """By how much the requests of each revision count less than independent ones: 1 or more (`design_effect`)."""

    stable: float = 1.0
    canary: float = 1.0


RevisionCounts = dict[int, dict[CountKey, Counts]]
"""Counts by revision; cumulative since whoever counts began, or differences of such."""


def format_metric_key(metric: MetricSpec) -> str:
    """Return the name under which a metric is counted: another threshold is another metric.

    >>> format_metric_key(MetricSpec(name="ttft", milliseconds=500)), format_metric_key(MetricSpec(name="errorRate"))
    ('ttft>500ms', 'errorRate')
    >>> format_metric_key(MetricSpec(name="outputTokens", tokens=500))
    'outputTokens>500'
    """
    if metric.name == COST:
        return f"{COST}<={metric.tokens or COST_TOKENS}"
    if metric.tokens is not None:
        return f"{metric.name}>{metric.tokens}"
    return metric.name if metric.milliseconds is None else f"{metric.name}>{metric.milliseconds}ms"


def name_bounded(name: str) -> str:
    """Return the name under which a metric is counted in the bounded sample.

    A request is in this sample with the probability min(1, USER_BOUND / N), where N is how many requests its user sent in the last ten
    minutes: who sends much has about USER_BOUND of them in it. Replicas and gateways draw it, of both revisions by the same rule.

    >>> name_bounded("ttft>500ms")
    'ttft>500ms, bounded'
    """
    return f"{name}, bounded"
