"""Which requests were under way when an engine stopped: one of them may be the cause."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

REFUSED_AFTER = 2
"""Engines that a request may see stop before it is refused."""
REMEMBERED_SECONDS = 600.0
"""Seconds that a request counts as a possible cause after an engine stopped under it."""
_remembered_requests = 4096


@dataclass
class _Row:
    engines: int
    last_engine: int
    at: float


class Crashes:
    """Counts, for each request, the engines that stopped while they worked on it.

    A request is known by a hash of its path and body, so that the same request from another client, or sent again, is the same one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows: OrderedDict[str, _Row] = OrderedDict()

    def add(self, request: str, engine: int, others: int = 0) -> int:
        """Record that an engine stopped under a request, and return how many have. One engine counts once.

        With `others` under way the request may be innocent. So it is remembered as one that may be the cause, and not as the cause:
        a prompt that many clients send must not be refused to all of them.

        >>> crashes = Crashes()
        >>> crashes.add("a", 1), crashes.add("a", 1), crashes.add("a", 2), crashes.count("a"), crashes.count("b")
        (1, 1, 2, 2, 0)
        >>> crashes.add("c", 1, others=3), crashes.add("c", 2, others=3), crashes.count("c")
        (1, 2, 1)
        """
        known = self.count(request)
        row = self._rows.pop(request) if known else _Row(0, -1, 0.0)
        engines = row.engines + (row.last_engine != engine)
        if row.last_engine != engine:
            row = _Row(min(engines, 1) if others else engines, engine, self._clock())
        self._rows[request] = row
        while len(self._rows) > _remembered_requests:
            self._rows.popitem(last=False)
        return engines

    def count(self, request: str) -> int:
        """Return how many engines stopped under a request in the last `REMEMBERED_SECONDS`."""
        row = self._rows.get(request)
        if row is not None and self._clock() - row.at > REMEMBERED_SECONDS:
            del self._rows[request]
            return 0
        return row.engines if row is not None else 0

    def forget(self, request: str) -> None:
        """Record that an engine has answered a request, so that it is no cause."""
        self._rows.pop(request, None)


def hash_request(path: str, body: bytes) -> str:
    """Return the hash of a request, 16 hexadecimal digits.

    >>> hash_request("/v1/completions", b"{}")
    'e5d6a84355c0ca99'
    """
    return hashlib.sha256(path.encode() + b"\n" + body).hexdigest()[:16]
