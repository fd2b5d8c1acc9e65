"""Looks at replicas that a test makes up, and what a law does over many of them."""

from dataclasses import dataclass, field

from llmdeployment_operator.autoscaler.recommend import ScalingDecision, recommend
from llmdeployment_operator.autoscaler.state import AutoscalerState
from llmdeployment_operator.autoscaler.types import (
    BOUNDS,
    Observation,
    ReplicaSample,
    ScalingPolicy,
)

METRICS = ("ttft", "itl", "e2e", "queue")


def counts(*values: float) -> tuple[int, ...]:
    """Returns the cumulative counts of these values, in seconds."""
    return tuple(sum(value <= bound for value in values) for bound in (*BOUNDS, float("inf")))


def sample(
    at: float,
    *,
    running: int = 0,
    waiting: int = 0,
    tokens: int = 0,
    kv: float = 0.1,
    e2e: tuple[int, ...] = counts(),
    ttft: tuple[int, ...] = counts(),
) -> ReplicaSample:
    histograms = {"ttft": ttft, "itl": counts(), "e2e": e2e, "queue": counts()}
    return ReplicaSample(at, running, waiting, kv, 0, tokens, histograms)


@dataclass
class Site:
    """Replicas that all do the same, second by second, and a law that looks at them."""

    policy: ScalingPolicy
    ready: int
    pending: int = 0
    now: float = 0.0
    state: AutoscalerState = field(default_factory=AutoscalerState)
    done: int = 0
    tokens: int = 0
    forwarded: int = 0
    ttft: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def second(
        self,
        *,
        requests: int = 0,
        running: int = 0,
        waiting: int = 0,
        slow: float = 0.0,
        answering: int | None = None,
        held: int = 0,
    ) -> ScalingDecision:
        """Lets each replica finish `requests`, that share of them `slow` seconds late, and returns what is decided.

        The tokens are those of an engine whose step takes 10 ms and 1 ms for each that runs.
        """
        self.now += 1.0
        self.done += requests
        self.forwarded += requests * self.ready
        self.tokens += round(running / (0.010 + 0.001 * running)) if running else 0
        for index, bound in enumerate((*BOUNDS, float("inf"))):
            late = round(requests * slow)
            self.ttft[index] += requests - late if bound < 5.0 and bound >= 0.1 else 0
            self.ttft[index] += requests if bound >= 5.0 else 0
        e2e = tuple(self.done if bound >= 1.0 else 0 for bound in (*BOUNDS, float("inf")))
        one = sample(
            self.now,
            running=running,
            waiting=waiting,
            tokens=self.tokens,
            e2e=e2e,
            ttft=tuple(self.ttft),
        )
        number = self.ready if answering is None else answering
        samples = {f"pod-{i}": one for i in range(number)}
        forwarded = {"gateway": self.forwarded}
        observation = Observation(
            self.now, self.ready, self.pending, samples, held=held, forwarded=forwarded
        )
        decision = recommend(self.policy, observation, self.state, self.now)
        self.state = decision.state
        return decision
