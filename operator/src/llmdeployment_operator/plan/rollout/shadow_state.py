"""What a rollout remembers of its canary's shadow: `status.arms[].shadow`."""

from dataclasses import dataclass, field
from datetime import datetime

from llmdeployment_operator.analysis.shadow import PairedShare, ShadowCounts, ShadowResult
from llmdeployment_operator.api.shadow_status import (
    MOST_SHARES,
    ShadowShareStatus,
    ShadowStatus,
)
from llmdeployment_operator.plan.base.conditions import format_time


@dataclass(frozen=True)
class Shadow:
    """A shadow: when it began, what was counted, how it stands and why."""

    started_at: datetime
    counts: ShadowCounts = field(default_factory=ShadowCounts)
    result: ShadowResult = ShadowResult.RUNNING
    message: str = ""


def build_shadow_status(shadow: Shadow) -> ShadowStatus:
    """Return a shadow as status has it."""
    counts = shadow.counts
    rows = (
        ShadowShareStatus(
            name=name,
            total=row.total,
            stable_bad=row.stable_bad,
            canary_bad=row.canary_bad,
            both_bad=row.both_bad,
        )
        for name, row in sorted(counts.shares.items())[:MOST_SHARES]
    )
    return ShadowStatus(
        started_at=format_time(shadow.started_at),
        result=shadow.result.value,
        compared=counts.compared,
        failed=counts.failed,
        skipped=counts.skipped,
        excluded=counts.excluded,
        identical=counts.identical,
        agreement_thousandths=counts.agreement,
        shares=tuple(rows),
        message=shadow.message,
    )


def read_shadow(row: ShadowStatus) -> Shadow:
    """Return the shadow of a row.

    Raises:
        ValueError: it holds what is no time or no result.
    """
    began = datetime.fromisoformat(row.started_at)
    if began.tzinfo is None:
        raise ValueError(f"{row.started_at} names no time zone")
    shares = {
        each.name: PairedShare(each.total, each.stable_bad, each.canary_bad, each.both_bad)
        for each in row.shares
    }
    counts = ShadowCounts(
        row.compared,
        row.failed,
        row.skipped,
        row.excluded,
        row.identical,
        row.agreement_thousandths,
        shares,
    )
    return Shadow(began, counts, ShadowResult(row.result), row.message)
