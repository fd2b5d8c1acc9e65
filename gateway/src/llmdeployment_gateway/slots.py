"""The assignment of Services to HAProxy backends, which are called slots.

HAProxy cannot add backends while it runs, so their number is fixed, and a Service has one for as long as it has a row.
The assignment is a map file like the others, and an agent that starts reads it.
"""

from collections.abc import Iterable, Mapping

COUNT = 16
NAMES = tuple(f"slot{number}" for number in range(COUNT))


class NoSlotError(Exception):
    """The routes name more Services than there are slots."""


def assign(
    services: Iterable[str], before: Mapping[str, str], busy: Iterable[str]
) -> dict[str, str]:
    """Return the slot of each Service; a Service keeps the slot that it has.

    Args:
        services: the Services that need a slot.
        before: service to slot, so far.
        busy: slots that still have servers. A new Service gets one of them only if no other is free, because the streams that
            end there would count as its own.

    Raises:
        NoSlotError: there are not enough slots.
    """
    wanted = list(dict.fromkeys(services))
    kept = {service: before[service] for service in wanted if service in before}
    used, avoid = set(kept.values()), set(busy)
    free = [slot for slot in NAMES if slot not in used]
    free.sort(key=lambda slot: slot in avoid)
    new = [service for service in wanted if service not in kept]
    if len(new) > len(free):
        raise NoSlotError(
            f"{len(wanted)} Services have rows in routes.json, but a gateway has {COUNT} slots, so the routing stays as it was"
        )
    return {**kept, **dict(zip(new, free, strict=False))}


def parse_slots(text: str) -> dict[str, str]:
    """Return the assignment in a map file; leaves out lines that name no slot."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2 and pair[1] in NAMES}  # noqa: PLR2004  # because a line is a pair
