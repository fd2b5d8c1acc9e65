"""Kubernetes Events that a pass posts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One Event to post."""

    type: str
    reason: str
    message: str
