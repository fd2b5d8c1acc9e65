"""What pods count, kept from pass to pass so that differences are rates: requests and latencies of each revision.

A pod counts from its own start. Differences are made pod by pod, so that a pod that comes or goes is not a burst of requests.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RevisionCounters:
    """What one pod counts of one revision, cumulative.

    Attributes:
        requests: that ended, of a gateway.
        errors: those of them with status 5xx.
        ttft: answers by time to first token, cumulative over `autoscaler.types.BOUNDS` and infinity, of a replica.
        output_tokens: of a replica.
    """

    requests: int = 0
    errors: int = 0
    ttft: tuple[int, ...] = ()
    output_tokens: int = 0


@dataclass(frozen=True)
class LiveCounters:
    """What all pods count.

    Attributes:
        pods: by uid of the pod, then by revision.
        waiting: requests that wait now, in engines and in gateways; None while nobody says.
    """

    pods: Mapping[str, Mapping[int, RevisionCounters]] = field(default_factory=dict)
    waiting: int | None = None


def subtract(after: LiveCounters, before: LiveCounters) -> dict[int, RevisionCounters]:
    """Return what was counted between two looks, by revision, of pods that answered at both.

    A pod whose counters went down began anew, and is left out once.

    >>> looks = [LiveCounters({"pod": {4: RevisionCounters(requests)}}) for requests in (10, 25, 3)]
    >>> subtract(looks[1], looks[0])[4].requests, subtract(looks[2], looks[1])
    (15, {})
    """
    found: dict[int, RevisionCounters] = {}
    for uid in after.pods.keys() & before.pods.keys():
        for number, more in _subtract_pod(after.pods[uid], before.pods[uid]):
            found[number] = _add(found.get(number, RevisionCounters()), more)
    return found


def _subtract_pod(
    after: Mapping[int, RevisionCounters], before: Mapping[int, RevisionCounters]
) -> Iterator[tuple[int, RevisionCounters]]:
    for number, now in after.items():
        past = before.get(number, RevisionCounters())
        ttft = past.ttft or (0,) * len(now.ttft)
        if len(ttft) != len(now.ttft):
            continue
        found = RevisionCounters(
            now.requests - past.requests,
            now.errors - past.errors,
            tuple(new - old for new, old in zip(now.ttft, ttft, strict=True)),
            now.output_tokens - past.output_tokens,
        )
        if min(found.requests, found.errors, found.output_tokens, *found.ttft) >= 0:
            yield number, found


def _add(one: RevisionCounters, other: RevisionCounters) -> RevisionCounters:
    """Return the sum; a gateway has no latencies, and a replica's have one length."""
    pairs = zip(one.ttft, other.ttft, strict=True) if one.ttft and other.ttft else ()
    return RevisionCounters(
        one.requests + other.requests,
        one.errors + other.errors,
        tuple(a + b for a, b in pairs) or one.ttft or other.ttft,
        one.output_tokens + other.output_tokens,
    )
