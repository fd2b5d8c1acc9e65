"""Which models a full cache forgets: pure, from what the cache holds to what goes.

A cache holds blobs (files by content) and entries (the blobs of one model). Entries share blobs. An entry that a pod uses never goes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Entry:
    """One model in the cache.

    Attributes:
        name: of its file.
        blobs: bytes of each of its files when whole, by blob.
        used_at: seconds since the epoch of its last use.
        in_use: whether a pod uses it, or may.
    """

    name: str
    blobs: Mapping[str, int] = field(default_factory=dict)
    used_at: float = 0.0
    in_use: bool = False


@dataclass(frozen=True)
class Eviction:
    """What goes so that a model fits.

    Attributes:
        entries: names of the entries that go, the least recently used first.
        lacking: bytes that are still missing after all that can go has gone; 0: the model fits.
    """

    entries: tuple[str, ...]
    lacking: int


def plan_eviction(
    entries: tuple[Entry, ...],
    wanted: Mapping[str, int],
    present: Mapping[str, int],
    *,
    limit: int | None,
    free: int,
) -> Eviction:
    """Return which entries go so that the wanted blobs fit.

    Two things must hold, with K the blobs of the wanted model and of the entries that stay, size(b) a blob's bytes when whole and
    here(b) those of it that are on the volume, also if no entry knows it:

        sum of size(b) for b in K                <= limit
        sum of size(b) - here(b) for b in K      <= free + sum of here(b) for b not in K

    The second counts what other downloads have still to write, so that two that begin together do not fill the volume together.

    Args:
        entries: all of the cache, without the wanted one.
        wanted: bytes of each blob of the wanted model.
        present: bytes of each blob that is on the volume, whole or not.
        limit: bytes that the cache may hold; None: as many as the volume has.
        free: bytes that are free on the volume.

    Example: a volume of 10 bytes holds the entries `old` (4 bytes) and `new` (4 bytes), and 5 are wanted. `old` goes.

    >>> two = (Entry("new", {"n": 4}, used_at=2), Entry("old", {"o": 4}, used_at=1))
    >>> plan_eviction(two, {"w": 5}, {"n": 4, "o": 4}, limit=None, free=2)
    Eviction(entries=('old',), lacking=0)
    """
    staying = sorted(entries, key=lambda entry: entry.used_at, reverse=True)
    gone: list[str] = []
    while True:
        kept = {**wanted, **{b: size for e in staying for b, size in e.blobs.items()}}
        over = 0 if limit is None else sum(kept.values()) - limit
        to_come = sum(max(0, size - present.get(blob, 0)) for blob, size in kept.items())
        freed = sum(size for blob, size in present.items() if blob not in kept)
        lacking = max(0, over, to_come - free - freed)
        if not lacking:
            return Eviction(tuple(gone), 0)
        unused = [entry for entry in staying if not entry.in_use]
        if not unused:
            return Eviction((), lacking)
        staying.remove(unused[-1])
        gone.append(unused[-1].name)
