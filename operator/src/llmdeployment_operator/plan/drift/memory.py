"""The windows of a revision as `status.revisions[].drift` holds them, read leniently: what cannot be read begins anew."""

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from llmdeployment_operator.analysis.counts import GROUPS, Counts
from llmdeployment_operator.analysis.design_effect import Minutes
from llmdeployment_operator.analysis.drift import BLOCKS, Change, MetricWindow
from llmdeployment_operator.analysis.e_values import Stratum
from llmdeployment_operator.api.drift_status import (
    MOST_METRICS,
    MOST_STATE,
    DriftMetricStatus,
    DriftStatus,
)
from llmdeployment_operator.plan.base.conditions import format_time
from llmdeployment_operator.plan.base.pods import read_time
from llmdeployment_operator.plan.drift.windows import DriftState, MetricState


def read_state(row: DriftStatus | None) -> DriftState | None:
    """Return what a status remembers; None if it remembers nothing, or nothing that can be read in full."""
    if row is None or (began := read_time(row.began_at)) is None:
        return None
    try:
        metrics = {each.name: _read_metric(each) for each in row.metrics}
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None
    return DriftState(
        design=row.design,
        began=began,
        written=read_time(row.written_at) or began,
        first_ended=read_time(row.first_ended_at),
        block=row.block,
        metrics=metrics,
    )


def build_row(state: DriftState) -> DriftStatus:
    """Return `status.revisions[].drift`."""
    return DriftStatus(
        design=state.design,
        began_at=format_time(state.began),
        first_ended_at=format_time(state.first_ended) if state.first_ended is not None else None,
        written_at=format_time(state.written),
        block=state.block,
        requests=state.requests,
        metrics=tuple(
            _build_metric(name, each) for name, each in list(state.metrics.items())[:MOST_METRICS]
        ),
    )


def format_percent(share: float) -> str:
    """Return a share in percent.

    >>> format_percent(0.12345), format_percent(0), format_percent(1)
    ('12.3', '0.0', '100.0')
    """
    return f"{100 * share:.1f}"


def _build_metric(name: str, metric: MetricState) -> DriftMetricStatus:
    change = metric.change
    return DriftMetricStatus(
        name=name,
        first=format_percent(change.first) if change is not None else None,
        present=format_percent(change.present) if change is not None else None,
        since=format_time(metric.since) if metric.since is not None else None,
        state=_dump(metric),
    )


def _dump(metric: MetricState) -> str:
    window = metric.window
    pairs = window.pairs
    document = {
        "blocks": [_list_counts(each) for each in window.blocks],
        "first": _list_groups(window.first_groups),
        "pair": [*_list_counts(window.pair.stable), *_list_counts(window.pair.canary)],
        "groups": _list_groups(window.groups),
        "pairs": [
            pairs.number,
            *(
                float(f"{each:.9g}")
                for each in (
                    pairs.requests,
                    pairs.difference,
                    pairs.square,
                    pairs.square_difference,
                    pairs.square_difference_square,
                )
            ),
        ],
        "current": _list_counts(window.current),
        "found": metric.found,
    }
    text = json.dumps(document, separators=(",", ":"))
    return text if len(text) <= MOST_STATE else ""


def _read_metric(row: DriftMetricStatus) -> MetricState:
    (window, found), since = _read_counts(row.state), read_time(row.since)
    change = None
    if row.first is not None and row.present is not None:
        change = Change(float(row.first) / 100, float(row.present) / 100, found)
    return MetricState(window, change, since, found)


@lru_cache(maxsize=1024)
def _read_counts(text: str) -> tuple[MetricWindow, bool]:
    """Return the counts of a metric, and whether it was found to drift; the same text is read at every pass until it is written anew."""
    document = json.loads(text)
    blocks = tuple(Counts(total, bad) for total, bad in document["blocks"])
    if len(blocks) != BLOCKS:
        raise ValueError(f"{len(blocks)} blocks are no window")
    stable, stable_bad, canary, canary_bad = document["pair"]
    number, *sums = document["pairs"]
    if not all(math.isfinite(each) for each in sums) or number < 0:
        raise ValueError("the pairs are not finite")
    window = MetricWindow(
        blocks=blocks,
        first_groups=_read_groups(document["first"]),
        pair=Stratum(Counts(stable, stable_bad), Counts(canary, canary_bad)),
        groups=_read_groups(document["groups"]),
        pairs=Minutes(int(number), *sums),
        current=Counts(*document["current"]),
    )
    return window, bool(document["found"])


def _list_counts(counts: Counts) -> list[int]:
    return [int(counts.total), int(counts.bad)]


def _list_groups(groups: Mapping[int, Counts]) -> list[list[int]]:
    return [[group, *_list_counts(counts)] for group, counts in sorted(groups.items())]


def _read_groups(rows: list[Any]) -> dict[int, Counts]:
    found = {int(group): Counts(total, bad) for group, total, bad in rows}
    if not all(0 <= group < GROUPS for group in found):
        raise ValueError("there is no such group of users")
    return found
