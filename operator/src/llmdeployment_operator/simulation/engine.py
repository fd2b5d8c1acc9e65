"""One replica on a virtual clock: the queueing model of the simulated engine, with steps of equal length taken in bulk.

The model is the one of the serving package's queueing.py, step by step; a test compares every request's times. Between two admissions or
completions all steps have the same length, so m of them are one multiplication:

    clock += m * step,   tokens += m * running,   gaps of this length += m * running

Worked example: one sequence of 100 tokens alone, 10 ms each, is two segments: the step that computes its prompt, and 99 steps at once.

A request that arrives while a step runs is admitted at the next one, so it ends the segment after the step under way, but only when there
is room for it: a full replica is not slowed down by arrivals.
"""

from array import array
from bisect import bisect_left
from collections import deque
from heapq import heappop, heappush
from itertools import accumulate
from math import inf

from llmdeployment_operator.autoscaler.types import BOUNDS, ReplicaSample
from llmdeployment_operator.simulation.profile import Profile


class Ledger:
    """What is known of each request by its index, in arrays: 10^7 requests take 400 MB.

    Times are seconds since the start of the trace; inf is "never".
    """

    def __init__(self) -> None:
        self.prompt = array("l")
        self.output = array("l")
        self.arrived = array("d")
        """At the gateway."""
        self.entered = array("d")
        """At a replica."""
        self.first = array("d")
        self.last = array("d")

    def arrive(self, at: float, prompt_tokens: int, output_tokens: int) -> int:
        """Write a new request down and return its index."""
        self.prompt.append(prompt_tokens)
        self.output.append(output_tokens)
        self.arrived.append(at)
        self.entered.append(inf)
        self.first.append(inf)
        self.last.append(inf)
        return len(self.arrived) - 1


class Replica:
    """One replica: a queue, a running set and what it counts.

    The present step began at `_clock`; it and the `_left - 1` after it take `_step` seconds each. Callers advance before they add, look or
    read `load`.
    """

    def __init__(self, profile: Profile, ledger: Ledger, number: int, ordered_at: float) -> None:
        self.number = number
        self.uid = f"replica-{number}"
        self.ordered_at = ordered_at
        self.drained_at = inf
        """From when on it gets no more requests."""
        self.load = 0
        """Requests in flight here."""
        self.next = inf
        """When the present segment ends."""
        self.last_end = ordered_at
        """When the last request ended."""
        self._ledger = ledger
        self._per_prompt_token = 1.0 / profile.prefill_tokens_per_second
        self._per_sequence = 1.0 / profile.batch_tokens_per_second
        self._fixed = 1.0 / profile.decode_tokens_per_second - self._per_sequence
        self._slots = profile.max_num_seqs
        self._token_budget = profile.max_num_batched_tokens
        self._kv_limit = profile.kv_cache_tokens
        self._waiting: deque[int] = deque()
        self._running: list[tuple[int, int]] = []
        """A heap of (number of the step at whose end it is done, index)."""
        self._fresh: list[int] = []
        """Those that get their first token at the end of the present step."""
        self._clock = 0.0
        self._step = 0.0
        self._left = 0
        self._steps = 0
        self._kv = 0
        self._prompt_tokens = 0
        self._generated = 0
        self._ttft = [0] * (len(BOUNDS) + 1)
        self._itl = [0] * (len(BOUNDS) + 1)
        self._e2e = [0] * (len(BOUNDS) + 1)
        self._queue = [0] * (len(BOUNDS) + 1)

    def advance(self, now: float) -> None:
        """Take every step that decides something and ends by `now`."""
        running, ledger = self._running, self._ledger
        last, entered = ledger.last, ledger.entered
        while self.next <= now:
            end = self.next
            self._take(self._left)
            self._clock = end
            while running and running[0][0] <= self._steps:
                index = heappop(running)[1]
                last[index] = end
                self._e2e[bisect_left(BOUNDS, end - entered[index])] += 1
                self._kv -= ledger.prompt[index] + ledger.output[index]
                self.load -= 1
                self.last_end = end
            self._begin()

    def add(self, index: int, now: float) -> None:
        """Put a request at the end of the queue."""
        waiting, ledger = self._waiting, self._ledger
        ledger.entered[index] = now
        waiting.append(index)
        self.load += 1
        if self.next == inf:
            self._clock = now
            self._begin()
        elif self._left > 1 and len(waiting) == 1 and self._fits(index):
            self._left = min(self._left, int((now - self._clock) / self._step) + 1)
            self.next = self._clock + self._left * self._step

    def observation(self, now: float) -> ReplicaSample:
        """Return what the replica would say of itself at `now`, up to the last step that has ended."""
        if self._left > 1:
            done = min(self._left - 1, int((now - self._clock) / self._step))
            if done > 0:
                self._take(done)
                self._clock += done * self._step
                self._left -= done
        return ReplicaSample(
            at=now,
            running=len(self._running),
            waiting=len(self._waiting),
            kv_usage=self._kv / self._kv_limit,
            prompt_tokens=self._prompt_tokens,
            generation_tokens=self._generated,
            histograms={
                "ttft": tuple(accumulate(self._ttft)),
                "itl": tuple(accumulate(self._itl)),
                "e2e": tuple(accumulate(self._e2e)),
                "queue": tuple(accumulate(self._queue)),
            },
        )

    def _fits(self, index: int) -> bool:
        """Return whether there are a slot and KV cache for a request."""
        need = self._ledger.prompt[index] + self._ledger.output[index]
        return len(self._running) < self._slots and self._kv + need <= self._kv_limit

    def _take(self, steps: int) -> None:
        """Count what the next `steps` steps do; the requests of `_fresh` get their first token at the end of the first."""
        running = len(self._running)
        self._steps += steps
        self._generated += steps * running
        gaps = steps * running
        if self._fresh:
            end = self._clock + self._step
            first, entered = self._ledger.first, self._ledger.entered
            for index in self._fresh:
                first[index] = end
                self._ttft[bisect_left(BOUNDS, end - entered[index])] += 1
            gaps -= len(self._fresh)
            self._fresh = []
        if gaps:
            self._itl[bisect_left(BOUNDS, self._step)] += gaps

    def _begin(self) -> None:
        """Admit what fits, first come first served, and set the segment that follows. The queue's head is never overtaken."""
        waiting, running, ledger = self._waiting, self._running, self._ledger
        tokens = 0
        while waiting and len(running) < self._slots:
            index = waiting[0]
            prompt, output = ledger.prompt[index], ledger.output[index]
            if self._kv + prompt + output > self._kv_limit:
                break
            if self._fresh and tokens + prompt > self._token_budget:
                break
            waiting.popleft()
            heappush(running, (self._steps + output, index))
            self._fresh.append(index)
            self._kv += prompt + output
            tokens += prompt
            self._queue[bisect_left(BOUNDS, self._clock - ledger.entered[index])] += 1
        if not running:
            self.next = inf
            self._left = 0
            return
        self._prompt_tokens += tokens
        self._step = (
            tokens * self._per_prompt_token + self._fixed + len(running) * self._per_sequence
        )
        self._left = 1 if self._fresh else running[0][0] - self._steps
        self.next = self._clock + self._left * self._step
