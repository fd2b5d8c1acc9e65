"""What is remembered of each LLMDeployment from pass to pass, in the operator's process: of autoscaling, and of cost.

The status has the same, a minute older at most: an operator that starts again goes on from there.
"""

from typing import Generic, TypeVar

from llmdeployment_operator.kube.store import Owner

_State = TypeVar("_State")


class StateCache(Generic[_State]):
    """The memory of each LLMDeployment; one that was made anew under the same name is another."""

    def __init__(self) -> None:
        self._kept: dict[Owner, tuple[str, _State]] = {}

    def of(self, owner: Owner, uid: str) -> _State | None:
        """Return what is remembered, or None."""
        known, memory = self._kept.get(owner, ("", None))
        return memory if known == uid else None

    def keep(self, owner: Owner, uid: str, memory: _State | None) -> None:
        """Remember this instead; nothing of one that has none."""
        if memory is None:
            self.forget(owner)
        else:
            self._kept[owner] = (uid, memory)

    def forget(self, owner: Owner) -> None:
        """Forget an LLMDeployment that is gone."""
        self._kept.pop(owner, None)
