"""A worker pod's preStop hook: waits until its replica has no request left.

A deleted pod leaves the Service's endpoints at once, but load balancers notice it later, and streams in progress take their time.
Kubernetes ends the containers when this returns, or when the pod's grace period is over.
"""

import http.client
import json
import time
from collections.abc import Callable

SETTLE_SECONDS = 5.0
"""Seconds for load balancers to remove the pod; until then an idle replica may still get requests."""
TIMEOUT_SECONDS = 600.0
"""Seconds until the hook gives up waiting."""
_interval_seconds = 0.5
_answer_seconds = 5.0


def drain(
    port: int,
    *,
    settle_seconds: float = SETTLE_SECONDS,
    timeout_seconds: float = TIMEOUT_SECONDS,
    say: Callable[[str], None] = print,
) -> bool:
    """Wait until the replica at `port` has no request left; return False if some are left after `timeout_seconds`.

    A port that refuses connections has no replica (not yet, or its engine died), so there is nothing to wait for. A replica that
    accepts a connection but does not answer in time is busy, so this waits for it.
    """
    started = time.monotonic()
    while True:
        try:
            left = _count_requests(port)
        except ConnectionRefusedError:
            say("drain: no replica listens here, so nothing is left to drain")
            return True
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            left = None
        waited = time.monotonic() - started
        if left == 0 and waited >= settle_seconds:
            say(f"drain: no request left after {waited:.1f} s")
            return True
        if waited >= timeout_seconds:
            say(
                f"drain: gave up after {waited:.0f} s with {left if left is not None else 'an unknown number of'} requests left"
            )
            return False
        time.sleep(_interval_seconds)  # why: polling


def _count_requests(port: int) -> int:
    """Return how many requests have arrived but not got their last byte."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_answer_seconds)
    try:
        connection.request("GET", "/stats")
        document = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return max(int(document["inFlight"]), int(document["running"]) + int(document["waiting"]))
