"""What is a vote, and that each answer has one at most."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_gateway.votes import LONGEST_COMMENT, Vote, VoteError, VoteMemory, parse_vote


def write(**fields: Any) -> bytes:
    return json.dumps({"request_id": "id", "score": 1} | fields).encode()


@pytest.mark.parametrize(
    ("score", "badness"), [(0, 1000), (1, 0), (0.5, 500), (0.2, 800), (0.9996, 0), (0.0004, 1000)]
)
def test_a_vote_counts_for_what_it_lacks_to_a_good_one(score: float, badness: int) -> None:
    vote = parse_vote(write(score=score, comment="ok"))
    assert (vote.request_id, vote.comment, vote.badness) == ("id", "ok", badness)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", None),
        (b"\xff", None),
        (b"[]", None),
        (b"[" * 4000, None),
        (b'{"score": 1}', "request_id"),
        (b'{"request_id": "id"}', "score"),
        (write(request_id=7), "request_id"),
        (write(request_id="x" * 513), "request_id"),
        (write(score=True), "score"),
        (write(score="1"), "score"),
        (write(score=None), "score"),
        (write(score=-0.001), "score"),
        (write(score=1.001), "score"),
        (write(score=float("nan")), "score"),
        (write(score=float("inf")), "score"),
        (write(comment=None), "comment"),
        (write(comment="x" * (LONGEST_COMMENT + 1)), "comment"),
        (write(coment="typo"), "coment"),
    ],
)
def test_what_is_no_vote_is_refused_by_its_field(body: bytes, field: str | None) -> None:
    with pytest.raises(VoteError) as found:
        parse_vote(body)
    refusal = found.value.refusal
    assert (refusal.status, refusal.code, refusal.param) == (400, "invalid_feedback", field)
    assert refusal.message.startswith(field or "The body")
    assert '"score": 0 to 1' in refusal.message


def test_a_comment_of_the_limit_is_accepted() -> None:
    assert len(parse_vote(write(comment="x" * LONGEST_COMMENT)).comment) == LONGEST_COMMENT


@given(st.binary(max_size=60) | st.from_type(Vote).map(lambda v: v.model_dump_json().encode()))
def test_any_body_is_a_vote_or_is_refused(body: bytes) -> None:
    with suppress(VoteError):
        assert 0 <= parse_vote(body).badness <= 1000


def test_an_answer_has_one_vote() -> None:
    memory = VoteMemory(started=100)
    assert memory.horizon == 99
    assert [memory.add(b"a", 100), memory.add(b"b", 100), memory.add(b"a", 100)] == [
        True,
        True,
        False,
    ]


def test_answers_whose_votes_are_forgotten_accept_no_more_votes() -> None:
    memory = VoteMemory(started=100, most=2)
    for signature, at in ((b"a", 105), (b"b", 103), (b"c", 104)):
        assert memory.add(signature, at)
    assert memory.horizon == 103
    assert not memory.add(b"a", 105)
    assert not memory.add(b"c", 104)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 12)), max_size=60), st.integers(1, 5))
def test_nobody_votes_twice_whatever_is_forgotten(votes: list[tuple[int, int]], most: int) -> None:
    memory, counted = VoteMemory(started=1, most=most), []
    for number, at in votes:
        signature = b"%d %d" % (number, at)
        if at > memory.horizon and memory.add(signature, at):
            counted.append(signature)
    assert len(set(counted)) == len(counted)
    assert memory.horizon >= 0
