"""Scalers for `simulate`: the operator's own law, and a fixed number."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from llmdeployment_operator.autoscaler.recommend import Decision, decide
from llmdeployment_operator.autoscaler.state import State
from llmdeployment_operator.autoscaler.types import Look, Policy
from llmdeployment_operator.simulation.run import Scaler


@dataclass(frozen=True)
class Made:
    """A decision, when it was made, and how many replicas there were."""

    at: float
    before: int
    decision: Decision

    @property
    def acts(self) -> bool:
        """Whether it changed anything."""
        return self.before != self.decision.replicas


Heard = Callable[[Made], None]


def own_law(
    policy: Policy, heard: Heard | None = None, floor: Callable[[float], int] | None = None
) -> Scaler:
    """Return the operator's law with its memory; the very function that decides in the cluster.

    Args:
        policy: the promise and the bounds.
        heard: is told every decision.
        floor: raises the policy's minimum by time, as schedules do.
    """
    state = State()

    def scaler(look: Look, now: float) -> int:
        nonlocal state
        present = policy if floor is None else _raised(policy, floor(now))
        decision = decide(present, look, state, now)
        state = decision.state
        if heard:
            heard(Made(now, look.ready + look.coming, decision))
        return decision.replicas

    return scaler


def fixed(replicas: int) -> Scaler:
    """Return a scaler that always asks for the same number.

    >>> fixed(3)(Look(at=0.0, ready=1, coming=0, samples={}), 0.0)
    3
    """
    return lambda _look, _now: replicas


def _raised(policy: Policy, floor: int) -> Policy:
    minimum = min(policy.maximum, max(policy.minimum, floor))
    return policy if minimum == policy.minimum else replace(policy, minimum=minimum)
