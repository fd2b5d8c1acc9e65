"""Keys that wait for a pass, and whose turn it is.

A thousand objects that come at once must not delay the edit of one that is already served, and nobody may wait for ever.
Turns go round in fours: an edit is first in two of them, a new object and any other change are first in one each. Among
new objects the newest and the oldest take turns, else those that came first are first.
"""

from collections import OrderedDict
from collections.abc import Hashable
from enum import IntEnum
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Urgency(IntEnum):
    """Why a key waits, the most urgent first."""

    EDIT = 0
    """Somebody changed the spec of an object that had a pass before."""
    NEW = 1
    """An object that had no pass yet."""
    CHANGE = 2
    """Anything else: a child or a pod changed, somebody has answered, time has passed."""


_EDIT, _NEW, _CHANGE = Urgency.EDIT, Urgency.NEW, Urgency.CHANGE
_ORDERS = (
    (_EDIT, _NEW, _CHANGE),
    (_EDIT, _CHANGE, _NEW),
    (_NEW, _CHANGE, _EDIT),
    (_CHANGE, _NEW, _EDIT),
)
_NEWEST_FIRST = 0
"""The turn at which the newest of the new objects goes before the oldest."""


class Backlog(Generic[K]):
    """Keys that wait, each once.

    The first of `n` keys that wait for one reason is taken within four turns, so each of them within `4 n`.

    >>> backlog = Backlog()
    >>> for number in range(4):
    ...     backlog.add(f"new-{number}", Urgency.NEW)
    >>> backlog.add("edited", Urgency.EDIT)
    >>> [backlog.pop() for _ in range(5)]
    ['edited', 'new-0', 'new-1', 'new-2', 'new-3']
    """

    def __init__(self) -> None:
        self._waiting: dict[Urgency, OrderedDict[K, None]] = {
            each: OrderedDict() for each in Urgency
        }
        self._turn = -1

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __contains__(self, key: K) -> bool:
        return any(key in keys for keys in self._waiting.values())

    def add(self, key: K, urgency: Urgency) -> None:
        """Let a key wait; one that waits already keeps its place, or gets a more urgent one."""
        for each in Urgency:
            if key in self._waiting[each]:
                if each <= urgency:
                    return
                del self._waiting[each][key]
        self._waiting[urgency][key] = None

    def pop(self) -> K:
        """Return the key whose turn it is.

        Raises:
            KeyError: nobody waits.
        """
        self._turn = (self._turn + 1) % len(_ORDERS)
        for urgency in _ORDERS[self._turn]:
            if keys := self._waiting[urgency]:
                newest = urgency is Urgency.NEW and self._turn == _NEWEST_FIRST
                return keys.popitem(last=newest)[0]
        raise KeyError("nobody waits")
