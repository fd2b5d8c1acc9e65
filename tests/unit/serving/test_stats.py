import gzip
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_serving.output_shares import compile_pattern
from llmdeployment_serving.stats import (
    BOUNDED_GROUPS,
    BOUNDS,
    GROUPS,
    TOKEN_BOUNDS,
    EngineSnapshot,
    Histogram,
    RevisionStats,
    SplitHistogram,
    add_users,
    build_stats,
    find_length_bucket,
)


def test_bounds_rise_and_hold_the_round_targets() -> None:
    assert list(BOUNDS) == sorted(set(BOUNDS))
    assert {0.001, 0.05, 0.2, 0.5, 1.0, 5.0, 750.0} <= set(BOUNDS)


def test_a_duration_equal_to_a_bound_belongs_to_it() -> None:
    histogram = Histogram()
    for seconds in (0.0, 0.5, 0.500001, 10_000.0):
        histogram.observe(seconds)

    document = histogram.as_json()
    cumulative = dict(map(tuple, document["buckets"]))
    assert (cumulative[0.001], cumulative[0.5], cumulative[0.75], cumulative[750.0]) == (1, 2, 3, 3)
    assert cumulative["+Inf"] == document["count"] == 4
    assert document["sum"] == pytest.approx(10_001.000001)


def test_the_parts_by_prompt_length_add_up_to_the_whole() -> None:
    histogram = SplitHistogram((1.0, 2.0))
    for value, prompt in ((0.5, 0), (2.0, 1023), (9.0, 1024), (9.0, 8192), (1.5, 1_000_000)):
        histogram.observe(value, find_length_bucket(prompt))

    assert histogram.as_json() == {
        "buckets": [[1.0, 1], [2.0, 3], ["+Inf", 5]],
        "sum": 22.0,
        "count": 5,
        "byPromptBytes": [[1024, [1, 1, 0]], [8192, [0, 0, 1]], ["+Inf", [0, 1, 1]]],
    }


def test_token_bounds_are_whole_round_numbers() -> None:
    assert list(TOKEN_BOUNDS) == sorted(set(TOKEN_BOUNDS))
    assert {10, 100, 500, 1000, 2000, 75_000} <= set(TOKEN_BOUNDS)
    assert all(isinstance(bound, int) for bound in TOKEN_BOUNDS)


def test_what_a_busy_revision_adds_to_stats_is_small() -> None:
    stats = RevisionStats()
    sample = stats.whole
    for histogram in (sample.ttft, sample.itl, sample.e2e, sample.output_tokens):
        for bucket in range(3):
            for value in (*BOUNDS, *TOKEN_BOUNDS):
                for _ in range(100):
                    histogram.observe(value, bucket)

    document = stats.as_json()
    size = len(json.dumps(document, separators=(",", ":")))
    for key in ("ttft", "itl", "e2e", "outputTokens"):
        del document[key]["byPromptBytes"]
    without = len(json.dumps(document, separators=(",", ":")))
    assert size - without < 2500
    assert size < 5000


@given(st.lists(st.tuples(st.floats(0, 1000), st.none() | st.integers(0, GROUPS - 1))))
def test_the_counts_by_group_add_up_to_the_values_of_users(
    observed: list[tuple[float, int | None]],
) -> None:
    split, users = SplitHistogram(), {group: Histogram() for group in range(GROUPS)}
    for value, group in observed:
        split.observe(value, 0, group)
        if group is not None:
            users[group].observe(value)

    assert split.as_json()["count"] == len(observed)
    assert split.list_groups() == [
        [group, list_counts(histogram)]
        for group, histogram in users.items()
        if histogram.as_json()["count"]
    ]


def list_counts(histogram: Histogram) -> list[int]:
    """Return what is in each bucket."""
    counts = [count for _, count in histogram.as_json()["buckets"]]
    return [now - before for before, now in zip([0, *counts], counts, strict=False)]


def test_a_count_by_group_that_is_full_goes_on_with_more_bits() -> None:
    split = SplitHistogram((1.0,))
    split.observe(0.5, 0, 3)
    split.observe(2.0, 0, 4)
    split._groups[3 * 2] = 2**32 - 1
    split.observe(0.5, 0, 3)
    split.observe(2.0, 0, 4)

    assert split.list_groups() == [[3, [2**32, 0]], [4, [0, 2]]]


def test_the_bounded_sample_has_fewer_groups() -> None:
    sample = RevisionStats().bounded
    for group in (3, 3 + BOUNDED_GROUPS, GROUPS - 1):
        sample.e2e.observe(0.5, 0, group)
        sample.shares.add({"refusal": group == 3}, 0, group)
    totals = {group: sum(counts) for group, counts in sample.list_groups()["e2e"]}
    assert totals == {3: 2, BOUNDED_GROUPS - 1: 1}
    assert sample.shares.list_groups()["refusal"] == [[3, 2, 1], [BOUNDED_GROUPS - 1, 1, 0]]
    assert GROUPS % BOUNDED_GROUPS == 0


def test_a_pattern_is_counted_in_both_samples() -> None:
    stats = RevisionStats()
    stats.set_patterns(compile_pattern("a", text) for text in ("x",))
    assert {"pattern/a"} <= stats.whole.shares.list_groups().keys()
    assert {"pattern/a"} <= stats.bounded.shares.list_groups().keys()


def fill_groups(most: int) -> RevisionStats:
    """Return a revision with a count of 1 to `most` in every bucket of every group of both samples."""
    stats, draw = RevisionStats(), random.Random(7)  # noqa: S311  # because nothing is secret
    stats.set_patterns([compile_pattern(f"p{number}", "x") for number in range(16)])
    for sample, groups in ((stats.whole, GROUPS), (stats.bounded, BOUNDED_GROUPS)):
        for histogram in (sample.ttft, sample.itl, sample.e2e, sample.output_tokens):
            histogram.observe(0, 0, 0)
            for cell in range(len(histogram._groups)):
                histogram._groups[cell] = draw.randint(1, most)
        # Most shares are of all answers, so a group's total is the same in all of them.
        totals = [draw.randint(1, most) for _ in range(groups)]
        for share in sample.shares._counts:
            for group, total in enumerate(totals):
                sample.shares.add({share: False}, 0, group)
                sample.shares._groups[share][2 * group] = total
                sample.shares._groups[share][2 * group + 1] = draw.randint(0, total // 10)
    return stats


def test_the_counts_by_group_take_at_most_64_kib_of_memory_a_revision() -> None:
    stats = fill_groups(9)

    used = stats.whole.count_group_bytes() + stats.bounded.count_group_bytes()
    # 80 groups of 3 x 37 and 25 counts, and of 2 counts for each of 7 built-in shares and 16 patterns, of 4 bytes: 56.9 KiB.
    counts = (GROUPS + BOUNDED_GROUPS) * (3 * 37 + 25 + 2 * 23) * 4
    assert counts == 58_240
    # And what Python adds to each of 54 arrays: 80 bytes.
    assert counts < used < 64 * 1024
    # When gaps of one length and group are more than 32 bits hold, theirs take twice as much.
    stats.whole.itl._groups[3] = 2**32 - 1
    stats.whole.itl.observe(BOUNDS[3], 0, 0)
    after = stats.whole.count_group_bytes() + stats.bounded.count_group_bytes()
    assert abs(after - used - GROUPS * 37 * 4) < 400
    assert RevisionStats().whole.count_group_bytes() < 400


@pytest.mark.parametrize(
    ("most", "kib"), [(9, 32), (2_000, 32), (5_000, 32), (50_000, 40), (1_000_000, 49)]
)
def test_stats_with_all_groups_of_a_revision_full_are_small_when_compressed(
    most: int, kib: int
) -> None:
    rows = {"3": fill_groups(most)}
    engine = {name: Histogram().as_json() for name in ("ttft", "itl", "e2e", "queue")}
    document = build_stats("vllm", "chat", EngineSnapshot(1, 2, 0.5, 30, 40, engine), rows)

    def compress(each: object) -> int:
        return len(gzip.compress(json.dumps(each, separators=(",", ":")).encode()))

    with_users = add_users(document, rows)
    assert len(with_users["revisions"]["3"]["itl"]["byUser"]) == GROUPS
    assert len(with_users["revisions"]["3"]["bounded"]["itl"]["byUser"]) == BOUNDED_GROUPS
    assert compress(document) + 2_000 < compress(with_users) <= kib * 1024
    assert "byUser" not in json.dumps(document)
