"""What autoscaling remembers from look to look, in the operator's process.

`status.scaling` has the same, a minute older at most: an operator that starts again goes on from there.
"""

from llmdeployment_operator.kube.store import Owner
from llmdeployment_operator.plan.observed.scaling_status import ScalingState


class ScalingCache:
    """The memory of each LLMDeployment; one that was made anew under the same name is another."""

    def __init__(self) -> None:
        self._kept: dict[Owner, tuple[str, ScalingState]] = {}

    def of(self, owner: Owner, uid: str) -> ScalingState | None:
        """Return what is remembered, or None."""
        known, memory = self._kept.get(owner, ("", None))
        return memory if known == uid else None

    def keep(self, owner: Owner, uid: str, memory: ScalingState | None) -> None:
        """Remember this instead; nothing of one that is not scaled."""
        if memory is None:
            self.forget(owner)
        else:
            self._kept[owner] = (uid, memory)

    def forget(self, owner: Owner) -> None:
        """Forget an LLMDeployment that is gone."""
        self._kept.pop(owner, None)
