"""The replicas of a rollout: ordered, ready after a warm-up, ended; and what they cost."""

import math
from collections.abc import Mapping


class Fleet:
    """The replicas that exist, by revision.

    A replica exists from its order to its end, and is ready `warm_up` seconds after its order. It ends at once, those that are not ready
    first: how long its last answers take is left out.
    """

    def __init__(self, serving: Mapping[int, int], warm_up: float) -> None:
        self._warm_up = warm_up
        self._ready_at = {revision: [0.0] * number for revision, number in serving.items()}
        self._usual = sum(serving.values())
        self._paid_until = 0.0
        self.most = self._usual
        """Replicas that existed at the same time, at most."""
        self.extra_seconds = 0.0
        """Replica-seconds beyond those of the replicas that serve usually."""

    def resize(self, needs: Mapping[int, int], now: float) -> bool:
        """Order and end replicas so that these exist, and say whether any was ordered or ended."""
        self.pay(now)
        changed = False
        for revision in {*self._ready_at, *needs}:
            there, need = self._ready_at.setdefault(revision, []), needs.get(revision, 0)
            changed = changed or len(there) != need
            there.extend([now + self._warm_up] * (need - len(there)))
            del there[need:]
        self.most = max(self.most, self._count())
        return changed

    def pay(self, now: float) -> None:
        """Count what exists up to now."""
        self.extra_seconds += (self._count() - self._usual) * (now - self._paid_until)
        self._paid_until = now

    def count_ready(self, now: float) -> dict[int, int]:
        """Return how many replicas are ready, by revision."""
        return {
            revision: sum(at <= now for at in times) for revision, times in self._ready_at.items()
        }

    def find_next_ready(self, now: float) -> float:
        """Return when the next replica becomes ready, or infinity."""
        later = (at for times in self._ready_at.values() for at in times if at > now)
        return min(later, default=math.inf)

    def _count(self) -> int:
        return sum(map(len, self._ready_at.values()))
