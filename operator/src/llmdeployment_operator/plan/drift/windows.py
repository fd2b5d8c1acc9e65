"""The first window of a revision, and the windows after it: which requests belong to which, and what is found when a block is over."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from llmdeployment_operator.analysis.counts import CountKey, Counts
from llmdeployment_operator.analysis.drift import (
    BLOCKS,
    MIN_REQUESTS,
    Change,
    MetricWindow,
    add,
    choose_thresholds,
    find_changes,
    split_alpha,
)
from llmdeployment_operator.api.drift import OUTPUT_TOKENS, DriftSpec

LONGER = f"{OUTPUT_TOKENS}>"
"""Before a length in tokens, as the name of what is counted."""


@dataclass(frozen=True)
class MetricState:
    """One metric.

    Attributes:
        window: what was counted.
        change: how it differed when it was last compared, None before.
        since: when the window began in which it was first found to drift; None while it does not.
        found: whether it was found to drift in the window under way.
    """

    window: MetricWindow = field(default_factory=MetricWindow)
    change: Change | None = None
    since: datetime | None = None
    found: bool = False


@dataclass(frozen=True)
class DriftState:
    """A revision and its windows.

    Attributes:
        design: what is compared.
        began: when the first window began.
        written: up to when requests are counted.
        first_ended: when the first window ended; None until then.
        block: which block is under way since it began.
        metrics: what is compared, by name.
    """

    design: str
    began: datetime
    written: datetime
    first_ended: datetime | None = None
    block: int = 0
    metrics: Mapping[str, MetricState] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """Answers of the first window, its block under way included."""
        waits = self.first_ended is None
        counted = (
            each.window.first.total + (each.window.current.total if waits else 0)
            for each in self.metrics.values()
        )
        return int(max(counted, default=0))

    @property
    def drifting(self) -> dict[str, MetricState]:
        """The metrics that drift."""
        return {name: each for name, each in self.metrics.items() if each.since is not None}


def find_block(state: DriftState, spec: DriftSpec, now: datetime) -> int:
    """Return which block a time is in, since the first window began; negative before that.

    >>> from datetime import UTC
    >>> began = datetime(2026, 1, 1, tzinfo=UTC)
    >>> state = DriftState("", began, began)
    >>> [find_block(state, DriftSpec(), began + timedelta(minutes=each)) for each in (-1, 0, 59, 60, 1440)]
    [-1, 0, 0, 1, 24]
    """
    return int((now - state.began).total_seconds() // (spec.window_seconds / BLOCKS))


def find_time(state: DriftState, spec: DriftSpec, block: int) -> datetime:
    """Return when a block begins."""
    return state.began + timedelta(seconds=block * spec.window_seconds / BLOCKS)


def is_clock_wrong(state: DriftState, spec: DriftSpec, now: datetime) -> bool:
    """Say whether the clock was put back so far that waiting for the block under way would take more than a window."""
    return find_block(state, spec, now) < state.block - BLOCKS


def advance(
    state: DriftState,
    spec: DriftSpec,
    fresh: Mapping[CountKey, Counts],
    revisions: int,
    now: datetime,
) -> DriftState:
    """Return the state with the requests since the last look.

    They belong to the block that was under way then. After more than a block without a look or a request, they belong to the one of now.
    A clock that goes back lengthens the block under way: nothing is counted twice and nothing is lost.

    Args:
        state: as it was.
        spec: what is compared.
        fresh: requests since.
        revisions: how many revisions serve, which share the probability of a false alarm.
        now: the current time, UTC.
    """
    block = find_block(state, spec, now)
    if block > state.block + 1:
        return _add(_go_on(state, spec, block, revisions), fresh, now)
    return _go_on(_add(state, fresh, now), spec, block, revisions)


def _add(state: DriftState, fresh: Mapping[CountKey, Counts], now: datetime) -> DriftState:
    counted = {name: _count(name, each, fresh) for name, each in state.metrics.items()}
    return replace(state, metrics=counted, written=now)


def _go_on(state: DriftState, spec: DriftSpec, block: int, revisions: int) -> DriftState:
    """Return the state with this block under way, and the one before it closed."""
    if block <= state.block:
        return state
    first = state.first_ended is None
    closed = _close_first(state, spec, block) if first else _close(state, spec, block, revisions)
    return replace(closed, block=block)


def _count(name: str, metric: MetricState, fresh: Mapping[CountKey, Counts]) -> MetricState:
    whole, groups = Counts(), {}
    for key, counts in _select(name, fresh):
        if key.group is None:
            whole = add(whole, counts)
        else:
            groups[key.group] = counts
    return replace(metric, window=metric.window.count(whole, groups))


def _select(name: str, fresh: Mapping[CountKey, Counts]) -> Iterator[tuple[CountKey, Counts]]:
    return ((key, counts) for key, counts in fresh.items() if key.metric == name)


def _close_first(state: DriftState, spec: DriftSpec, block: int) -> DriftState:
    """Return the state after a block of the first window, and after that window once it has its requests."""
    place = state.block % BLOCKS
    closed = {
        name: replace(each, window=each.window.close_first(place))
        for name, each in state.metrics.items()
    }
    state = replace(state, metrics=closed)
    over = block // BLOCKS > state.block // BLOCKS
    if not over or state.requests < spec.min_requests:
        return state
    ended = find_time(state, spec, (state.block // BLOCKS + 1) * BLOCKS)
    return replace(state, first_ended=ended, metrics=_choose(state.metrics))


def _choose(metrics: Mapping[str, MetricState]) -> dict[str, MetricState]:
    """Return the metrics with few of the lengths of answers that were counted so far."""
    lengths = {
        int(name.removeprefix(LONGER)): each.window.first
        for name, each in metrics.items()
        if name.startswith(LONGER)
    }
    kept = {f"{LONGER}{length}" for length in choose_thresholds(lengths)}
    return {
        name: each for name, each in metrics.items() if not name.startswith(LONGER) or name in kept
    }


def _close(state: DriftState, spec: DriftSpec, block: int, revisions: int) -> DriftState:
    """Return the state after a block of a later window, compared with the first one."""
    place, window = state.block % BLOCKS, state.block // BLOCKS
    windows = {name: each.window.close(place) for name, each in state.metrics.items()}
    alpha = split_alpha(spec.window_seconds, max(1, len(windows)), revisions)
    changes = find_changes(windows, spec.tolerance_percent / 100, alpha)
    began = find_time(state, spec, window * BLOCKS)
    metrics = {
        name: _note(replace(each, window=windows[name]), changes.get(name), began)
        for name, each in state.metrics.items()
    }
    if block // BLOCKS > window:
        metrics = {name: _end_window(each) for name, each in metrics.items()}
    return replace(state, metrics=metrics)


def _note(metric: MetricState, change: Change | None, began: datetime) -> MetricState:
    if change is None:
        return metric
    found = metric.found or change.drifts
    since = metric.since or (began if found else None)
    return replace(metric, change=change, since=since, found=found)


def _end_window(metric: MetricState) -> MetricState:
    """Return a metric at the begin of a window: it drifts no more after a whole one, with requests, that did not show it."""
    calm = not metric.found and metric.window.pair.canary.total >= MIN_REQUESTS
    return replace(
        metric,
        window=metric.window.begin_window(),
        since=None if calm else metric.since,
        found=False,
    )
