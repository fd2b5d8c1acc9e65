"""What a pod's container `fetch-model` says: how far the download is while it runs, and what the source held when it ended."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmdeployment_operator.plan.base.objects import Object

CONTAINER = "fetch-model"
ADAPTERS = "fetch-adapters"
"""Name of the container that downloads adapters."""
PATH = "/-/fetch"
"""Where a container that downloads says how far it is, on the port that the replica will have."""
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_STEP = 5
"""Percent: a condition does not change with each byte."""
_MOST = 10**18
_GIGABYTE, _MEGABYTE = 10**9, 10**6


@dataclass(frozen=True)
class FetchProgress:
    """How far a download is.

    Attributes:
        size: bytes that are there.
        total: bytes of all files.
        rate: bytes per second, of the last half minute.
    """

    size: int
    total: int
    rate: int


def read_progress(body: Mapping[str, Any]) -> FetchProgress | None:
    """Return what a container answered, or None if it is nothing that can be true.

    >>> read_progress({"bytes": 1, "totalBytes": 2, "bytesPerSecond": 0})
    FetchProgress(size=1, total=2, rate=0)
    >>> read_progress({"bytes": 3, "totalBytes": 2, "bytesPerSecond": 0})
    """
    read = [body.get(key) for key in ("bytes", "totalBytes", "bytesPerSecond")]
    numbers = [each for each in read if isinstance(each, int) and 0 <= each <= _MOST]
    if len(numbers) < len(read) or not numbers[0] <= numbers[1] or not numbers[1]:
        return None
    return FetchProgress(*numbers)


def read_fetches(
    pods: Iterable[Object], said: Mapping[str, Mapping[str, Any]]
) -> dict[str, FetchProgress]:
    """Return how far the downloads of pods are, by name, out of what they said, by uid."""
    found = {
        pod["metadata"]["name"]: read_progress(said[pod["metadata"]["uid"]])
        for pod in pods
        if is_fetching(pod)
    }
    return {name: progress for name, progress in found.items() if progress is not None}


def describe_progress(progress: FetchProgress | None) -> str:
    """Return the rest of the sentence "Pod x is downloading the model", rounded so that it changes seldom.

    >>> describe_progress(FetchProgress(4_400_000_000, 16_100_000_000, 123_000_000))
    ': 4.0 of 16.1 GB (25 %), about 100 MB/s.'
    >>> describe_progress(None)
    '.'
    """
    if progress is None:
        return "."
    percent = progress.size * 100 // progress.total // _STEP * _STEP
    total = progress.total / _GIGABYTE
    rate = f"about {_round(progress.rate / _MEGABYTE)} MB/s" if progress.rate else "none now"
    return f": {total * percent / 100:.1f} of {total:.1f} GB ({percent} %), {rate}."


def _round(number: float) -> str:
    """Return a number with one digit that counts.

    >>> [_round(each) for each in (123.0, 96.0, 7.3, 0.42)]
    ['100', '100', '7', '0.4']
    """
    return f"{float(f'{number:.1g}'):g}"


def is_fetching(pod: Object) -> bool:
    """Say whether a pod downloads its model now."""
    return "running" in _find_state(pod)


def read_commit(pod: Object) -> str:
    """Return what the source held when a pod downloaded its model: a commit, or a SHA-256; empty if the pod does not say."""
    ended = _find_state(pod).get("terminated", {})
    if ended.get("exitCode") != 0:
        return ""
    try:
        told = json.loads(ended.get("message") or "")
    except ValueError:
        return ""
    found = told.get("commit") if isinstance(told, dict) else None
    return found if isinstance(found, str) and _COMMIT.fullmatch(found) else ""


def _find_state(pod: Object) -> dict[str, Any]:
    statuses = pod.get("status", {}).get("initContainerStatuses") or ()
    state: dict[str, Any] = next(
        (s.get("state", {}) for s in statuses if s["name"] == CONTAINER), {}
    )
    return state
