"""What a rollout has to remember between passes: one entry of `status.arms`.

Read leniently: a status that was lost or written by another version costs a rollout its place among the steps, never the traffic, which
is in the routes.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from llmdeployment_operator.analysis.comparison import Analysis
from llmdeployment_operator.api.status import (
    ArmStatus,
    RejectedStatus,
    Status,
    WarmStatus,
)
from llmdeployment_operator.plan.base.conditions import format_time
from llmdeployment_operator.plan.rollout.analysis_status import build_analysis, read_analysis
from llmdeployment_operator.plan.rollout.shadow_state import (
    Shadow,
    build_shadow_status,
    read_shadow,
)


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
        shadow: what the canary answered before its first request.
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
    shadow: Shadow | None = None

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


def read_rollout_state(status: Status, arm: str) -> RolloutState:
    """Return what a status remembers of an arm; nothing when there is no entry, who serves when the rest cannot be read."""
    row = next((row for row in status.arms if row.name == arm), None)
    if row is None:
        return RolloutState()
    if (row.step is None) != (row.progress_at is None):
        # A canary has both, or is leaving and has neither: one of them could not be read.
        return RolloutState(stable=row.stable)
    try:
        return RolloutState(
            stable=row.stable,
            canary=row.canary,
            step=(row.step or 1) - 1,
            since=_read_time(row.step_started_at),
            weight=row.canary_weight or 0,
            ready=row.canary_ready or 0,
            progress_at=_read_time(row.progress_at),
            attempt=row.attempt or 1,
            rejected=_read_rejection(row.rejected) if row.rejected is not None else None,
            warm=tuple(
                WarmRevision(warm.revision, _parse_instant(warm.until)) for warm in row.warm
            ),
            analysis=read_analysis(row.analysis) if row.analysis is not None else None,
            shadow=read_shadow(row.shadow) if row.shadow is not None else None,
        )
    except ValueError:
        return RolloutState(stable=row.stable)


def build_arm_status(state: RolloutState, arm: str, percent: int = 100) -> ArmStatus:
    """Return the entry of `status.arms` of an arm with this share of the requests; the step counts from 1, as people do."""
    canary, gone = state.canary is not None, state.rejected
    coming = canary and not state.leaving
    return ArmStatus(
        name=arm,
        weight=percent,
        stable=state.stable,
        canary=state.canary,
        canary_weight=state.weight if canary else None,
        canary_ready=state.ready if coming else None,
        step=state.step + 1 if coming else None,
        step_started_at=_format_time(state.since) if coming else None,
        progress_at=_format_time(state.progress_at) if coming else None,
        attempt=state.attempt if canary else None,
        rejected=_build_rejected(gone) if gone is not None else None,
        warm=tuple(
            WarmStatus(revision=each.revision, until=format_time(each.until)) for each in state.warm
        ),
        analysis=build_analysis(state.analysis) if state.analysis is not None else None,
        shadow=build_shadow_status(state.shadow) if state.shadow is not None else None,
    )


def _build_rejected(rejection: Rejection) -> RejectedStatus:
    return RejectedStatus(
        revision=rejection.revision,
        attempt=rejection.attempt,
        at=format_time(rejection.at),
        message=rejection.message,
    )


def _read_rejection(row: RejectedStatus) -> Rejection:
    return Rejection(row.revision, row.attempt, _parse_instant(row.at), row.message)


def _read_time(text: str | None) -> datetime | None:
    return _parse_instant(text) if text else None


def _parse_instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text} names no time zone")
    return found


def _format_time(time: datetime | None) -> str | None:
    return format_time(time) if time is not None else None
