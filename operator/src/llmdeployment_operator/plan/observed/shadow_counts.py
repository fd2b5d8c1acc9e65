"""What a replica's `/stats` say of shadows."""

from collections.abc import Mapping
from typing import Any

from llmdeployment_operator.analysis.counts import RevisionCounts
from llmdeployment_operator.analysis.shadow import PairedShare, ShadowCounts, name_counts
from llmdeployment_operator.api.shadow_status import MOST_SHARES
from llmdeployment_operator.plan.observed.stats_rows import require_natural


def read_shadow_counts(stats: Mapping[str, Any]) -> RevisionCounts:
    """Return what a replica's `/stats` say of shadows, as counts of each canary; nothing of one that is not what it should be."""
    found: RevisionCounts = {}
    try:
        for row in stats.get("shadows", ()):
            canary = found.setdefault(require_natural(row["revision"]), {})
            canary |= name_counts(_read_shadow(row), require_natural(row["stable"]))
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return {}
    return found


def _read_shadow(row: Mapping[str, Any]) -> ShadowCounts:
    shares = list(row["shares"].items())[:MOST_SHARES]
    return ShadowCounts(
        compared=require_natural(row["compared"]),
        failed=require_natural(row["failed"]),
        skipped=require_natural(row["skipped"]),
        excluded=require_natural(row["excluded"]),
        identical=require_natural(row["identical"]),
        agreement=require_natural(row["agreementThousandths"]),
        shares={str(share)[:64]: _read_paired_share(counts) for share, counts in shares},
    )


def _read_paired_share(row: Mapping[str, Any]) -> PairedShare:
    sides = ("total", "stableBad", "canaryBad", "bothBad")
    total, stable, canary, both = (require_natural(row[side]) for side in sides)
    if both > min(stable, canary):
        raise ValueError("more answers are both bad than one of them")
    return PairedShare(total, stable, canary, both)
