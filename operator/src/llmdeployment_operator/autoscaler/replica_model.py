"""What one replica carries, learned from what it does.

**Speed.** An engine with `x` running requests makes a step in `tau(x)` seconds and gives each of them a token:

    tau(x) = a + b x        `a` for reading the weights, `b` for a sequence's token and its share of the prompts that are computed
    meanwhile

Both sides are seen without instrumenting anything: by Little's law a replica that gives `g` tokens/s with `x` running takes `tau = x /
g`. `a` and `b` are the weighted least squares line through (x, x/g), old observations fading.

**Load.** With `G` tokens/s of demand on `n` replicas, the number in flight settles where what is given equals what is asked:

    x / tau(x) = G / n      =>      x = a G/n / (1 - b G/n)        requests in flight per replica, M = n x in all

and is beyond reach where b G/n >= 1. Around M it varies: arrivals with an index of
dispersion `I` push it, and a slower engine pulls it back less,

    V = M (1 + I) / 2 / (1 - b G/n)

(the variance of the linear birth-death process with arrivals of dispersion I; for I = 1 and b = 0 it is Poisson's M). V falls, relative
to M, with `n`: many replicas share one queue's luck, so 20 replicas need less headroom each than 2.

**Misses.** `f(x)` is the share of values above a target while `x` requests were in a replica: counted in bins of `x`, made to rise with
`x` (pool adjacent violators). Beyond 1.3 times the largest `x` seen, and wherever tau(x) alone exceeds a target of the inter-token
latency, f = 1: what nobody has seen is not promised. The share of misses to expect of `n` replicas is the mean of `f` over x = N / n, N
log-normal with M and V.

The replicas needed are the least `n` whose expected share of misses is at most a part of each target's budget.

Worked example: a = 10 ms, b = 1 ms, 2,000 tokens/s asked. With 4 replicas: x = 0.01 * 500 / (1 - 0.5) = 10, 20 ms a token, M = 40; with
3: x = 0.01 * 667 / (1 - 0.667) = 20, 30 ms a token: one replica less doubles what is in flight, which a rule in proportion (40 / 3 =
13) overlooks.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, inf, log, sqrt

from llmdeployment_operator.autoscaler.observation import MOMENT, Interval

EDGES: tuple[float, ...] = (
    0.25, 0.75, 1.5, 2.5, 3.5, 4.5, 5.5, 7, 9, 11, 14, 17, 21, 26, 33, 41, 51, 64, 80, 100, 125, 156, 195, 244, 305, 381, 477,
)  # fmt: skip  # because one number a line hides the series
"""Where the bins of requests in flight end: each about 1.25 times the one before."""

UNLOADED = 2
"""The bin of a replica that has about one request on the mean: a target missed there is missed for other reasons than load."""

UNSEEN = 1.3
"""Times the largest load seen that is still believed to be like it."""

HALF_LIFE = 900.0
"""Seconds after which an observation of speed counts half."""

MEMORY = 2400.0
"""Same, of misses."""

ENOUGH = 50.0
"""Values that a target's curve must rest on; one with fewer plays no part."""

DOUBT = 2.0
"""Standard deviations by which a bin's share of misses must lie above a budget to count as a load that goes badly."""

NODES = ((-1.0, 0.25), (0.0, 0.37), (1.0, 0.24), (1.7, 0.10), (2.4, 0.04))
"""(standard deviations, weight) at which the log-normal is looked at; the lower tail is left to the first."""


@dataclass(frozen=True)
class Speed:
    """Weighted sums over (x, tau); weights are tokens."""

    weight: float = 0.0
    x: float = 0.0
    tau: float = 0.0
    xx: float = 0.0
    x_tau: float = 0.0


@dataclass(frozen=True)
class Misses:
    """Per target, per bin of requests in flight: (values above, values)."""

    over: tuple[tuple[float, ...], ...] = ()
    total: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Line:
    """tau(x) = a + b x, in seconds."""

    a: float
    b: float

    def __call__(self, x: float) -> float:
        """Returns the seconds a step takes with `x` running."""
        return self.a + self.b * x


def observe_speed(speed: Speed, intervals: Sequence[Interval], seconds: float) -> Speed:
    """Returns `speed` with what the replicas did, older observations faded by `seconds`."""
    keep = 0.5 ** (seconds / HALF_LIFE)
    weight, x, tau = speed.weight * keep, speed.x * keep, speed.tau * keep
    xx, x_tau = speed.xx * keep, speed.x_tau * keep
    for interval in intervals:
        tokens = float(interval.generation_tokens)
        if tokens < 1 or interval.running < 0.5 or interval.seconds > MOMENT:  # noqa: PLR2004  # because an idle engine has no speed
            continue
        # A half-idle second tells how long it was idle, not how long a step takes: few tokens, little weight.
        step = interval.running * interval.seconds / tokens
        weight += tokens
        x += tokens * interval.running
        tau += tokens * step
        xx += tokens * interval.running**2
        x_tau += tokens * interval.running * step
    return Speed(weight, x, tau, xx, x_tau)


def fit_line(speed: Speed) -> Line | None:
    """Returns the line, None before enough was seen.

    Where `x` hardly varied its slope is not to be had from the data: it is pulled towards half the step's time being in proportion to x.

    >>> seen = Speed(weight=2000.0, x=20000.0, tau=40.0, xx=400000.0, x_tau=600.0)
    >>> fit = fit_line(seen)
    >>> round(fit.a, 3), round(fit.b, 4)
    (0.01, 0.001)
    """
    if speed.weight < 200.0 or speed.x <= 0:  # noqa: PLR2004  # because a few answers are the least
        return None
    x, tau = speed.x / speed.weight, speed.tau / speed.weight
    variance = max(0.0, speed.xx / speed.weight - x * x)
    covariance = speed.x_tau / speed.weight - x * tau
    pull = 0.02 * x * x
    half = 0.5 * tau / x
    slope = (covariance + pull * half) / (variance + pull)
    slope = min(max(slope, 0.05 * tau / x), 0.95 * tau / x)
    return Line(tau - slope * x, slope)


def observe_misses(
    misses: Misses, intervals: Sequence[Interval], targets: int, seconds: float
) -> Misses:
    """Returns `misses` with what the replicas' requests met.

    A first token that comes late waited behind what was there before: a miss counts where the load was highest of late, a value within
    the target at the present load. What a new replica goes through until it has caught up with the others says nothing of any load.
    Without this a drained backlog would leave its misses with the light load that follows it.
    """
    bins = len(EDGES) + 1
    keep = 0.5 ** (seconds / MEMORY)
    same = len(misses.total) == targets
    over = [[v * keep for v in misses.over[i]] if same else [0.0] * bins for i in range(targets)]
    total = [[v * keep for v in misses.total[i]] if same else [0.0] * bins for i in range(targets)]
    for interval in intervals:
        if not interval.settled:
            continue
        index, late = (bisect_right(EDGES, x) for x in (interval.in_flight, interval.peak))
        for target, (above, values) in enumerate(interval.missed):
            over[target][late] += above
            total[target][late] += above
            total[target][index] += values - above
    return Misses(tuple(map(tuple, over)), tuple(map(tuple, total)))


@dataclass(frozen=True)
class Curve:
    """f(x) of one target: steps at `EDGES`, never falling; 1 beyond `seen`."""

    shares: tuple[float, ...]
    surely: tuple[float, ...]
    """Same, `DOUBT` lower: what is not there by chance."""
    seen: float

    def __call__(self, x: float) -> float:
        """Returns the share of values above the target at `x` in flight."""
        if x > self.seen * UNSEEN:
            return 1.0
        return self.shares[bisect_right(EDGES, x)]


NOTHING = Curve((0.0,) * (len(EDGES) + 1), (0.0,) * (len(EDGES) + 1), inf)
"""Of a target without values, such as the first token's where nobody streams: it asks for nothing."""


def fit_curve(over: Sequence[float], total: Sequence[float], budget: float) -> Curve:
    """Returns the rising curve through the counts.

    A bin's share is (over + budget/2) / (values + 1): one pseudo-value at half the budget, so that a full bin is believed and a nearly
    empty one claims little. An empty one is like the one before.

    >>> bins = len(EDGES) + 1
    >>> f = fit_curve([0, 0, 5, 60] + [0] * (bins - 4), [100, 100, 100, 100] + [0] * (bins - 4), 0.1)
    >>> [round(f(x), 2) for x in (0, 1, 2, 10)]
    [0.0, 0.05, 0.59, 1.0]
    """
    seen = 0.0
    blocks: list[tuple[float, float, int]] = []
    for index, (above, values) in enumerate(zip(over, total, strict=True)):
        if values >= 5:  # noqa: PLR2004  # because one value at a load shows nothing
            seen = EDGES[min(index, len(EDGES) - 1)]
        if values < 0.5 and blocks:  # noqa: PLR2004  # because a faded value is none
            blocks[-1] = (blocks[-1][0], blocks[-1][1], blocks[-1][2] + 1)
            continue
        blocks.append((above + budget / 2, values + 1.0, 1))
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] > blocks[-1][0] * blocks[-2][1]:
            a, b = blocks.pop(), blocks.pop()
            blocks.append((a[0] + b[0], a[1] + b[1], a[2] + b[2]))
    rows = [(above, values) for above, values, width in blocks for _ in range(width)]
    return Curve(
        tuple(min(1.0, above / values) for above, values in rows),
        tuple(max(0.0, sqrt(above) - 0.5 * DOUBT) ** 2 / values for above, values in rows),
        seen,
    )


@dataclass(frozen=True)
class ReplicaModel:
    """All that is known of one replica."""

    line: Line
    curves: tuple[Curve, ...]
    budgets: tuple[float, ...]

    def in_flight(self, tokens: float) -> float | None:
        """Returns the requests in flight in a replica that is asked for `tokens`/s; None where it cannot give them.

        >>> ReplicaModel(Line(0.01, 0.001), (), ()).in_flight(500.0)
        10.0
        """
        slack = 1.0 - self.line.b * tokens
        if slack < 0.05:  # noqa: PLR2004  # because so near its end the line is no longer known
            return None
        return self.line.a * tokens / slack

    def expected(self, tokens: float, replicas: int, index: float) -> float:
        """Returns the largest expected share of misses over its budget, among the targets; 1 is what is just allowed.

        Args:
            tokens: Demand on all replicas, tokens/s.
            replicas: How many share it.
            index: The arrivals' index of dispersion.
        """
        x = self.in_flight(tokens / replicas)
        if x is None:
            return 1e6
        slack = 1.0 - self.line.b * tokens / replicas
        mean = max(x, 1e-6)
        variance = mean / replicas * (1 + index) / 2 / slack
        sigma2 = log(1 + variance / mean**2)
        points = [(exp(log(mean) - sigma2 / 2 + z * sqrt(sigma2)), weight) for z, weight in NODES]
        worst = 0.0
        for f, budget, reached in zip(self.curves, self.budgets, self.reach(), strict=True):
            if not reached:
                continue
            share = sum(weight * f(point) for point, weight in points)
            worst = max(worst, share / max(budget, 0.002))
        return worst

    def needed(self, tokens: float, part: float, index: float, most: int) -> int:
        """Returns the least number of replicas whose expected misses are at most `part` of every budget; `most` where none does."""
        if tokens <= 0:
            return 1
        low, high = 1, max(1, most)
        while low < high:
            middle = (low + high) // 2
            if self.expected(tokens, middle, index) <= part:
                high = middle
            else:
                low = middle + 1
        return low

    def reach(self) -> tuple[bool, ...]:
        """Returns per target whether low load keeps it: where not, replicas cannot help."""
        return tuple(
            f.surely[UNLOADED] <= budget
            for f, budget in zip(self.curves, self.budgets, strict=True)
        )


def fit_replica_model(
    speed: Speed, misses: Misses, targets: Sequence[tuple[str, float, float]]
) -> ReplicaModel | None:
    """Returns what is known of a replica, None before its speed and the misses of a target are.

    Args:
        speed: What was seen of its speed.
        misses: What was seen of its misses.
        targets: (metric, seconds, budget) of each.
    """
    fit = fit_line(speed)
    if fit is None:
        return None
    curves: list[Curve] = []
    for (metric, seconds, budget), over, total in zip(
        targets, misses.over, misses.total, strict=True
    ):
        if sum(total) < ENOUGH:
            curves.append(NOTHING)
            continue
        f = fit_curve(over, total, budget)
        if metric == "itl":
            # A load whose mean step exceeds the target misses it, seen or not.
            f = replace(f, seen=min(f.seen, max(1.0, (seconds - fit.a) / fit.b)))
        curves.append(f)
    if targets and all(f is NOTHING for f in curves):
        return None
    return ReplicaModel(fit, tuple(curves), tuple(target[2] for target in targets))
