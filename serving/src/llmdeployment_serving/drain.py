"""A worker pod's preStop hook: holds the pod until its replica has nothing left to answer.

A deleted pod leaves the Service's endpoints at once, but every balancer learns of it in its own time, and streams under way take as
long as they take. Kubernetes ends the containers when this returns, or when the pod's grace period is over.
"""

import http.client
import json
import time
from collections.abc import Callable

SETTLE_SECONDS = 5.0
"""Time for balancers to take the pod out; until it is over an idle replica may still get requests."""
TIMEOUT_SECONDS = 600.0
_interval_seconds = 0.5
_answer_seconds = 5.0


def drain(
    port: int,
    *,
    settle_seconds: float = SETTLE_SECONDS,
    timeout_seconds: float = TIMEOUT_SECONDS,
    say: Callable[[str], None] = print,
) -> bool:
    """Return whether the replica at `port` has no request left; False: there were some after `timeout_seconds`.

    A port that refuses means that there is no replica (not yet, or its engine died), so nothing to wait for. A replica that accepts
    but does not answer in time is busy, and is waited for.
    """
    started = time.monotonic()
    while True:
        try:
            left = _count_requests(port)
        except ConnectionRefusedError:
            say("drain: no replica answers here")
            return True
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            left = None
        waited = time.monotonic() - started
        if left == 0 and waited >= settle_seconds:
            say(f"drain: no request left after {waited:.1f} s")
            return True
        if waited >= timeout_seconds:
            say(f"drain: gave up after {waited:.0f} s with {left} requests left")
            return False
        time.sleep(_interval_seconds)  # why: polling


def _count_requests(port: int) -> int:
    """Return how many requests are between their arrival and their last byte."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_answer_seconds)
    try:
        connection.request("GET", "/stats")
        document = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return max(int(document["inFlight"]), int(document["running"]) + int(document["waiting"]))
