"""What a replica's `/stats` say of its request log."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmdeployment_operator.plan.observed.stats_rows import require_natural

DROP_REASONS = frozenset({"queue", "full", "missing", "failed", "collector"})


@dataclass(frozen=True)
class RequestLogReport:
    """Lines since the replica began.

    Attributes:
        written: those that were written.
        dropped: those that were not.
        failing: why lines were dropped in the last minutes; empty if none was.
    """

    written: int
    dropped: int
    failing: str = ""


def read_request_log(stats: Mapping[str, Any]) -> RequestLogReport | None:
    """Return what a replica says of its request log; None if it has none, or if it is not what it should be.

    >>> read_request_log({"requestLog": {"written": 7, "dropped": {"full": 2}, "failing": "full"}})
    RequestLogReport(written=7, dropped=2, failing='full')
    >>> read_request_log({}), read_request_log({"requestLog": {"written": 7, "dropped": {}, "failing": "why"}})
    (None, None)
    """
    try:
        row = stats["requestLog"]
        failing = row.get("failing", "")
        if failing and failing not in DROP_REASONS:
            return None
        dropped = sum(require_natural(count) for count in row["dropped"].values())
        return RequestLogReport(require_natural(row["written"]), dropped, failing)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
