import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_gateway.routes import BUCKETS
from llmdeployment_gateway.tally import (
    BOUNDED_GROUPS,
    GROUPS,
    RECENT_SECONDS,
    UNASSIGNED,
    EndedRequest,
    Tally,
    parse_line,
)


@pytest.mark.parametrize(
    ("line", "ended"),
    [
        (
            b"200 1500 -- main 1 1234 21 id-1",
            EndedRequest(200, 1.5, "", "main", "1", "id-1", 1234, 21),
        ),
        (
            b"200 1500 -- main 1 0 - id-1",
            EndedRequest(200, 1.5, "", "main", "1", "id-1", 0),
        ),
        (b"404 0 PR - - - - id-1", EndedRequest(404, 0.0, "", "", "", "id-1")),
        (
            b"-1 20 CR main 2 9999 - id-1",
            EndedRequest(-1, 0.02, "client", "main", "2", "id-1", 9999),
        ),
        (b"200 900 SD main 2 7 - id", EndedRequest(200, 0.9, "replica", "main", "2", "id", 7)),
        (b"200 900 sD main 2 7 - id", EndedRequest(200, 0.9, "replica", "main", "2", "id", 7)),
        (b"503 -1 SC main 2 7 - id", EndedRequest(503, 0.0, "replica", "main", "2", "id", 7)),
        (
            b'200 1 -- main 1 7 - my "own" key 7 id',
            EndedRequest(200, 0.001, "", "main", "1", 'my "own" key 7 id', 7),
        ),
        *(
            (
                f"200 1 -- main 1 7 {recent} id".encode(),
                EndedRequest(200, 0.001, "", "main", "1", "id", 7),
            )
            for recent in ("key", "0", "-1", "1.5", "\u0663", "9" * 11)
        ),
        (b"400 1 PR - - - - -", EndedRequest(400, 0.001, "", "", "", "")),
        (b"200 1 -- main 1 7 - ", EndedRequest(200, 0.001, "", "main", "1", "", 7)),
        *(
            (
                f"200 1 -- main 1 {bucket} - id".encode(),
                EndedRequest(200, 0.001, "", "main", "1", "id"),
            )
            for bucket in ("10000", "-1", "1.5", "1e3", "x", "\u0663", "9" * 99)
        ),
        (b"200 1 -- main 1 7", None),
        (b"Server slot0/x is DOWN", None),
        (b"Server slot0/x is DOWN, reason: Layer4 connection problem", None),
        (b"Proxy front stopped (cumulated conns", None),
        (b"", None),
        (b"\xff\xfe", None),
    ],
)
def test_a_log_line_is_one_request(line: bytes, ended: EndedRequest | None) -> None:
    assert parse_line(line) == ended


def test_stats_have_the_shape_the_operator_reads() -> None:
    tally = Tally()
    for line in (
        b"200 1000 -- main 1 7 - id-1",
        b"200 500 -- main 1 7 - id-1",
        b"429 10 -- main 1 7 - id-1",
        b"404 0 PR - - - - id-1",
    ):
        assert tally.count_line(line)

    assert tally.stats([("main", "1"), ("main", "2")]) == [
        {
            "arm": "main",
            "revision": 1,
            "requests": {"2xx": 2, "4xx": 1, "5xx": 0},
            "durationSeconds": {"sum": 1.51, "count": 3},
            "feedback": {"votes": 0, "badThousandths": 0},
        },
        {
            "arm": "main",
            "revision": 2,
            "requests": {"2xx": 0, "4xx": 0, "5xx": 0},
            "durationSeconds": {"sum": 0.0, "count": 0},
            "feedback": {"votes": 0, "badThousandths": 0},
        },
    ]


def test_a_revision_without_a_row_keeps_its_counts() -> None:
    tally = Tally()
    tally.count_line(b"200 1000 -- main 1 7 - id-1")

    assert [row["revision"] for row in tally.stats([("main", "2")])] == [2, 1]


def test_two_arms_of_one_revision_are_two_rows() -> None:
    tally = Tally()
    for line in (
        b"200 1000 -- a 3 7 - id-1",
        b"500 500 -- b 3 7 - id-1",
        b"200 10 -- b 3 7 - id-1",
    ):
        tally.count_line(line)

    found = tally.stats([("a", "4"), ("a", "3"), ("b", "3")])

    assert [(row["arm"], row["revision"], row["requests"]) for row in found] == [
        ("a", 4, {"2xx": 0, "4xx": 0, "5xx": 0}),
        ("a", 3, {"2xx": 1, "4xx": 0, "5xx": 0}),
        ("b", 3, {"2xx": 1, "4xx": 0, "5xx": 1}),
    ]


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_a_line_may_be_odd_and_breaks_nothing(line: bytes) -> None:
    tally = Tally()
    tally.count_line(line)
    tally.count_line(b"200 1 -- main 1 " + line)
    assert len(tally.stats_with_users([("main", "1")])) >= 1


def count_users(*lines: str) -> Any:
    """Return the row of revision 1 of main after log lines like `200 7 3`."""
    tally = Tally()
    for status, bucket, recent in map(str.split, lines):
        tally.count_line(f"{status} 9 -- main 1 {bucket} {recent} id".encode())
    return tally.stats_with_users([("main", "1")])[0]


def test_requests_are_counted_by_group_of_users() -> None:
    row = count_users("200 7 3", "500 71 3", "503 71 3", "429 9999 3", "200 64 -")
    assert row["byUser"] == [[0, 1, 0], [7, 3, 2], [15, 1, 0]]
    assert row["requests"] == {"2xx": 2, "4xx": 1, "5xx": 2}


def test_a_request_without_an_answer_or_a_bucket_is_of_no_group() -> None:
    row = count_users("-1 7 3", "200 - -", "200 10000 3")
    assert (row["byUser"], row["durationSeconds"]["count"]) == ([], 3)


def test_users_are_the_buckets_of_requests_with_a_key() -> None:
    row = count_users("200 0 3", "-1 9 3", "500 9999 3", "200 9 3", "200 100 -")
    bits = int.from_bytes(base64.b64decode(row["users"]), "little")
    assert bits == 1 | 1 << 9 | 1 << 9999
    assert len(base64.b64decode(row["users"])) == BUCKETS // 8 == 1250
    assert "users" not in count_users("200 100 -")


@given(
    st.lists(
        st.tuples(st.sampled_from([-1, 200, 302, 404, 503]), st.integers(0, BUCKETS - 1)),
        max_size=50,
    )
)
def test_the_groups_add_up_to_the_requests(requests: list[tuple[int, int]]) -> None:
    row = count_users("200 0 -", *(f"{status} {bucket} key" for status, bucket in requests))
    assert sum(total for _, total, _ in row["byUser"]) == sum(row["requests"].values())
    assert sum(bad for _, _, bad in row["byUser"]) == row["requests"]["5xx"]
    assert all(0 <= group < GROUPS for group, _, _ in row["byUser"])


def test_only_revisions_that_are_routed_are_sent_by_group() -> None:
    tally = Tally()
    for arm, revision in (("a", 1), ("a", 2), ("b", 2)):
        tally.count_line(f"200 9 -- {arm} {revision} 7 3 id".encode())

    def find_grouped(rows: list[dict[str, object]]) -> list[tuple[object, object]]:
        return [(row["arm"], row["revision"]) for row in rows if "byUser" in row]

    # Arm a has left revision 2, whose counts must not fall.
    routed = [("a", "3"), ("b", "2")]
    assert find_grouped(tally.stats_with_users(routed)) == [("a", 3), ("b", 2), ("a", 2)]
    assert find_grouped(tally.stats(routed)) == []
    assert [row["revision"] for row in tally.stats(routed)] == [3, 2, 1, 2]


def test_votes_are_counted_by_group_of_users() -> None:
    tally = Tally()
    for bucket, badness in ((7, 1000), (71, 250), (9999, 0)):
        tally.count_vote("main", "1", bucket, badness)
    (row,) = tally.stats_with_users([("main", "1")])
    sums = {"votes": 3, "badThousandths": 1250}
    assert row["feedback"] == {**sums, "byUser": [[7, 2, 1250], [15, 1, 0]]}
    assert row["requests"] == {"2xx": 0, "4xx": 0, "5xx": 0}
    assert tally.stats([("main", "1")])[0]["feedback"] == sums


def test_a_user_who_sends_much_is_in_the_bounded_sample_by_chance() -> None:
    draws = iter((0.24, 0.25, 0.99, 0.99))
    tally = Tally(lambda: next(draws))
    # 20 of 80 is a quarter; one without a key, and one of few, are always in it.
    for status, bucket, recent in ((500, 7, 80), (200, 7, 80), (200, 9, 20), (404, 17, "-")):
        tally.count_line(f"{status} 9 -- main 1 {bucket} {recent} id".encode())
    (row,) = tally.stats_with_users([("main", "1")])
    assert row["bounded"] == {
        "requests": {"2xx": 1, "4xx": 1, "5xx": 1},
        "byUser": [[1, 1, 0], [7, 1, 1], [9, 1, 0]],
        "feedback": {"votes": 0, "badThousandths": 0, "byUser": []},
    }
    assert row["requests"] == {"2xx": 2, "4xx": 1, "5xx": 1}


def test_requests_without_a_bucket_or_an_answer_are_not_in_the_bounded_sample() -> None:
    row = count_users("200 - 3", "-1 7 3")
    assert row["bounded"]["requests"] == {"2xx": 0, "4xx": 0, "5xx": 0}


def test_votes_of_a_user_who_votes_much_are_in_the_bounded_sample_by_chance() -> None:
    draws = iter([0.99] * 20 + [0.94, 0.96, 0.99])
    tally = Tally(lambda: next(draws), lambda: 0.0)
    for _ in range(22):
        tally.count_vote("main", "1", 70, 500)
    tally.count_vote("main", "1", 71, 1000)
    (row,) = tally.stats_with_users([("main", "1")])
    # 20 of 21 are 0.952: the vote that drew 0.94 is in; 20 of 22 are 0.91.
    assert row["bounded"]["feedback"] == {
        "votes": 22,
        "badThousandths": 21 * 500 + 1000,
        "byUser": [[6, 21, 10_500], [7, 1, 1000]],
    }
    assert row["feedback"]["votes"] == 23


def test_the_bounded_sample_has_groups_that_those_of_users_fall_into() -> None:
    assert GROUPS % BOUNDED_GROUPS == 0


def test_prometheus_is_shown_a_revision_for_a_while_after_its_last_request() -> None:
    tally, end = Tally(), RECENT_SECONDS
    one, two = ("main", "1"), ("main", "2")
    tally.count_line(b"200 9 -- main 1 70 3 id")
    tally.count_line(b"503 9 -- main 2 70 3 id")
    tally.count_line(b"404 9 -- - - - - id")
    assert tally.list_recent([one, two], 0.0).keys() == {one, two, UNASSIGNED}
    # Revision 2 is rolled back, and answers its last request.
    assert tally.list_recent([one], end / 2).keys() == {one, two, UNASSIGNED}
    tally.count_line(b"503 9 -- main 2 70 3 id")
    assert two in tally.list_recent([one], end - 1)
    assert two in tally.list_recent([one], end + 1)
    assert tally.list_recent([one], 2 * end).keys() == {one, UNASSIGNED}
    assert two in tally.rows
    # A vote on one of its answers is shown too.
    tally.count_vote("main", "2", 70, 0)
    assert two in tally.list_recent([one], 2 * end + 1)
