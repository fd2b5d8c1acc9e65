"""What was told already: the last status of each LLMDeployment that was compared, and the last ids.

A pass knows the status that the API server has. That is not always the one of which all was told: the API server may write a status
whose answer gets lost, so that the pass ends in an error and the next one finds nothing to write. After a restart the status on the API
server is taken for the one of which all was told.
"""

from collections import OrderedDict
from collections.abc import Iterable

from llmdeployment_operator.api.status import Status
from llmdeployment_operator.plan.base.events import Event
from llmdeployment_operator.plan.notify.notices import (
    Notice,
    Subject,
    find_notices,
    keep_compared,
)

IDS, OBJECTS = 4096, 1024
"""How many ids and how many LLMDeployments are remembered; the oldest go first."""


class NoticeMemory:
    """What was told of all LLMDeployments."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str], tuple[str, Status]] = OrderedDict()
        self._ids: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._told)

    def begin(self, subject: Subject, before: Status) -> None:
        """Take the status that a pass begins with for the one of which all was told, unless one is remembered."""
        owner = subject.namespace, subject.name
        if self._told.get(owner, ("",))[0] != subject.uid:
            self._told[owner] = subject.uid, keep_compared(before)
            if len(self._told) > OBJECTS:
                self._told.popitem(last=False)

    def take_new(
        self, subject: Subject, after: Status, events: Iterable[Event] = ()
    ) -> tuple[Notice, ...]:
        """Return what has not been told yet of a status that was written, with a pass's Events, and remember it as told."""
        self.begin(subject, after)
        owner = subject.namespace, subject.name
        _, before = self._told[owner]
        self._told[owner] = subject.uid, keep_compared(after)
        self._told.move_to_end(owner)
        found = find_notices(subject, before, after, events)
        return tuple(notice for notice in found if self._take(notice.id))

    def forget(self, owner: tuple[str, str]) -> None:
        """Forget an LLMDeployment that is gone."""
        self._told.pop(owner, None)

    def _take(self, notice_id: str) -> bool:
        if notice_id in self._ids:
            return False
        self._ids[notice_id] = None
        if len(self._ids) > IDS:
            self._ids.popitem(last=False)
        return True
