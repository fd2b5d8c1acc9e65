"""How many replicas the requests need: the number of `spec.replicas`, or what autoscaling decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from llmdeployment_operator.plan.rollout.surge import share_replicas


@dataclass(frozen=True)
class DesiredReplicas:
    """Replicas that carry all requests.

    Attributes:
        total: of all arms together.
        arms: of an arm's stable revision, by arm; without an entry it is the arm's share of the total.
        runtimes: of a runtime on which revisions serve, by runtime; without an entry it is limited by the total alone.
        canaries: what a canary's runtime needs by its own load, by runtime; its share of the requests is the least.
    """

    total: int
    arms: Mapping[str, int] = field(default_factory=dict)
    runtimes: Mapping[str, int] = field(default_factory=dict)
    canaries: Mapping[str, int] = field(default_factory=dict)

    def of_arm(self, name: str, percent: int) -> int:
        """Return how many an arm with this percent of all requests needs.

        >>> DesiredReplicas(8).of_arm("b", 10), DesiredReplicas(8, arms={"b": 3}).of_arm("b", 10)
        (1, 3)
        """
        return self.arms.get(name, share_replicas(self.total, percent))

    def before_traffic(self, name: str, percent: int) -> int:
        """Return how many of an arm's replicas must answer before it gets this percent of all requests.

        >>> DesiredReplicas(8).before_traffic("b", 50), DesiredReplicas(8, arms={"b": 3}).before_traffic("b", 50)
        (4, 3)
        """
        return min(self.of_arm(name, percent), share_replicas(self.total, percent))

    def of_runtime(self, runtime: str) -> int:
        """Return how many the revisions that serve on a runtime need at most, together."""
        return self.runtimes.get(runtime, self.total)
