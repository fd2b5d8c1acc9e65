"""What is new since the last look, of counters that only grow."""

from datetime import UTC, datetime

from llmdeployment_operator.analysis.counts import (
    CountKey,
    Counts,
    RevisionCounts,
)
from llmdeployment_operator.api.rollout import MetricSpec
from llmdeployment_operator.kube.counts_cache import CountsCache

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ERRORS = MetricSpec(name="errorRate")
TTFT = MetricSpec(name="ttft", milliseconds=400)
LENGTH = MetricSpec(name="outputTokens", tokens=40)
OWNER = ("team", "chat")


def seen(total: int, bad: int = 0) -> RevisionCounts:
    return {2: {CountKey("errorRate"): Counts(total, bad)}}


def test_what_is_new_is_the_difference() -> None:
    collector = CountsCache()
    assert collector.add(OWNER, ["a", "b"], {"a": seen(100, 9)}) == {}
    assert collector.add(OWNER, ["a", "b"], {"a": seen(110, 10), "b": seen(7)}) == seen(10, 1)
    # b does not answer once, and nothing is lost; what was not reported yet stays new
    assert collector.add(OWNER, ["a", "b"], {"a": seen(111, 10)}) == seen(11, 1)
    assert collector.add(OWNER, ["a", "b"], {"a": seen(111, 10), "b": seen(9)}) == seen(13, 1)
    collector.mark_reported(OWNER)
    assert collector.add(OWNER, ["a", "b"], {"a": seen(112, 10)}) == seen(1)


def test_the_past_is_what_was_counted_before_what_is_new() -> None:
    collector = CountsCache()
    assert collector.sum_past(OWNER) == {}
    collector.add(OWNER, ["a", "b"], {"a": seen(100, 9), "b": seen(50, 1)})
    assert collector.sum_past(OWNER) == seen(150, 10)
    collector.add(OWNER, ["a", "b"], {"a": seen(110, 12), "b": seen(50, 1)})
    assert collector.sum_past(OWNER) == seen(150, 10)
    collector.mark_reported(OWNER)
    assert collector.sum_past(OWNER) == seen(160, 13)
    # a began anew: its 4 requests are new, and what it had before is gone
    collector.add(OWNER, ["a", "b"], {"a": seen(4), "b": seen(50, 1)})
    assert collector.sum_past(OWNER) == seen(50, 1)
    collector.add(OWNER, ["b"], {"b": seen(50, 1)})
    assert collector.sum_past(OWNER) == seen(46, 1)


def test_the_past_has_no_groups_of_users() -> None:
    collector = CountsCache()
    grouped = {2: {**seen(100, 9)[2], CountKey("errorRate", group=7): Counts(40, 2)}}
    collector.add(OWNER, ["a"], {"a": grouped})
    assert collector.sum_past(OWNER) == seen(100, 9)


def test_counters_that_begin_anew_count_from_nothing() -> None:
    collector = CountsCache()
    collector.add(OWNER, ["a"], {"a": seen(100, 9)})
    assert collector.add(OWNER, ["a"], {"a": seen(4, 1)}) == seen(4, 1)


def test_one_look_without_sense_does_not_count_the_past() -> None:
    collector = CountsCache()
    collector.add(OWNER, ["a"], {"a": seen(100, 9)})
    collector.add(OWNER, ["a"], {"a": {}})
    assert collector.add(OWNER, ["a"], {"a": seen(103, 9)}) == seen(3)


def test_a_metric_that_is_new_begins_now_and_a_revision_with_its_first_request() -> None:
    collector = CountsCache()
    collector.add(OWNER, ["a"], {"a": seen(100, 9)})
    more = {
        2: {CountKey("errorRate"): Counts(101, 9), CountKey("e2e>1ms"): Counts(70, 7)},
        3: {CountKey("errorRate"): Counts(4)},
    }
    fresh = collector.add(OWNER, ["a"], {"a": more})
    assert fresh == {2: {CountKey("errorRate"): Counts(1)}, 3: {CountKey("errorRate"): Counts(4)}}


def test_a_pod_that_is_gone_is_forgotten() -> None:
    collector = CountsCache()
    collector.add(OWNER, ["a"], {"a": seen(100)})
    collector.add(OWNER, [], {})
    assert collector.add(OWNER, ["a"], {"a": seen(150)}) == {}


def test_the_groups_of_users_are_added_like_the_whole() -> None:
    def count(*groups: Counts) -> RevisionCounts:
        whole = Counts(sum(each.total for each in groups), sum(each.bad for each in groups))
        keyed = {CountKey("errorRate", group=number): each for number, each in enumerate(groups)}
        return {2: {CountKey("errorRate"): whole, **keyed}}

    collector, nobody = CountsCache(), Counts()
    collector.add(OWNER, ["a", "b"], {"a": count(Counts(9, 2), nobody), "b": count(nobody, nobody)})
    now = {"a": count(Counts(10, 3), Counts(7, 3)), "b": count(nobody, Counts(4, 2))}
    fresh = collector.add(OWNER, ["a", "b"], now)
    assert fresh == count(Counts(1, 1), Counts(11, 5))


def test_users_are_united_until_nobody_compares() -> None:
    collector = CountsCache()
    assert collector.unite_users(OWNER, {1, 2}, [{1: 0b011}, {1: 0b110, 2: 0b1}]) == {1: 3, 2: 1}
    assert collector.unite_users(OWNER, {1, 2}, []) == {1: 3, 2: 1}
    assert collector.unite_users(("team", "other"), {1}, []) == {1: 0}
    # Revision 1 is routed no longer, and comes again.
    assert collector.unite_users(OWNER, {2}, [{1: 0b1, 2: 0b10}]) == {2: 2}
    assert collector.unite_users(OWNER, {1, 2}, []) == {1: 0, 2: 2}
    collector.forget(OWNER)
    assert collector.unite_users(OWNER, {1, 2}, []) == {1: 0, 2: 0}
