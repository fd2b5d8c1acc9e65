"""What the autoscaling law is given and what it answers; no arithmetic here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

LatencyMetric = Literal["ttft", "itl", "e2e"]

METRICS: tuple[LatencyMetric, ...] = ("ttft", "itl", "e2e")

BOUNDS: tuple[float, ...] = tuple(
    float(f"{digits}e{power}") for power in range(-3, 3) for digits in (1, 1.5, 2, 3, 5, 7.5)
)
"""Upper bounds in seconds of every histogram in a replica's `/stats`; the serving package's own, which a test compares."""


@dataclass(frozen=True)
class Target:
    """`percentile` percent of a metric's values are to lie at or below `seconds`."""

    metric: LatencyMetric
    percentile: int
    seconds: float

    @property
    def budget(self) -> float:
        """Share of values that may lie above.

        >>> Target("ttft", 90, 0.5).budget
        0.1
        """
        return round(1.0 - self.percentile / 100.0, 4)


@dataclass(frozen=True)
class ScalingPolicy:
    """What is promised, and the bounds; schedules are folded into `minimum` before (`schedules.floor`)."""

    minimum: int
    maximum: int
    targets: tuple[Target, ...] = ()
    scale_to_zero_after: float | None = None
    """Seconds without a request after which no replica is kept, where `minimum` is 0; None keeps one."""


@dataclass(frozen=True)
class ReplicaSample:
    """One answer of a replica's `/stats`."""

    at: float
    """Seconds, the reader's clock when it was read."""
    running: int
    waiting: int
    kv_usage: float
    """0 to 1."""
    prompt_tokens: int
    """Cumulative, as are all below."""
    generation_tokens: int
    histograms: Mapping[str, tuple[int, ...]]
    """`ttft`, `itl`, `e2e` and `queue`: cumulative counts at `BOUNDS` and +Inf."""


@dataclass(frozen=True)
class Observation:
    """What the operator saw at one moment."""

    at: float
    """Seconds, the operator's clock."""
    ready: int
    """Replicas that answer requests."""
    pending: int
    """Replicas that were ordered and are not ready yet."""
    samples: Mapping[str, ReplicaSample]
    """By pod uid; a replica that did not answer this time is absent."""
    held: int = 0
    """Requests the gateway holds now, since no replica is ready."""
    refused: int = 0
    """Requests the gateway refused since it began."""
    forwarded: Mapping[str, int] = field(default_factory=dict)
    """Requests each gateway has given to these replicas since it began, by its pod's name; one that did not answer is absent."""


class ScalingReason(StrEnum):
    """The reasons of a decision: one word for machines; the decision's message says the rest."""

    HOLDING = "Holding"
    """Between the dead band's edges: neither more nor fewer replicas are shown to be needed."""
    DATA_MISSING = "DataMissing"
    """A ready replica did not answer; nothing is given back until all do."""
    WARMING_UP = "WarmingUp"
    """More are needed than are ready, and they are on their way."""
    DEMAND_ROSE = "DemandRose"
    """The arrival rate, seen or foreseen, needs more replicas."""
    QUEUE_GREW = "QueueGrew"
    """More requests are in the engines than they carry within the targets."""
    CACHE_FULL = "CacheFull"
    """The engines' KV caches are nearly full."""
    TARGET_MISSED = "TargetMissed"
    """More values lie above a target than it allows, and load explains it."""
    BEYOND_REACH = "BeyondReach"
    """A target is missed at low load too: replicas do not help. Change the target, the model or the hardware."""
    AT_MAXIMUM = "AtMaximum"
    """More replicas are needed than `maxReplicas` allows."""
    SLACK = "Slack"
    """Fewer replicas have been enough for long, and the rest are shown to hold the load."""
    BELOW_MINIMUM = "BelowMinimum"
    """The minimum, or a schedule's floor, asks for more."""
    ABOVE_MAXIMUM = "AboveMaximum"
    """The maximum asks for fewer."""
    IDLE = "Idle"
    """No request for `scaleToZeroAfter`."""
    REQUESTS_HELD = "RequestsHeld"
    """The gateway holds requests and no replica is there."""
