import pytest

from llmdeployment_gateway.tally import EndedRequest, Tally, parse_line


@pytest.mark.parametrize(
    ("line", "ended"),
    [
        (b"200 1500 -- main 1 id-1", EndedRequest(200, 1.5, "", "main", "1", "id-1")),
        (b"404 0 PR - - id-1", EndedRequest(404, 0.0, "", "", "", "id-1")),
        (b"-1 20 CR main 2 id-1", EndedRequest(-1, 0.02, "client", "main", "2", "id-1")),
        (b"200 900 SD main 2 id-1", EndedRequest(200, 0.9, "replica", "main", "2", "id-1")),
        (b"200 900 sD main 2 id-1", EndedRequest(200, 0.9, "replica", "main", "2", "id-1")),
        (b"503 -1 SC main 2 id-1", EndedRequest(503, 0.0, "replica", "main", "2", "id-1")),
        (
            b'200 1 -- main 1 my "own" id',
            EndedRequest(200, 0.001, "", "main", "1", 'my "own" id'),
        ),
        (b"400 1 PR - - -", EndedRequest(400, 0.001, "", "", "", "")),
        (b"200 1 -- main 1 ", EndedRequest(200, 0.001, "", "main", "1", "")),
        (b"Server slot0/x is DOWN", None),
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
        b"200 1000 -- main 1 id-1",
        b"200 500 -- main 1 id-1",
        b"429 10 -- main 1 id-1",
        b"404 0 PR - - id-1",
    ):
        assert tally.count_line(line)

    assert tally.stats([("main", "1"), ("main", "2")]) == [
        {
            "arm": "main",
            "revision": 1,
            "requests": {"2xx": 2, "4xx": 1, "5xx": 0},
            "durationSeconds": {"sum": 1.51, "count": 3},
        },
        {
            "arm": "main",
            "revision": 2,
            "requests": {"2xx": 0, "4xx": 0, "5xx": 0},
            "durationSeconds": {"sum": 0.0, "count": 0},
        },
    ]


def test_a_revision_without_a_row_keeps_its_counts() -> None:
    tally = Tally()
    tally.count_line(b"200 1000 -- main 1 id-1")

    assert [row["revision"] for row in tally.stats([("main", "2")])] == [2, 1]


def test_two_arms_of_one_revision_are_two_rows() -> None:
    tally = Tally()
    for line in (b"200 1000 -- a 3 id-1", b"500 500 -- b 3 id-1", b"200 10 -- b 3 id-1"):
        tally.count_line(line)

    found = tally.stats([("a", "4"), ("a", "3"), ("b", "3")])

    assert [(row["arm"], row["revision"], row["requests"]) for row in found] == [
        ("a", 4, {"2xx": 0, "4xx": 0, "5xx": 0}),
        ("a", 3, {"2xx": 1, "4xx": 0, "5xx": 0}),
        ("b", 3, {"2xx": 1, "4xx": 0, "5xx": 1}),
    ]
