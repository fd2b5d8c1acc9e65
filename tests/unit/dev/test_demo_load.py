"""The load of `make demo-canary` does not outgrow a machine that answers slowly."""

import asyncio
import threading
from typing import Any

import pytest
from dev.demo.load import Load


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_more_requests_wait_than_are_allowed(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough = threading.Event()
    waiting, most = 0, 0

    async def answer(_load: Load, _session: Any, number: int) -> None:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await asyncio.sleep(0.05)  # why: an answer takes longer than the pause between two requests
        waiting -= 1
        if number == 10:
            enough.set()

    monkeypatch.setattr(Load, "_ask", answer)
    with Load("http://127.0.0.1:9", "chat", per_second=5000, at_once=at_once):
        assert enough.wait(10)
    assert most == at_once
