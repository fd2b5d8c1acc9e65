"""`status.revisions[].shares`: what recent answers of a revision are like.

Written when a rounded figure changes, and at most once a minute: the share of a busy revision changes with every answer.
"""

from datetime import datetime

from llmdeployment_operator.analysis.counts import Counts
from llmdeployment_operator.analysis.drift import add
from llmdeployment_operator.api.drift_status import MOST_SHARES, ShareStatus
from llmdeployment_operator.api.status import RevisionStatus
from llmdeployment_operator.plan.base.conditions import format_time
from llmdeployment_operator.plan.base.pods import read_time
from llmdeployment_operator.plan.observed.cluster_state import ClusterState

WRITE_SECONDS = 60.0

Shares = tuple[tuple[ShareStatus, ...], str | None]
"""The rows, and when they were written."""


def build_shares(
    cluster: ClusterState, number: int, before: RevisionStatus | None, now: datetime
) -> Shares:
    """Return the shares of a revision, as they were written before unless there is something new to write."""
    known: Shares = (before.shares, before.shares_at) if before is not None else ((), None)
    found = cluster.recent.get(number)
    if found is None or not _is_due(known[1], now):
        return known
    totals: dict[str, Counts] = {}
    for key, counts in found.items():
        if key.group is None:
            totals[key.metric] = add(totals.get(key.metric, Counts()), counts)
    rows = tuple(_build_row(name, counts) for name, counts in totals.items())[:MOST_SHARES]
    if [_get_figure(row) for row in rows] == [_get_figure(row) for row in known[0]]:
        return known
    return rows, format_time(now)


def _is_due(written: str | None, now: datetime) -> bool:
    at = read_time(written)
    # A clock that was put back must not stop the writing.
    return at is None or not 0 <= (now - at).total_seconds() < WRITE_SECONDS


def _get_figure(row: ShareStatus) -> tuple[str, str | None]:
    return row.name, row.percent


def _build_row(name: str, counts: Counts) -> ShareStatus:
    """Return the row of a share.

    >>> _build_row("refusal", Counts(1234, 15))
    ShareStatus(name='refusal', answers=1234, percent='1.2')
    >>> _build_row("refusal", Counts()).percent
    """
    percent = f"{100 * counts.bad / counts.total:.1f}" if counts.total else None
    return ShareStatus(name=name, answers=int(counts.total), percent=percent)
