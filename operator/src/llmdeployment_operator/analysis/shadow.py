"""Whether a canary answers live requests as the revision that serves does: both answered the same ones, greedily.

The agreement of two answers is that of their words in order (ROUGE-L; serving's `agreement.py` has the equation). A share of answers,
such as refusals, is compared request by request (`paired.py`): of n pairs, b are bad in the canary's answer alone and c in the stable
one's alone. The canary is worse if the evidence that (b-c)/n is above the tolerance is at least K/alpha for one of K shares, so that all
of them together are wrongly found with a probability of at most alpha (Bonferroni).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum

from llmdeployment_operator.analysis.counts import CountKey, Counts, RevisionCounts
from llmdeployment_operator.analysis.paired import ALPHA, Pairs, log_e_fall
from llmdeployment_operator.api.shadow import ShadowSpec

FEWEST = 10
"""Requests of which something is concluded when time is up."""

COMPARED, FAILED, AGREEMENT = "shadow/compared", "shadow/failed", "shadow/agreement"
SKIPPED, EXCLUDED, SHARE = "shadow/skipped", "shadow/excluded", "shadow/share/"
STABLE, CANARY, BOTH = "/stable", "/canary", "/both"
"""Names under which replicas' counts of shadows are kept, as metrics of the canary; the stratum is the stable revision's number."""


class ShadowResult(StrEnum):
    """How a shadow stands."""

    RUNNING = "Running"
    PASSED = "Passed"
    REFUSED = "Refused"
    TIMED_OUT = "TimedOut"


@dataclass(frozen=True)
class PairedShare:
    """Pairs of answers that a share was asked of, and in how many the stable answer, the canary's and both were bad."""

    total: int = 0
    stable_bad: int = 0
    canary_bad: int = 0
    both_bad: int = 0

    @property
    def pairs(self) -> Pairs:
        """The pairs as `paired` has them, a lost one being one that only the canary answers badly."""
        lost = max(0, self.canary_bad - self.both_bad)
        won = max(0, self.stable_bad - self.both_bad)
        return Pairs(max(1, self.total, lost + won), lost, won)


@dataclass(frozen=True)
class ShadowCounts:
    """What replicas counted of a canary's shadow.

    Attributes:
        compared: requests that both revisions answered.
        failed: requests that the canary did not answer and the stable revision did.
        skipped: sampled requests that were dropped.
        excluded: sampled requests of a kind that is not shadowed.
        identical: compared answers with the same text.
        agreement: sum of the agreements of compared answers, in thousandths.
        shares: how often answers were bad.
    """

    compared: int = 0
    failed: int = 0
    skipped: int = 0
    excluded: int = 0
    identical: int = 0
    agreement: int = 0
    shares: Mapping[str, PairedShare] = field(default_factory=dict)

    @property
    def known(self) -> int:
        """Requests of which something is known."""
        return self.compared + self.failed

    @property
    def agreement_percent(self) -> float:
        """The mean agreement; 100 of nothing.

        >>> ShadowCounts(compared=2, agreement=667 + 1000).agreement_percent
        83.35
        """
        return self.agreement / (10 * self.compared) if self.compared else 100.0


def collect_shadow(
    counts: ShadowCounts, fresh: RevisionCounts, stable: int, canary: int
) -> ShadowCounts:
    """Return the counts with those that replicas have added of this pair of revisions."""
    stratum = str(stable)
    new = {k.metric: c for k, c in fresh.get(canary, {}).items() if k.stratum == stratum}
    if not new:
        return counts
    none = Counts()
    more = {
        "compared": new.get(COMPARED, none).total,
        "identical": new.get(COMPARED, none).bad,
        "failed": new.get(FAILED, none).bad,
        "agreement": new.get(AGREEMENT, none).bad,
        "skipped": new.get(SKIPPED, none).total,
        "excluded": new.get(EXCLUDED, none).total,
    }
    sums = {name: getattr(counts, name) + int(count) for name, count in more.items()}
    return replace(counts, **sums, shares=_add_shares(counts.shares, new))


def _add_shares(
    shares: Mapping[str, PairedShare], new: Mapping[str, Counts]
) -> dict[str, PairedShare]:
    found = dict(shares)
    for metric, stable in new.items():
        if not (metric.startswith(SHARE) and metric.endswith(STABLE)):
            continue
        name = metric.removeprefix(SHARE).removesuffix(STABLE)
        canary, both = (new.get(SHARE + name + side, Counts()).bad for side in (CANARY, BOTH))
        row = PairedShare(int(stable.total), int(stable.bad), int(canary), int(both))
        found[name] = _add(found.get(name, PairedShare()), row)
    return found


def _add(one: PairedShare, other: PairedShare) -> PairedShare:
    return PairedShare(
        *(getattr(one, f.name) + getattr(other, f.name) for f in fields(PairedShare))
    )


def name_counts(counts: ShadowCounts, stable: int) -> dict[CountKey, Counts]:
    """Return counts as metrics, each with a part that is bad, so that differences are taken as of all others.

    Raises:
        ValueError: the numbers are impossible.
    """
    found = {
        COMPARED: Counts(counts.compared, counts.identical),
        FAILED: Counts(counts.known, counts.failed),
        AGREEMENT: Counts(1000 * counts.compared, counts.agreement),
        SKIPPED: Counts(counts.skipped),
        EXCLUDED: Counts(counts.excluded),
    }
    for name, row in counts.shares.items():
        found[SHARE + name + STABLE] = Counts(row.total, row.stable_bad)
        found[SHARE + name + CANARY] = Counts(row.total, row.canary_bad)
        found[SHARE + name + BOTH] = Counts(row.total, row.both_bad)
    return {CountKey(name, str(stable)): each for name, each in found.items()}


def judge_shadow(
    policy: ShadowSpec, counts: ShadowCounts, stable: int, seconds: float
) -> tuple[ShadowResult, str]:
    """Return how a shadow stands, and why, in whole sentences.

    Args:
        policy: `spec.rollout.shadow`.
        counts: what was compared.
        stable: the stable revision's number, for people.
        seconds: how long it has run; after `timeoutSeconds`, what there is has to do.
    """
    told = describe_shadow(policy, counts)
    if counts.known < policy.requests and seconds < policy.timeout_seconds:
        return ShadowResult.RUNNING, told
    if counts.known < FEWEST:
        return ShadowResult.TIMED_OUT, (
            f"{told} These are too few to say anything, and spec.rollout.shadow.timeoutSeconds are over."
        )
    why = _explain_refusal(policy, counts, stable)
    return (ShadowResult.REFUSED, why) if why else (ShadowResult.PASSED, told)


def describe_shadow(policy: ShadowSpec, counts: ShadowCounts) -> str:
    """Return how far a shadow is, for people.

    >>> describe_shadow(ShadowSpec(min_agreement_percent=80), ShadowCounts(compared=3, agreement=2790, identical=1, failed=1, skipped=20))
    'Shadow: 4 of 200 requests, agreement 93.0 % (1 identical), 1 failed, 20 skipped.'
    """
    parts = [f"Shadow: {counts.known} of {policy.requests} requests"]
    if counts.compared:
        same = f" ({counts.identical} identical)" if counts.identical else ""
        parts.append(f"agreement {counts.agreement_percent:.1f} %{same}")
    others = {"failed": counts.failed, "skipped": counts.skipped, "excluded": counts.excluded}
    parts += [f"{count} {name}" for name, count in others.items() if count]
    return f"{', '.join(parts)}."


def _explain_refusal(policy: ShadowSpec, counts: ShadowCounts, stable: int) -> str:
    """Return why a canary is not good enough, or nothing."""
    most = policy.max_failed_percent
    if 100 * counts.failed > most * counts.known:
        share = 100 * counts.failed / counts.known
        return (
            f"It failed {counts.failed} of {counts.known} live requests that it was asked too ({share:.1f} %), and revision {stable} "
            f"did not. At most {most} % may fail (spec.rollout.shadow.maxFailedPercent)."
        )
    if counts.agreement < 10 * policy.min_agreement_percent * counts.compared:
        return (
            f"Its answers to {counts.compared} live requests agree with those of revision {stable} by {counts.agreement_percent:.1f} %, "
            f"and {counts.identical} are identical. "
            f"It needs {policy.min_agreement_percent} % (spec.rollout.shadow.minAgreementPercent)."
        )
    limit = math.log(max(1, len(counts.shares)) / ALPHA)
    for name, row in sorted(counts.shares.items()):
        if log_e_fall(row.pairs, policy.tolerance_percent / 100) >= limit:
            return (
                f"Share {name}: {row.canary_bad} of its answers to {row.total} live requests, and {row.stable_bad} of revision {stable}. "
                f"At most {policy.tolerance_percent} points more are allowed (spec.rollout.shadow.tolerancePercent)."
            )
    return ""
