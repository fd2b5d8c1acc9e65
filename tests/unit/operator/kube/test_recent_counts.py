"""The answers of about the last hour."""

from llmdeployment_operator.analysis.counts import CountKey, Counts, RevisionCounts
from llmdeployment_operator.kube.recent_counts import RecentCounts

OWNER = ("team", "chat")
KEY = CountKey("refusal", "1024")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def counted(total: int, bad: int = 0) -> dict[str, RevisionCounts]:
    return {"a": {1: {KEY: Counts(total, bad)}}}


def test_the_last_hour_is_summed_and_what_is_older_is_not() -> None:
    clock = Clock()
    recent = RecentCounts(clock)
    assert recent.is_due(OWNER)
    assert recent.add(OWNER, ["a"], counted(100, 9)) == {}
    for minute in range(1, 61):
        clock.now += 60
        assert recent.is_due(OWNER)
        found = recent.add(OWNER, ["a"], counted(100 + minute, 9))
        assert found[1][KEY] == Counts(minute, 0)
    clock.now += 60
    assert recent.add(OWNER, ["a"], counted(160, 9))[1][KEY] == Counts(60, 0)
    clock.now += 60
    # The first answer is more than an hour old.
    assert recent.add(OWNER, ["a"], counted(160, 9))[1][KEY] == Counts(59, 0)


def test_a_look_is_due_once_a_minute_also_if_nobody_answers() -> None:
    clock = Clock()
    recent = RecentCounts(clock)
    recent.add(OWNER, ["a"], {})
    clock.now += 59.9
    assert not recent.is_due(OWNER)
    assert recent.add(OWNER, ["a"], counted(5)) == {}
    clock.now += 0.1
    assert recent.is_due(OWNER)
    assert recent.is_due(("team", "other"))


def test_a_replica_that_begins_anew_makes_nothing_negative() -> None:
    clock = Clock()
    recent = RecentCounts(clock)
    recent.add(OWNER, ["a"], counted(100, 50))
    clock.now += 60
    assert recent.add(OWNER, ["a"], counted(3, 1))[1][KEY] == Counts(3, 1)
    recent.forget(OWNER)
    assert recent.is_due(OWNER)
    assert recent.add(OWNER, ["a"], counted(7, 1)) == {}
