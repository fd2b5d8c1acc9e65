"""Scalers for `simulate`: the operator's own law, and a fixed number."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from llmdeployment_operator.autoscaler.recommend import ScalingDecision, recommend
from llmdeployment_operator.autoscaler.state import AutoscalerState
from llmdeployment_operator.autoscaler.types import Observation, ScalingPolicy
from llmdeployment_operator.simulation.run import Scaler


@dataclass(frozen=True)
class MadeDecision:
    """A decision, when it was made, and how many replicas there were."""

    at: float
    before: int
    decision: ScalingDecision

    @property
    def acts(self) -> bool:
        """Whether it changed anything."""
        return self.before != self.decision.replicas


Heard = Callable[[MadeDecision], None]


def own_law(
    policy: ScalingPolicy, heard: Heard | None = None, floor: Callable[[float], int] | None = None
) -> Scaler:
    """Return the operator's law with its memory; the very function that decides in the cluster.

    Args:
        policy: the promise and the bounds.
        heard: is told every decision.
        floor: raises the policy's minimum by time, as schedules do.
    """
    state = AutoscalerState()

    def scaler(observation: Observation, now: float) -> int:
        nonlocal state
        present = policy if floor is None else _raised(policy, floor(now))
        decision = recommend(present, observation, state, now)
        state = decision.state
        if heard:
            heard(MadeDecision(now, observation.ready + observation.pending, decision))
        return decision.replicas

    return scaler


def fixed(replicas: int) -> Scaler:
    """Return a scaler that always asks for the same number.

    >>> fixed(3)(Observation(at=0.0, ready=1, pending=0, samples={}), 0.0)
    3
    """
    return lambda _look, _now: replicas


def _raised(policy: ScalingPolicy, floor: int) -> ScalingPolicy:
    minimum = min(policy.maximum, max(policy.minimum, floor))
    return policy if minimum == policy.minimum else replace(policy, minimum=minimum)
