"""Waiting for something to become true, with a deadline and without guessing how long it takes."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE = threading.Event()


def until(ask: Callable[[], T | None], seconds: float, what: str) -> T:
    """Return the first true answer of `ask`; fail with its last one after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}; last: {answer!r}")
        _PAUSE.wait(0.05)
