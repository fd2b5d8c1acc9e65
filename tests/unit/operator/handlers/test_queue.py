import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_operator.handlers import queue as queues
from llmdeployment_operator.handlers.queue import WorkQueue, delay

Work = Callable[[str], Awaitable[float | None]]


async def drained(
    work: Work, feed: Callable[[WorkQueue[str]], None], until: Callable[[], bool]
) -> list[str]:
    """Run a queue until a predicate holds; returns the keys whose passes failed."""
    failed: list[str] = []

    async def fail(key: str, _error: Exception, failures: int) -> None:
        assert failures == failed.count(key) + 1
        failed.append(key)

    queue = WorkQueue(work, fail)
    task = asyncio.create_task(queue.run(3))
    feed(queue)
    async with asyncio.timeout(5):
        while not until():  # noqa: ASYNC110  # because the predicate is a plain function
            await asyncio.sleep(0)  # why: lets the queue run; the deadline is above
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return failed


async def test_many_events_before_a_pass_are_one_pass() -> None:
    passes: list[str] = []

    async def work(key: str) -> None:
        passes.append(key)

    def feed(queue: WorkQueue[str]) -> None:
        for _ in range(100):
            queue.put("a")
        queue.put("b")

    await drained(work, feed, lambda: len(passes) == 2)
    assert sorted(passes) == ["a", "b"]


async def test_an_event_during_a_pass_is_another_pass_and_never_at_the_same_time() -> None:
    running: list[str] = []
    passes: list[str] = []
    holder: list[WorkQueue[str]] = []

    async def work(key: str) -> None:
        assert key not in running
        running.append(key)
        if len(passes) < 2:
            holder[0].put(key)
        await asyncio.sleep(0)  # why: lets the other workers try
        running.remove(key)
        passes.append(key)

    def feed(queue: WorkQueue[str]) -> None:
        holder.append(queue)
        queue.put("a")

    await drained(work, feed, lambda: len(passes) == 3)
    assert passes == ["a", "a", "a"]


async def test_a_pass_that_fails_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "FIRST_DELAY", 0.001)
    passes: list[str] = []

    async def work(key: str) -> None:
        passes.append(key)
        if len(passes) < 4:
            raise RuntimeError("not yet")

    failed = await drained(work, lambda queue: queue.put("a"), lambda: len(passes) == 4)
    assert failed == ["a"] * 3


async def test_a_pass_is_made_again_when_it_asked_for_it() -> None:
    passes: list[str] = []

    async def work(key: str) -> float | None:
        passes.append(key)
        return 0.001 if len(passes) < 3 else None

    await drained(work, lambda queue: queue.put("a"), lambda: len(passes) == 3)


async def test_a_pass_that_hangs_is_seen_from_outside() -> None:
    holder: list[WorkQueue[str]] = []
    started = asyncio.Event()

    async def work(_: str) -> None:
        started.set()
        await asyncio.Event().wait()

    def feed(queue: WorkQueue[str]) -> None:
        holder.append(queue)
        queue.put("a")

    await drained(work, feed, lambda: started.is_set() and holder[0].stuck_for() > 0.01)


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_delays_are_bounded(failures: int, chance: float) -> None:
    assert 0.5 <= delay(failures, chance) <= 90
