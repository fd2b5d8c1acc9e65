"""How many requests come: now, at least, at most, and a warm-up from now.

Arrivals of the last minute are kept look by look, those of the last ten minutes in slots of `SLOT` seconds. A rate over a window of `w`
seconds with `k` arrivals is known to

    rate_z(w) = (sqrt(k) + z sqrt(I) / 2)^2 / w

with `z` standard deviations of doubt (the square root makes a Poisson count's deviation 1/2 at any rate; `I`, the index of dispersion,
is how many times more a slot's count varies than a Poisson count would: 1.1 in conversations, 37 where people's editors ask). Acting
only where `rate_-z` or `rate_+z` shows it is what keeps a constant load from moving anything.

Worked example: 2 requests/s become 10. Two seconds later 20 arrivals were counted in 2 s: at least (sqrt(20) - 4/2)^2 / 2 = 3.1
requests/s at z = 4, half as many again as before for sure, in the second look; after 8 seconds, at z = 3, (sqrt(80) - 3/2)^2 / 8 =
6.9.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

SLOT = 10.0
"""Seconds."""

SLOTS = 60

RECENT = 60.0
"""Seconds of the window whose rate is the demand while nothing shows a change."""

WINDOWS = ((2.0, 4.0), (4.0, 3.5), (8.0, 3.0), (15.0, 2.5), (30.0, 2.0), (RECENT, 1.5))
"""(seconds, standard deviations): the demand is at least what one of these windows shows at its doubt. The shorter, the more of them
there are in an hour, so the more doubt."""

STEADY = 15.0
"""Seconds of the shortest window that is not all noise."""

MOST_DOUBT = 0.5
"""Standard deviations above the last two minutes that are allowed for before replicas are given back."""


@dataclass(frozen=True)
class Arrivals:
    """What came, newest last."""

    recent: tuple[tuple[float, float], ...] = ()
    """(seconds, requests) of each look of the last minute."""
    slots: tuple[float, ...] = ()
    """Requests in each full slot of the last ten minutes."""
    slot_seconds: float = 0.0
    """How much of the slot that fills is over."""
    slot_arrivals: float = 0.0


def add_arrivals(arrivals: Arrivals, seconds: float, requests: float) -> Arrivals:
    """Returns `arrivals` with `requests` that came within the last `seconds`.

    >>> add_arrivals(add_arrivals(Arrivals(), 6.0, 12.0), 8.0, 16.0)
    Arrivals(recent=((6.0, 12.0), (8.0, 16.0)), slots=(20.0,), slot_seconds=4.0, slot_arrivals=8.0)
    """
    recent = [*arrivals.recent, (seconds, requests)]
    length = sum(row[0] for row in recent)
    drop = 0
    while drop < len(recent) - 1 and length - recent[drop][0] >= RECENT:
        length -= recent[drop][0]
        drop += 1
    slots = list(arrivals.slots)
    filled, count = arrivals.slot_seconds, arrivals.slot_arrivals
    rate = requests / seconds
    left = seconds
    while filled + left >= SLOT:
        part = SLOT - filled
        slots.append(round(count + rate * part, 3))
        left -= part
        filled = count = 0.0
    return Arrivals(tuple(recent[drop:]), tuple(slots[-SLOTS:]), filled + left, count + rate * left)


def select_window(arrivals: Arrivals, seconds: float) -> tuple[float, float]:
    """Returns (seconds, requests) of about the last `seconds`: as many looks, or slots, as it takes.

    >>> select_window(Arrivals(((1.0, 3.0), (1.0, 5.0))), 1.0)
    (1.0, 5.0)
    """
    length = count = 0.0
    if seconds <= RECENT:
        for row in reversed(arrivals.recent):
            if length >= seconds - 0.01:
                break
            length += row[0]
            count += row[1]
        return length, count
    length, count = arrivals.slot_seconds, arrivals.slot_arrivals
    for row_count in reversed(arrivals.slots):
        if length >= seconds - 0.01:
            break
        length += SLOT
        count += row_count
    return length, count


def measure_dispersion(arrivals: Arrivals) -> float:
    """Returns the index of dispersion of the slots' counts, at least 1/4 and at most 50; 1 before it is known.

    From differences of neighbours, so that a slow rise is not taken for burstiness: sum (c[i+1] - c[i])^2 / (2 (n-1) mean).

    >>> measure_dispersion(Arrivals(slots=(10.0, 30.0, 10.0, 30.0, 10.0)))
    11.11
    """
    slots = arrivals.slots
    total = sum(slots)
    if len(slots) < 3 or not total:  # noqa: PLR2004  # because two differences are the least
        return 1.0
    squares = sum((b - a) ** 2 for a, b in pairwise(slots))
    index = squares / (2 * (len(slots) - 1)) / (total / len(slots))
    return round(min(50.0, max(0.25, index)), 2)


def bound_rate(seconds: float, requests: float, doubt: float, index: float) -> float:
    """Returns a rate in requests/s, `doubt` standard deviations above (below, where negative) what was counted.

    >>> round(bound_rate(2.0, 20.0, -3.0, 1.0), 1), round(bound_rate(2.0, 20.0, 3.0, 1.0), 1)
    (4.4, 17.8)
    """
    root = sqrt(max(0.0, requests)) + doubt * sqrt(index) / 2
    return max(0.0, root) ** 2 / seconds if seconds > 0 else 0.0


def fit_slope(arrivals: Arrivals, slots: int = 30) -> tuple[float, float]:
    """Returns by how many requests/s the rate rises each second over the last `slots` slots, and that figure's standard error.

    >>> fit_slope(Arrivals(slots=(10.0, 20.0, 30.0, 40.0, 50.0, 60.0)))
    (0.1, 0.0)
    """
    counts = arrivals.slots[-slots:]
    n = len(counts)
    if n < 6:  # noqa: PLR2004  # because a line through less than a minute says nothing
        return 0.0, 0.0
    middle = (n - 1) / 2
    mean = sum(counts) / n
    spread = n * (n * n - 1) / 12
    rise = sum((i - middle) * (count - mean) for i, count in enumerate(counts)) / spread
    rest = sum((count - mean - rise * (i - middle)) ** 2 for i, count in enumerate(counts))
    error = sqrt(rest / (n - 2) / spread)
    return round(rise / SLOT / SLOT, 6), round(error / SLOT / SLOT, 6)


@dataclass(frozen=True)
class Demand:
    """Requests/s."""

    estimate: float
    """When a replica ordered now is ready."""
    least: float
    """Then, at least."""
    most: float
    """At most, while it is decided whether fewer replicas are enough."""
    index: float
    """Of dispersion."""


def forecast(arrivals: Arrivals, ahead: float) -> Demand:
    """Returns the demand now and `ahead` seconds from now.

    The estimate is the last minute's rate, or that of a shorter window less one deviation where it is higher: of one below `STEADY`
    only if it lies above the minute's for sure. A trend is believed as far as it exceeds its own standard error (two of them in what is
    sure), and adds at most half.

    >>> steady = Arrivals(((60.0, 120.0),), slots=(20.0,) * 12)
    >>> d = forecast(steady, 60.0)
    >>> d.estimate, round(d.least, 2), round(d.most, 2)
    (2.0, 1.87, 2.05)
    """
    index = measure_dispersion(arrivals)
    short = min(index, 2.0)
    rate = bound_rate(*select_window(arrivals, RECENT), 0.0, short)
    estimate, least = rate, 0.0
    for seconds, doubt in WINDOWS:
        part = select_window(arrivals, seconds)
        surely = bound_rate(*part, -doubt, short)
        least = max(least, surely)
        if surely > rate or seconds >= STEADY:
            estimate = max(estimate, bound_rate(*part, -1.0, short))
    rise, error = fit_slope(arrivals)
    most = max(rate, bound_rate(*select_window(arrivals, RECENT), MOST_DOUBT, short))
    trend = _limit_trend(rise - error, ahead, estimate)
    return Demand(
        estimate + trend,
        least + _limit_trend(rise - 2 * error, ahead, estimate),
        most + trend,
        index,
    )


def _limit_trend(rise: float, ahead: float, estimate: float) -> float:
    return min(0.5 * estimate, max(0.0, rise) * ahead)
