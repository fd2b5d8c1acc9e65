"""A run over time, in equal slots: what a picture shows."""

from dataclasses import dataclass
from math import ceil, inf

from llmdeployment_operator.simulation.result import Metric, Result


@dataclass(frozen=True)
class Series:
    """One value a slot; slot `i` begins at `i * seconds`."""

    seconds: float
    load: tuple[float, ...]
    """Requests a second that arrived."""
    ready: tuple[float, ...]
    """Replicas that answered, on average."""
    existing: tuple[float, ...]
    """Those that were paid, on average."""


def slots(result: Result, number: int) -> Series:
    """Return load and replicas in `number` slots."""
    width = max(result.end, 1e-9) / number
    load = [0] * number
    for at in result.ledger.arrived:
        load[_slot(at, width, number)] += 1
    ready, existing = [0.0] * number, [0.0] * number
    ends = [change.at for change in result.changes[1:]] + [inf]
    for change, end in zip(result.changes, ends, strict=True):
        begin, until = change.at, min(end, result.end)
        for index in range(_slot(begin, width, number), _slot(until, width, number) + 1):
            shared = min(until, (index + 1) * width) - max(begin, index * width)
            if shared > 0:
                ready[index] += shared / width * change.ready
                existing[index] += shared / width * change.existing
    return Series(width, tuple(count / width for count in load), tuple(ready), tuple(existing))


def latency(
    result: Result, metric: Metric, percentile: int, number: int
) -> tuple[float | None, ...]:
    """Return the percentile of `metric` over the requests that arrived in each slot; None where none did, inf where too many failed."""
    width = max(result.end, 1e-9) / number
    rows: list[list[float]] = [[] for _ in range(number)]
    for at, value in zip(result.ledger.arrived, result.values(metric), strict=True):
        rows[_slot(at, width, number)].append(value)
    return tuple(_percentile(row, percentile) for row in rows)


def _slot(at: float, width: float, number: int) -> int:
    return min(number - 1, max(0, int(at / width)))


def _percentile(values: list[float], percentile: int) -> float | None:
    if not values:
        return None
    values.sort()
    return values[ceil(percentile / 100.0 * len(values)) - 1]
