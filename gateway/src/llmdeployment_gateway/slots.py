"""Which HAProxy backend carries which Service.

Backends cannot be added while HAProxy runs, so there is a fixed number of them, and a Service is given one for as long as it
has a row. The assignment is a map file like the others: an agent that starts reads it back.
"""

from collections.abc import Iterable, Mapping

COUNT = 16
NAMES = tuple(f"slot{number}" for number in range(COUNT))


class NoSlotError(Exception):
    """More Services have rows than there are backends."""


def assign(
    services: Iterable[str], before: Mapping[str, str], busy: Iterable[str]
) -> dict[str, str]:
    """Return the slot of each service, the same as before where it had one.

    Args:
        services: those that must have one.
        before: service to slot, so far.
        busy: slots that still hold servers; a new service takes one of them only if there is no other, since the streams
            that end there would be counted as its own.

    Raises:
        NoSlotError: there are not enough.
    """
    wanted = list(dict.fromkeys(services))
    kept = {service: before[service] for service in wanted if service in before}
    used, avoid = set(kept.values()), set(busy)
    free = [slot for slot in NAMES if slot not in used]
    free.sort(key=lambda slot: slot in avoid)
    new = [service for service in wanted if service not in kept]
    if len(new) > len(free):
        raise NoSlotError(f"{len(wanted)} services have rows; a gateway carries {COUNT}")
    return {**kept, **dict(zip(new, free, strict=False))}


def read(text: str) -> dict[str, str]:
    """Return the assignment that `maps.slots` wrote; lines that name no slot of ours are left out."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and pair[1] in NAMES}  # noqa: PLR2004  because a line is a pair
