"""How many replicas two revisions have during a change, when `spec.rollout.maxSurge` limits them: one in, one out.

The new revision gets what the limit leaves free, takes the requests these replicas carry, the old one gives up as many, and so on. All
counts are of one arm; `replicas` is what carries all its requests. Requests are divided by whole percents, so what a number of replicas
carries is rounded up to the percent for the old revision and down for the new one: nobody is more than one percent short.
"""

WHOLE = 100
"""Percent."""


def share_replicas(replicas: int, weight: int) -> int:
    """Return how many of `replicas` carry `weight` percent of the traffic: rounded up, at least one of any.

    >>> share_replicas(8, 5), share_replicas(8, 25), share_replicas(8, 26), share_replicas(0, 50)
    (1, 2, 3, 0)
    """
    return max(1, -(-replicas * weight // WHOLE)) if replicas else 0


def count_room(max_surge: str, replicas: int) -> int:
    """Return how many replicas may exist beyond `replicas`: at least one, and one percent, or a change could not begin.

    >>> count_room("2", 8), count_room("25%", 8), count_room("10%", 8), count_room("1", 1000)
    (2, 2, 1, 10)
    """
    number = int(max_surge.rstrip("%"))
    asked = -(-replicas * number // WHOLE) if max_surge.endswith("%") else number
    return max(asked, -(-replicas // WHOLE), 1)


def percent_carried(replicas: int, ready: int) -> int:
    """Return the percent of the requests that so many replicas of the new revision take.

    >>> percent_carried(8, 1), percent_carried(8, 2), percent_carried(3, 1), percent_carried(8, 9)
    (12, 25, 33, 100)
    """
    return min(WHOLE, ready * WHOLE // replicas) if replicas else 0


def count_needed(replicas: int, weight: int) -> int:
    """Return how many replicas carry `weight` percent of the requests, to the percent.

    >>> count_needed(8, 100), count_needed(8, 88), count_needed(8, 75), count_needed(3, 67), count_needed(8, 0)
    (8, 7, 6, 2, 0)
    """
    if weight in (0, WHOLE):
        return replicas if weight else 0
    return min(replicas, replicas * (weight - 1) // WHOLE + 1) if replicas else 0


def percent_kept(replicas: int, ready: int) -> int:
    """Return the percent of the requests that so many replicas of the old revision cannot carry, so that a canary keeps it.

    >>> percent_kept(8, 4), percent_kept(8, 5), percent_kept(3, 1), percent_kept(8, 8), percent_kept(1000, 999)
    (50, 37, 66, 0, 1)
    """
    if ready >= replicas:
        return 0
    return max(1, (replicas - ready) * WHOLE // replicas)


def split(replicas: int, room: int, weight: int, need: int) -> tuple[int, int]:
    """Return the replicas of the old and of the new revision.

    Args:
        replicas: what carries all requests.
        room: how many may exist beyond them.
        weight: percent of the requests that the new revision has.
        need: replicas the new revision needs for what comes next.

    The old one keeps all while there is room. Eight replicas and room for one, on the way to 50 %: the first new one takes 12 %, an old
    one goes, the second takes 25 % with it, and so on.

    >>> split(8, 8, 0, 8), split(8, 1, 0, 4), split(8, 1, 12, 4), split(8, 1, 25, 4), split(8, 1, 37, 4)
    ((8, 8), (8, 1), (7, 2), (6, 3), (5, 4))
    """
    least, most = count_needed(replicas, WHOLE - weight), replicas + room
    old = min(replicas, max(least, most - need))
    return old, max(min(need, most - old), count_needed(replicas, weight))


def split_back(replicas: int, room: int, left: int) -> tuple[int, int]:
    """Return the replicas of the old and of the new revision while the new one gives its requests back.

    Args:
        replicas: what carries all requests.
        room: how many may exist beyond them.
        left: percent of the requests that the new revision still has.

    `split` in the other direction. Eight replicas and room for one, rolled back at 50 %: the new revision keeps four, so the old one gets
    a fifth; when it answers 37 % are left, which three carry, so it gets a sixth, and so on.

    >>> split_back(8, 1, 50), split_back(8, 1, 37), split_back(8, 1, 25), split_back(8, 1, 12), split_back(8, 1, 0)
    ((5, 4), (6, 3), (7, 2), (8, 1), (8, 0))
    """
    new = -(-replicas * left // WHOLE)
    return min(replicas, replicas + room - new), new
