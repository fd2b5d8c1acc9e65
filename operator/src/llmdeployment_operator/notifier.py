"""Tells people outside of the cluster what a pass changed: compares statuses and hands what is new to the outbox."""

from collections.abc import Iterable, Mapping
from typing import Any

from llmdeployment_operator.api.status import Status
from llmdeployment_operator.kube.outbox import Outbox
from llmdeployment_operator.plan.base.events import Event
from llmdeployment_operator.plan.base.names import MUTE
from llmdeployment_operator.plan.notify.memory import NoticeMemory
from llmdeployment_operator.plan.notify.notices import Subject


class Notifier:
    """What was told of each LLMDeployment, and where the rest goes."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._memory = NoticeMemory()

    def __len__(self) -> int:
        return len(self._memory)

    def begin(self, meta: Mapping[str, Any], before: Status) -> None:
        """Note the status that a pass begins with, before another is written.

        Args:
            meta: the metadata of the LLMDeployment.
            before: its status.
        """
        self._memory.begin(_read_subject(meta), before)

    def tell(self, meta: Mapping[str, Any], after: Status, events: Iterable[Event]) -> None:
        """Tell what changed, once it is written: it is true then, and a restart begins from there.

        Args:
            meta: the metadata of the LLMDeployment.
            after: its status.
            events: of this pass.
        """
        notices = self._memory.take_new(_read_subject(meta), after, events)
        if (meta.get("annotations") or {}).get(MUTE) != "true":
            self._outbox.post(notices)

    def forget(self, owner: tuple[str, str]) -> None:
        """Forget an LLMDeployment that is gone."""
        self._memory.forget(owner)


def _read_subject(meta: Mapping[str, Any]) -> Subject:
    return Subject(meta["namespace"], meta["name"], meta["uid"])
