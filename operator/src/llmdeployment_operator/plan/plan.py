"""What a pass will do: the value that `build_plan` returns and `reconcile` carries out."""

from dataclasses import dataclass, field
from typing import Any

from llmdeployment_operator.api.status import Status
from llmdeployment_operator.costs.types import CostAccount
from llmdeployment_operator.plan.base.events import Event
from llmdeployment_operator.plan.base.objects import Object, Ref, Removal
from llmdeployment_operator.plan.observed.scaling_status import ScalingState


@dataclass(frozen=True)
class ServePut:
    """One declaration to a runtime's Ray Serve; `pod` is the head it is meant for."""

    runtime: str
    pod: str
    body: dict[str, Any]
    why: str


@dataclass(frozen=True)
class Plan:
    """Everything one pass does, in this order: apply, declare, remove, status, events.

    Attributes:
        lookups: names that are needed and were not looked at yet. If there are any, nothing else is here: the names
            have to be looked up, and the plan made again.
        apply: objects to write by server-side apply.
        serve: declarations to Ray Serve.
        remove: objects to delete.
        status: the whole status, or None when it is as it should be.
        events: what to tell people.
        requeue_after: seconds until something has to be asked that sends no events, or None.
        scaling: what autoscaling has to remember, or None when it remembers nothing new.
        cost: the account of cost up to now, or None when there is none to keep.
        details: why each write is made, one line each.
    """

    lookups: frozenset[Ref] = frozenset()
    apply: tuple[Object, ...] = ()
    serve: tuple[ServePut, ...] = ()
    remove: tuple[Removal, ...] = ()
    status: Status | None = None
    events: tuple[Event, ...] = ()
    requeue_after: float | None = None
    scaling: ScalingState | None = None
    cost: CostAccount | None = None
    details: tuple[str, ...] = field(default=())

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to write."""
        return (
            not (self.lookups or self.apply or self.serve or self.remove or self.events)
            and self.status is None
        )
