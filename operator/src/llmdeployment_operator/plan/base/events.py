"""Kubernetes Events that a pass posts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One Event to post; `revision` is the one that it is about, where a notification says the same."""

    type: str
    reason: str
    message: str
    revision: int | None = None
