"""When what the API server said is believed, and when it is asked again."""

from llmdeployment_operator.kube.read_cache import LONGEST, ReadCache
from llmdeployment_operator.plan.observed.cluster_state import ClusterState

OWNER = ("prod", "chat")
VERSION = ("uid-1", 3)
SEEN = ClusterState(missing_secrets=frozenset({"none"}))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def read(known: ReadCache, cluster: ClusterState = SEEN) -> None:
    known.keep(OWNER, VERSION, known.begin(OWNER), cluster)


def test_what_was_read_is_believed_until_an_event_comes() -> None:
    known = ReadCache(Clock())
    read(known)
    assert known.of(OWNER, VERSION) is SEEN
    known.changed(OWNER)
    assert known.of(OWNER, VERSION) is None


def test_another_spec_and_another_object_of_the_name_are_read_anew() -> None:
    known = ReadCache(Clock())
    read(known)
    assert known.of(OWNER, ("uid-1", 4)) is None
    assert known.of(OWNER, ("uid-2", 3)) is None
    assert known.of(("prod", "other"), VERSION) is None


def test_a_change_during_the_reading_is_not_lost() -> None:
    known = ReadCache(Clock())
    begun = known.begin(OWNER)
    known.changed(OWNER)
    known.keep(OWNER, VERSION, begun, SEEN)
    assert known.of(OWNER, VERSION) is None


def test_an_event_that_was_lost_costs_half_a_minute() -> None:
    clock = Clock()
    known = ReadCache(clock)
    read(known)
    clock.now += LONGEST
    assert known.of(OWNER, VERSION) is SEEN
    clock.now += 0.1
    assert known.of(OWNER, VERSION) is None


def test_one_that_is_gone_is_forgotten() -> None:
    known = ReadCache(Clock())
    read(known)
    known.forget(OWNER)
    assert known.of(OWNER, VERSION) is None
