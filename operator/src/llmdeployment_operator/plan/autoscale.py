"""How many replicas there should be: types, and the decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

Metric = Literal["ttft", "itl", "e2e"]

BOUNDS: tuple[float, ...] = tuple(
    float(f"{digits}e{power}") for power in range(-3, 3) for digits in (1, 1.5, 2, 3, 5, 7.5)
)
"""Upper bounds in seconds of every histogram in a replica's `/stats`; the serving package's own, which a test compares."""


@dataclass(frozen=True)
class Target:
    """`percentile` percent of a metric's values are to lie at or below `seconds`."""

    metric: Metric
    percentile: int
    seconds: float


@dataclass(frozen=True)
class Policy:
    """What is promised, and the bounds; schedules are folded into `minimum` before."""

    minimum: int
    maximum: int
    targets: tuple[Target, ...] = ()
    scale_to_zero_after: float | None = None
    """Seconds without a request after which no replica is kept, where `minimum` is 0."""


@dataclass(frozen=True)
class ReplicaSample:
    """One answer of a replica's `/stats`."""

    at: float
    """Seconds, the reader's clock."""
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
class Look:
    """What the operator saw at one moment."""

    at: float
    ready: int
    """Replicas that answer requests."""
    coming: int
    """Replicas that were ordered and are not ready yet."""
    samples: Mapping[str, ReplicaSample]
    """By pod uid; a replica that did not answer this time is absent."""
    held: int = 0
    """Requests the gateway holds now, since no replica is ready."""
    refused: int = 0
    """Requests the gateway refused since it began."""


@dataclass(frozen=True)
class State:
    """What must be remembered between decisions."""

    desired: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Returns JSON data of a few kilobytes at most."""
        return {"desired": self.desired}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Returns the state `as_dict` wrote."""
        return cls(desired=data.get("desired"))


@dataclass(frozen=True)
class Decision:
    """How many replicas should exist, and why."""

    replicas: int
    reason: str
    message: str
    inputs: Mapping[str, float] = field(default_factory=dict)
    state: State = field(default_factory=State)


def decide(policy: Policy, look: Look, state: State, now: float) -> Decision:  # noqa: ARG001  because the law follows
    """Returns how many replicas should exist."""
    current = look.ready + look.coming if state.desired is None else state.desired
    replicas = max(policy.minimum, min(policy.maximum, current))
    if replicas == 0 and look.held:
        replicas = min(1, policy.maximum)
    return Decision(replicas, "Holding", "The bounds are kept.", {}, State(replicas))
