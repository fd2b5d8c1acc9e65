"""Counts of a replica: cumulative histograms and counters, per revision and for the whole engine.

All counts only grow, from the start of the process. A reader keeps its latest answer and subtracts, as with Prometheus counters. So
any number of readers at any interval get exact differences.
"""

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llmdeployment_serving.output_shares import OutputPattern, ShareCounts

BOUNDS: tuple[float, ...] = tuple(
    float(f"{digits}e{power}") for power in range(-3, 3) for digits in (1, 1.5, 2, 3, 5, 7.5)
)
"""Upper bounds in seconds, 1 ms to 750 s, six per decade: a quantile read from them is off by at most a factor of 1.7, and the round
numbers people choose as targets (200 ms, 500 ms, 1 s, 5 s) are bounds themselves, where a share is exact."""

TOKEN_BOUNDS: tuple[float, ...] = tuple(
    digits * 10**power // 2 for power in range(1, 5) for digits in (2, 3, 4, 6, 10, 15)
)
"""Upper bounds of an answer's tokens, 10 to 75,000, in the same series."""

PROMPT_BYTES = (1024, 8192)
"""Bytes at which the buckets of prompt lengths end; the last bucket has the rest. At 4 bytes per token, 256 and 2,048 tokens."""


GROUPS = 64
"""Groups of users; a user's group is the bucket that the gateway assigned him to (0 to 9,999), modulo this.

A group is counted where a user would take 10,000 rows: enough groups to see how much users differ, and few enough to be sent."""

BOUNDED_GROUPS = 16
"""Groups of users of the bounded sample: with more, the counts of a revision would not fit into 64 KiB of memory."""

_BUCKET_DIGITS = 4


def find_length_bucket(prompt_bytes: int) -> int:
    """Return the bucket of a prompt.

    >>> [find_length_bucket(size) for size in (0, 1023, 1024, 8192)]
    [0, 0, 1, 2]
    """
    return bisect_right(PROMPT_BYTES, prompt_bytes)


def find_group(bucket: bytes) -> int | None:
    """Return the group of users of an `x-llm-bucket`; None for what no gateway writes.

    >>> [find_group(bucket) for bucket in (b"0", b"63", b"64", b"9999", b"")]
    [0, 63, 0, 15, None]
    >>> [find_group(bucket) for bucket in (b"10000", b"-1", b"1.5", "\u0663".encode())]
    [None, None, None, None]
    """
    if not bucket.isdigit() or len(bucket) > _BUCKET_DIGITS:
        return None
    return int(bucket) % GROUPS


class Histogram:
    """Counts of values, such as durations in seconds, by bucket."""

    def __init__(self, bounds: tuple[float, ...] = BOUNDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> int:
        """Count one value and return its place among the bounds; one that equals a bound belongs to it, as in Prometheus."""
        place = bisect_left(self._bounds, value)
        self._counts[place] += 1
        self._sum += value
        return place

    def as_json(self) -> dict[str, Any]:
        """Return `{"buckets": [[bound, cumulative count], ...], "sum": s, "count": n}`."""
        total = 0
        buckets: list[list[Any]] = []
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            buckets.append([bound, total])
        return {"buckets": buckets, "sum": self._sum, "count": total}


class SplitHistogram:
    """A histogram, its counts by prompt length, and its counts by group of users.

    The counts by group are one flat array of groups x buckets, made with the first request that has a group: lists of Python's
    numbers would take several times the memory. A count has 32 bits until one is full, and all have 64 then.

    Args:
        bounds: upper bounds of the buckets.
        groups: how many groups there are; a group of users is counted modulo this.
    """

    def __init__(self, bounds: tuple[float, ...] = BOUNDS, groups: int = GROUPS) -> None:
        self._all = Histogram(bounds)
        self._width = len(bounds) + 1
        self._parts = [[0] * self._width for _ in (*PROMPT_BYTES, "+Inf")]
        self._group_count = groups
        self._groups: array[int] = array("I")

    def observe(self, value: float, bucket: int, group: int | None = None) -> None:
        """Count one value of an answer to a prompt of this `find_length_bucket`, for a user of this `find_group`."""
        place = self._all.observe(value)
        self._parts[bucket][place] += 1
        if group is None:
            return
        if not self._groups:
            # why: an array that is made of bytes has room for a sixteenth more.
            self._groups = array("I", [0]) * (self._group_count * self._width)
        cell = group % self._group_count * self._width + place
        try:
            self._groups[cell] += 1
        except OverflowError:
            # Gaps between tokens are so many that a busy group's 32 bits may be full within weeks.
            self._groups = array("Q", self._groups)
            self._groups[cell] += 1

    def as_json(self) -> dict[str, Any]:
        """Return the histogram's JSON and `"byPromptBytes": [[below, [count, ...]], ...]`: not cumulative, in the order of `buckets`."""
        parts = zip((*PROMPT_BYTES, "+Inf"), self._parts, strict=True)
        return self._all.as_json() | {"byPromptBytes": [[below, counts] for below, counts in parts]}

    def count_group_bytes(self) -> int:
        """Return the memory of the counts by group, in bytes."""
        return sys.getsizeof(self._groups)

    def list_groups(self) -> list[list[Any]]:
        """Return `[[group, [count, ...]], ...]` of the groups that have any: not cumulative, in the order of `buckets`.

        Pairs of place and count would be shorter while few buckets have a count, but up to half longer, compressed, when all have.
        """
        rows = (
            (group, self._groups[group * self._width : (group + 1) * self._width].tolist())
            for group in range(self._group_count)
        )
        return [[group, counts] for group, counts in rows if any(counts)]


class Sample:
    """What requests of a revision were like.

    Args:
        groups: how many groups of users there are.

    Attributes:
        ttft: seconds from arrival to the first chunk, of streamed answers only.
        itl: seconds between two chunks that carry tokens.
        e2e: seconds from arrival to the last byte of finished answers.
        output_tokens: tokens of finished answers: from their usage, else the chunks of a stream that carry tokens, else not counted.
        shares: what finished answers are like.
    """

    def __init__(self, groups: int) -> None:
        self.ttft = SplitHistogram(groups=groups)
        self.itl = SplitHistogram(groups=groups)
        self.e2e = SplitHistogram(groups=groups)
        self.output_tokens = SplitHistogram(TOKEN_BOUNDS, groups)
        self.shares = ShareCounts(len(PROMPT_BYTES) + 1, groups)

    def as_json(self) -> dict[str, Any]:
        """Return the histograms and shares, without the groups."""
        return {
            "ttft": self.ttft.as_json(),
            "itl": self.itl.as_json(),
            "e2e": self.e2e.as_json(),
            "outputTokens": self.output_tokens.as_json(),
            "shares": self.shares.as_json((*PROMPT_BYTES, "+Inf")),
        }

    def list_groups(self) -> dict[str, list[list[Any]]]:
        """Return each histogram's counts by group of users."""
        return {
            "ttft": self.ttft.list_groups(),
            "itl": self.itl.list_groups(),
            "e2e": self.e2e.list_groups(),
            "outputTokens": self.output_tokens.list_groups(),
        }

    def count_group_bytes(self) -> int:
        """Return the memory of the counts by group, in bytes."""
        counted = (self.ttft, self.itl, self.e2e, self.output_tokens, self.shares)
        return sum(each.count_group_bytes() for each in counted)


@dataclass
class RevisionStats:
    """One revision's requests, measured where its bytes leave the replica."""

    requests: Counter[str] = field(default_factory=Counter)
    """Requests by status code; 499 means that the client left."""
    whole: Sample = field(default_factory=lambda: Sample(GROUPS))
    """What all of them were like."""
    bounded: Sample = field(default_factory=lambda: Sample(BOUNDED_GROUPS))
    """What those of the bounded sample were like (`bounded`)."""
    prompt_tokens: int = 0
    """Prompt tokens of the answers that report their cached tokens."""
    cached_prompt_tokens: int = 0
    """How many of these tokens were in the prefix cache."""
    usage_answers: int = 0
    """Finished answers that report their tokens."""
    usage_prompt_tokens: int = 0
    """Prompt tokens of these answers."""
    adapters: dict[str, str] = field(default_factory=dict)
    """State of each LoRA adapter: `loaded`, `loading`, or `failed: ` with the reason."""

    def as_json(self) -> dict[str, Any]:
        """Return this revision's part of `/stats`."""
        row = {
            "requests": dict(self.requests),
            **self.whole.as_json(),
            **self._count_cached(),
            "usage": {
                "answers": self.usage_answers,
                "promptTokens": self.usage_prompt_tokens,
            },
        }
        return {**row, "adapters": self.adapters} if self.adapters else row

    def set_patterns(self, patterns: Iterable[OutputPattern]) -> None:
        """Count these patterns from now on."""
        patterns = tuple(patterns)
        for sample in (self.whole, self.bounded):
            sample.shares.set_patterns(patterns)

    def _count_cached(self) -> dict[str, int]:
        """Return nothing until an answer reports cached tokens: 0 would mean that the cache is useless."""
        if not self.prompt_tokens:
            return {}
        return {
            "promptTokens": self.prompt_tokens,
            "cachedPromptTokens": self.cached_prompt_tokens,
        }


@dataclass(frozen=True)
class EngineSnapshot:
    """Counters of an engine at one moment."""

    running: int
    waiting: int
    kv_cache_usage: float
    """Share of the KV cache in use, 0 to 1."""
    prompt_tokens: int
    generation_tokens: int
    histograms: dict[str, Any]
    """`ttft`, `itl`, `e2e` and `queue` in the form of `Histogram.as_json`, over all requests since the start."""

    def add_past(self, past: "EngineSnapshot") -> "EngineSnapshot":
        """Return the counts of this engine and of those before it; what is under way is this one's alone."""
        return replace(
            self,
            prompt_tokens=past.prompt_tokens + self.prompt_tokens,
            generation_tokens=past.generation_tokens + self.generation_tokens,
            histograms={
                **past.histograms,
                **{
                    name: _add_histograms(past.histograms.get(name), histogram)
                    for name, histogram in self.histograms.items()
                },
            },
        )


NOTHING = EngineSnapshot(0, 0, 0.0, 0, 0, {})
"""Of no engine."""


def _add_histograms(past: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
    bounds = [bound for bound, _ in now["buckets"]]
    if past is None or [bound for bound, _ in past["buckets"]] != bounds:
        return now
    pairs = zip(past["buckets"], now["buckets"], strict=True)
    return {
        "buckets": [[bound, before + count] for (bound, before), (_, count) in pairs],
        "sum": past["sum"] + now["sum"],
        "count": past["count"] + now["count"],
    }


def build_stats(
    engine: str,
    model: str,
    snapshot: EngineSnapshot,
    revisions: dict[str, RevisionStats],
    *,
    in_flight: int = 0,
    engine_restarts: int = 0,
    self_test: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the body of `/stats`."""
    found = {
        "engine": engine,
        "model": model,
        "inFlight": in_flight,
        "engineRestarts": engine_restarts,
        "running": snapshot.running,
        "waiting": snapshot.waiting,
        "kvCacheUsage": snapshot.kv_cache_usage,
        "promptTokens": snapshot.prompt_tokens,
        "generationTokens": snapshot.generation_tokens,
        "histograms": snapshot.histograms,
        "revisions": {number: stats.as_json() for number, stats in revisions.items()},
    }
    return found if self_test is None else {**found, "selfTest": self_test}


def add_users(document: dict[str, Any], revisions: Mapping[str, RevisionStats]) -> dict[str, Any]:
    """Return the body of `/stats` with `byUser` in the histograms and shares of these revisions, and with their bounded sample."""
    rows = document["revisions"]
    grouped = {
        number: _add_groups(rows[number], stats.whole)
        | {"bounded": _add_groups(stats.bounded.as_json(), stats.bounded)}
        for number, stats in revisions.items()
    }
    return document | {"revisions": rows | grouped}


def _add_groups(row: dict[str, Any], sample: Sample) -> dict[str, Any]:
    histograms = {name: row[name] | {"byUser": part} for name, part in sample.list_groups().items()}
    shares = {
        share: row["shares"][share] | {"byUser": part}
        for share, part in sample.shares.list_groups().items()
    }
    return row | histograms | {"shares": shares}
