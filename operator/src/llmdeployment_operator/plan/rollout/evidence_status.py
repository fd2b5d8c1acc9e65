"""The evidence by group of users and by minute as status holds it: short text, since there are many numbers.

Text that cannot be read says nothing: the comparison then takes longer.
"""

import math
from collections.abc import Mapping
from contextlib import suppress

from llmdeployment_operator.analysis.counts import GROUPS, CountKey, Counts
from llmdeployment_operator.analysis.design_effect import Minutes
from llmdeployment_operator.analysis.e_values import Stratum
from llmdeployment_operator.api.analysis_status import MinutesStatus


def format_groups(counts: Mapping[CountKey, Stratum], metric: str) -> str | None:
    """Return a metric's counts by group of users, or None where nobody counts so.

    >>> format_groups({CountKey("ttft>1ms", group=7): Stratum(Counts(40, 2), Counts(3, 1))}, "ttft>1ms")
    '7:40,2,3,1'
    """
    rows = (
        f"{key.group}:{_format_counts(seen)}"
        for key, seen in counts.items()
        if key.metric == metric and key.group is not None
    )
    return " ".join(rows) or None


def parse_groups(metric: str, text: str | None) -> dict[CountKey, Stratum]:
    """Return a metric's counts by group of users.

    >>> parse_groups("ttft>1ms", "7:40,2,3,1 99:1,1,1,1 8:1,2,3,4 x")
    {CountKey(metric='ttft>1ms', stratum='', group=7): Stratum(stable=Counts(total=40, bad=2), canary=Counts(total=3, bad=1), \
before=Counts(total=0, bad=0))}
    """
    found = {}
    for row in (text or "").split():
        with suppress(ValueError):
            group, _, numbers = row.partition(":")
            if 0 <= int(group) < GROUPS:
                found[CountKey(metric, group=int(group))] = _parse_counts(numbers)
    return found


def build_minutes(minutes: Minutes | None) -> MinutesStatus | None:
    """Return the sums over minutes as status holds them."""
    if minutes is None:
        return None
    sums = (
        minutes.requests,
        minutes.difference,
        minutes.square,
        minutes.square_difference,
        minutes.square_difference_square,
    )
    return MinutesStatus(
        number=minutes.number,
        sums=",".join(f"{value:.9g}" for value in sums),
        minute=minutes.minute,
        current=_format_counts(minutes.current),
    )


def read_minutes(row: MinutesStatus) -> Minutes:
    """Return the sums over minutes; none if they cannot be read."""
    try:
        requests, difference, square, square_difference, last = map(float, row.sums.split(","))
        current = _parse_counts(row.current)
        if not math.isfinite(requests + square + last):
            return Minutes()
    except ValueError:
        return Minutes()
    return Minutes(
        max(0, row.number),
        requests,
        difference,
        square,
        square_difference,
        last,
        max(0, row.minute),
        current,
    )


def _format_counts(seen: Stratum) -> str:
    numbers = seen.stable.total, seen.stable.bad, seen.canary.total, seen.canary.bad
    return ",".join(str(int(number)) for number in numbers)


def _parse_counts(text: str) -> Stratum:
    stable, stable_bad, canary, canary_bad = map(int, text.split(","))
    return Stratum(Counts(stable, stable_bad), Counts(canary, canary_bad))
