import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_gateway.bounded import BOUND, BOUND_SECONDS, RecentVotes, is_in_sample


@given(st.none() | st.integers(1, BOUND), st.floats(0, 1, exclude_max=True))
def test_users_who_send_little_are_always_in_the_sample(recent: int | None, drawn: float) -> None:
    assert is_in_sample(recent, drawn)


@pytest.mark.parametrize("recent", [21, 40, 1000])
def test_a_user_has_about_as_many_requests_in_the_sample_whatever_he_sends(recent: int) -> None:
    draw = random.Random(recent).random  # noqa: S311  # because nothing is secret
    taken = sum(is_in_sample(recent, draw()) for _ in range(100 * recent))
    assert taken / 100 == pytest.approx(BOUND, rel=0.1)


def test_votes_are_those_of_ten_minutes() -> None:
    now = 0.0
    votes = RecentVotes(lambda: now)
    assert [votes.add(7), votes.add(7), votes.add(8), votes.add(7)] == [1, 2, 1, 3]
    now = BOUND_SECONDS + 0.5 * BOUND_SECONDS
    # Half of the three before are of the last ten minutes.
    assert [votes.add(7), votes.add(7), votes.add(8)] == [2, 3, 1]
    now = 3.0 * BOUND_SECONDS
    assert votes.add(7) == 1
