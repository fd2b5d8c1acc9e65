import gzip
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_serving.output_shares import compile_pattern
from llmdeployment_serving.stats import (
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
    for histogram in (stats.ttft, stats.itl, stats.e2e, stats.output_tokens):
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


def test_a_count_by_group_that_is_full_stays_full_and_the_request_is_counted() -> None:
    split = SplitHistogram((1.0,))
    split.observe(0.5, 0, 3)
    split._groups[3 * 2] = 2**32 - 1
    split.observe(0.5, 0, 3)

    assert split.list_groups() == [[3, [2**32 - 1, 0]]]
    assert split.as_json()["count"] == 2


def test_tokens_need_more_than_32_bits() -> None:
    itl = RevisionStats().itl
    itl.observe(0.02, 0, 3)
    itl._groups[3 * 37 + 8] = 2**32 - 1
    itl.observe(0.02, 0, 3)

    assert itl.list_groups()[0][1][8] == 2**32


def fill_groups(most: int) -> RevisionStats:
    """Return a revision with a count of 1 to `most` in every bucket of every group."""
    stats, draw = RevisionStats(), random.Random(7)  # noqa: S311  # because nothing is secret
    for histogram in (stats.ttft, stats.itl, stats.e2e, stats.output_tokens):
        histogram.observe(0, 0, 0)
        for cell in range(len(histogram._groups)):
            histogram._groups[cell] = draw.randint(1, most)
    patterns = [compile_pattern(f"p{number}", "x") for number in range(16)]
    stats.shares.set_patterns(patterns)
    # Most shares are of all answers, so a group's total is the same in all of them.
    totals = [draw.randint(1, most) for _ in range(GROUPS)]
    for share in stats.shares._counts:
        for group, total in enumerate(totals):
            stats.shares.add({share: False}, 0, group)
            stats.shares._groups[share][2 * group] = total
            stats.shares._groups[share][2 * group + 1] = draw.randint(0, total // 10)
    return stats


def test_the_counts_by_group_take_at_most_64_kib_of_memory_a_revision() -> None:
    stats = fill_groups(9)
    histograms = (stats.ttft, stats.itl, stats.e2e, stats.output_tokens)

    used = sum(histogram.count_group_bytes() for histogram in histograms)
    # With the 7 built-in shares and 16 patterns: 64 groups of 2 counts of 4 bytes each, 11.5 KiB, and what Python adds.
    shares = stats.shares.count_group_bytes()
    assert 23 * 64 * 2 * 4 == 11_776 < shares
    assert used + shares < 64 * 1024
    # 64 groups of 2 x 37 and 25 counts of 4 bytes, and of 37 of 8 bytes: 43.25 KiB, and what Python adds.
    assert 64 * ((2 * 37 + 25) * 4 + 37 * 8) == 44_288
    assert 44_288 < used < 64 * 1024
    assert sum(h.count_group_bytes() for h in (RevisionStats().itl, RevisionStats().ttft)) < 200


@pytest.mark.parametrize(
    ("most", "kib"), [(9, 32), (2_000, 32), (50_000, 32), (100_000, 40), (1_000_000, 40)]
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
    assert compress(document) + 2_000 < compress(with_users) <= kib * 1024
    assert "byUser" not in json.dumps(document)
