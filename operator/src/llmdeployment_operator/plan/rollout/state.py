"""What a rollout has to remember between passes: one entry of `status.arms`.

Read leniently: a status that was lost or written by another version costs a rollout its place among the steps, never the traffic, which
is in the routes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from llmdeployment_operator.analysis.comparison import Analysis
from llmdeployment_operator.analysis.counts import CACHED, STRATA, UNKNOWN, CountKey, Counts
from llmdeployment_operator.analysis.sequential_test import Result, Stratum
from llmdeployment_operator.plan.base.conditions import format_time

_MESSAGE, _METRICS = 1024, 16
"""What the status has room for: longer ones would be refused as a whole."""


@dataclass(frozen=True)
class WarmRevision:
    """A revision whose replicas stay although it has no traffic any more."""

    revision: int
    until: datetime


@dataclass(frozen=True)
class Rejection:
    """A revision that was rolled back, after which attempt, when and why."""

    revision: int
    attempt: int
    at: datetime
    message: str

    def stands(self, target: int, retry: int | None) -> bool:
        """Say whether a revision is still rolled back: not once somebody asked to try it again after this attempt."""
        return self.revision == target and retry != self.attempt


@dataclass(frozen=True)
class RolloutState:
    """How far an arm's rollout is.

    Attributes:
        stable: the revision that served when this was written.
        canary: the revision on its way, or on its way back.
        step: index of the canary's step, the first one being 0.
        since: when every gateway had the step's weight.
        weight: percent the canary had when it last moved.
        ready: replicas the canary had at most.
        progress_at: when step, weight or ready last grew; None once the canary is taken back.
        attempt: how often the canary was begun.
        rejected: the last revision that was rolled back.
        warm: revisions kept warm.
        analysis: what was counted of stable and canary in this step.
    """

    stable: int | None = None
    canary: int | None = None
    step: int = 0
    since: datetime | None = None
    weight: int = 0
    ready: int = 0
    progress_at: datetime | None = None
    attempt: int = 1
    rejected: Rejection | None = None
    warm: tuple[WarmRevision, ...] = ()
    analysis: Analysis | None = None

    def of_canary(self, target: int, now: datetime) -> "RolloutState":
        """Return the memory of this canary's rollout: as it is, or a new one's."""
        if self.canary == target and not self.leaving:
            return self
        again = self.rejected is not None and self.rejected.revision == target
        attempt = self.rejected.attempt + 1 if again and self.rejected is not None else 1
        return RolloutState(
            stable=self.stable,
            canary=target,
            progress_at=now,
            attempt=attempt,
            rejected=self.rejected,
            warm=self.warm,
        )

    def taken_back(self, canary: int, weight: int) -> "RolloutState":
        """Return the memory while a canary gives back what it has: nothing of its steps, so that another try begins anew."""
        kept = self.without_canary()
        return replace(kept, canary=canary, weight=weight, attempt=self.attempt, warm=())

    @property
    def leaving(self) -> bool:
        """Whether the canary is being taken back."""
        return self.canary is not None and self.progress_at is None

    def progressed(self, step: int, weight: int, ready: int, now: datetime) -> "RolloutState":
        """Return the memory with what grew since, and when."""
        if (step, weight) == (self.step, self.weight) and ready <= self.ready:
            return self
        moved = replace(self, step=step, weight=weight, ready=ready, progress_at=now)
        return moved if step == self.step else replace(moved, since=None, analysis=None)

    def without_canary(self) -> "RolloutState":
        """Return what stays when no rollout is under way."""
        return RolloutState(stable=self.stable, rejected=self.rejected, warm=self.warm)

    def cooled(self, window: timedelta, now: datetime) -> "RolloutState":
        """Return the memory without what is warm no more; a window that was made shorter is kept to."""
        left = (WarmRevision(warm.revision, min(warm.until, now + window)) for warm in self.warm)
        return replace(self, warm=tuple(warm for warm in left if warm.until > now))

    @property
    def next_expiry(self) -> datetime | None:
        """When the next warm revision cools down."""
        return min((warm.until for warm in self.warm), default=None)


def read_rollout_state(status: Mapping[str, Any], arm: str) -> RolloutState:
    """Return what a status remembers of an arm; nothing when there is no entry, or none that can be read."""
    rows = status.get("arms") or []
    row = next((row for row in rows if row.get("name") == arm), None)
    if row is None:
        return RolloutState()
    try:
        rejected = row.get("rejected")
        return RolloutState(
            stable=row.get("stable"),
            canary=row.get("canary"),
            step=int(row.get("step", 1)) - 1,
            since=_read_time(row.get("stepStartedAt")),
            weight=int(row.get("canaryWeight", 0)),
            ready=int(row.get("canaryReady", 0)),
            progress_at=_read_time(row.get("progressAt")),
            attempt=int(row.get("attempt", 1)),
            rejected=Rejection(
                rejected["revision"],
                rejected["attempt"],
                _parse_instant(rejected["at"]),
                rejected["message"],
            )
            if rejected
            else None,
            warm=tuple(
                WarmRevision(warm["revision"], _parse_instant(warm["until"]))
                for warm in row.get("warm", [])
            ),
            analysis=_read_analysis(row["analysis"]) if "analysis" in row else None,
        )
    except (KeyError, TypeError, ValueError):
        return RolloutState(stable=row.get("stable"))


def format_rollout_state(state: RolloutState, arm: str, percent: int = 100) -> dict[str, Any]:
    """Return the entry of `status.arms` of an arm with this share of the requests; the step counts from 1, as people do."""
    row: dict[str, Any] = {"name": arm, "weight": percent, "stable": state.stable}
    if state.canary is not None:
        row |= {
            "canary": state.canary,
            "canaryWeight": state.weight,
            "attempt": state.attempt,
        }
    if state.canary is not None and not state.leaving:
        row |= {
            "canaryReady": state.ready,
            "step": state.step + 1,
            "stepStartedAt": _format_time(state.since),
            "progressAt": _format_time(state.progress_at),
        }
    if state.analysis is not None:
        row["analysis"] = _format_analysis(state.analysis)
    if state.rejected is not None:
        gone = state.rejected
        row["rejected"] = {
            "revision": gone.revision,
            "attempt": gone.attempt,
            "at": format_time(gone.at),
            "message": gone.message[:_MESSAGE],
        }
    if state.warm:
        row["warm"] = [{"revision": w.revision, "until": format_time(w.until)} for w in state.warm]
    return {key: value for key, value in row.items() if value is not None}


def _format_analysis(analysis: Analysis) -> dict[str, Any]:
    names = [
        name for name in dict.fromkeys(key.metric for key in analysis.counts) if name != CACHED
    ]
    row = {
        "result": analysis.result.value,
        "message": analysis.message[:_MESSAGE],
        "requestsLeft": analysis.requests_left,
        "metrics": [_format_metric(analysis, name) for name in names[-_METRICS:]],
        "promptTokens": _format_cache(analysis.counts.get(CountKey(CACHED))),
    }
    return {key: value for key, value in row.items() if value is not None}


def _format_metric(analysis: Analysis, name: str) -> dict[str, Any]:
    strata = [(key.stratum, seen) for key, seen in analysis.counts.items() if key.metric == name]
    strata = strata[-STRATA:]
    rows = [(stratum, _format_stratum(seen)) for stratum, seen in strata]
    total = {field: sum(row[field] for _, row in rows) for field in _format_stratum(_EMPTY)}
    if [stratum for stratum, _ in rows] == [UNKNOWN]:
        return {"name": name, **total}
    return {
        "name": name,
        **total,
        "strata": [{"promptBytes": stratum, **row} for stratum, row in rows],
    }


_EMPTY = Stratum(Counts(), Counts())


def _format_stratum(seen: Stratum) -> dict[str, int]:
    return {
        "stable": int(seen.stable.total),
        "stableBad": int(seen.stable.bad),
        "canary": int(seen.canary.total),
        "canaryBad": int(seen.canary.bad),
    }


def _format_cache(seen: Stratum | None) -> dict[str, int] | None:
    if seen is None:
        return None
    return {
        "stable": int(seen.stable.total),
        "stableCached": int(seen.stable.bad),
        "canary": int(seen.canary.total),
        "canaryCached": int(seen.canary.bad),
    }


def _read_analysis(row: Mapping[str, Any]) -> Analysis:
    counts: dict[CountKey, Stratum] = {}
    for metric in row.get("metrics", []):
        # A status of before there were strata has the sums alone.
        for seen in metric.get("strata") or [metric]:
            key = CountKey(metric["name"], seen.get("promptBytes", UNKNOWN))
            counts[key] = _read_stratum(seen, "Bad")
    if "promptTokens" in row:
        counts[CountKey(CACHED)] = _read_stratum(row["promptTokens"], "Cached")
    left = row.get("requestsLeft")
    return Analysis(counts, Result(row["result"]), row.get("message", ""), left)


def _read_stratum(seen: Mapping[str, Any], part: str) -> Stratum:
    return Stratum(
        Counts(seen["stable"], seen[f"stable{part}"]), Counts(seen["canary"], seen[f"canary{part}"])
    )


def _read_time(text: str | None) -> datetime | None:
    return _parse_instant(text) if text else None


def _parse_instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text} names no time zone")
    return found


def _format_time(time: datetime | None) -> str | None:
    return format_time(time) if time is not None else None
