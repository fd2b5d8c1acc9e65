"""The rows of `/stats`: what counts, strata and groups of users may be. Each raises a ValueError for what is none."""

from collections.abc import Mapping
from typing import Any

from llmdeployment_operator.analysis.counts import GROUPS, UNKNOWN, CountKey, Counts

THOUSANDTHS = 1000
"""Parts of what may be bad in part."""
_MOST = 10**15
"""More tokens than a replica makes in a lifetime."""


def name_groups(metric: str, groups: Mapping[int, Counts]) -> dict[CountKey, Counts]:
    """Return counts by group under the keys of a metric."""
    return {CountKey(metric, UNKNOWN, group): counts for group, counts in groups.items()}


def require_rows(rows: object) -> list[Any]:
    """Return the rows of `byUser` if there may be so many, each of another group."""
    if not isinstance(rows, list) or len(rows) > GROUPS:
        raise ValueError(f"byUser is no list of at most {GROUPS} groups of users")
    if len({group for group, *_ in rows}) < len(rows):
        raise ValueError("a group of users is there twice")
    return rows


def fill_groups(groups: Mapping[int, Counts], whole: Counts) -> dict[int, Counts]:
    """Return counts of all groups; they may leave out requests, and cannot have more than there were."""
    total = sum(counts.total for counts in groups.values())
    bad = sum(counts.bad for counts in groups.values())
    if total > whole.total or bad > whole.bad:
        raise ValueError("the groups of users have more requests than all together")
    return {group: groups.get(group, Counts()) for group in range(GROUPS)}


def name_stratum(below: object) -> str:
    """Return a stratum by the end of its prompt lengths."""
    if below == "+Inf" or (isinstance(below, int) and 0 < below < 10**9):
        return str(below)
    raise ValueError(f"{below!r} is not a prompt's length")


def require_group(value: object) -> int:
    """Return a number that is a group of users."""
    if not 0 <= (group := require_count(value)) < GROUPS:
        raise ValueError(f"{value!r} is not a group of users")
    return group


def require_natural(value: object) -> int:
    """Return a number that is one of requests or tokens."""
    found = require_count(value)
    if not 0 <= found < _MOST:
        raise ValueError(f"{value!r} is not a number of requests or tokens")
    return found


def require_count(value: object) -> int:
    """Return an integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a count")
    return value
