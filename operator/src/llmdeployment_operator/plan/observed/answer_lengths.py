"""The lengths of answers in `/stats`, for a comparison of costs (`analysis.cost_ratio`)."""

import math
import operator
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from llmdeployment_operator.analysis.counts import (
    COST_TOKENS,
    STRATA,
    CountKey,
    Counts,
    format_metric_key,
)
from llmdeployment_operator.api.rollout import MetricSpec
from llmdeployment_operator.plan.observed.stats_rows import (
    THOUSANDTHS,
    fill_groups,
    name_groups,
    name_stratum,
    require_group,
    require_rows,
)


def read_lengths(histogram: Mapping[str, Any], metric: MetricSpec) -> dict[CountKey, Counts]:
    """Return answers, and their tokens as parts of the most that one counts as, in whole answers.

    An answer counts as the middle of its bucket. Status has whole numbers: a sum that only grows, rounded down, is wrong by less than
    one answer at any time.
    """
    most, name = metric.tokens or COST_TOKENS, format_metric_key(metric)
    bounds = [math.inf if bound == "+Inf" else bound for bound, _ in histogram["buckets"]]
    middles = [(low + high) / 2 for low, high in zip([0, *bounds], bounds, strict=False)]
    parts = [
        round(THOUSANDTHS * middle / most) if high <= most else THOUSANDTHS
        for middle, high in zip(middles, bounds, strict=True)
    ]

    def weigh(counts: Sequence[int]) -> Counts:
        if len(counts) != len(parts):
            raise ValueError("the rows do not fit the histogram")
        # Many thousand numbers at each look, so not one by one; True is no int here.
        if set(map(type, counts)) != {int} or min(counts) < 0:
            raise ValueError("a row has what is no count")
        return Counts(sum(counts), sum(map(operator.mul, counts, parts)) // THOUSANDTHS)

    strata = histogram.get("byPromptBytes")
    cumulative = [0, *(count for _, count in histogram["buckets"])]
    everything = weigh([after - before for before, after in pairwise(cumulative)])
    if strata is None:
        found = {CountKey(name): everything}
    elif len(strata) < STRATA:
        found = {CountKey(name, name_stratum(below)): weigh(counts) for below, counts in strata}
    else:
        raise ValueError("the strata do not fit the histogram")
    if "byUser" not in histogram:
        return found
    rows = require_rows(histogram["byUser"])
    groups = fill_groups(
        {require_group(group): weigh(counts) for group, counts in rows}, everything
    )
    return found | name_groups(name, groups)
