"""When a message is sent again: not for ever, not where it cannot help, and not all at once."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_operator.plan.notify.retries import (
    LIFE_SECONDS,
    find_pause,
    is_success,
    is_tried_again,
    read_retry_after,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "taken", "again"),
    [
        (None, False, True),
        (200, True, False),
        (204, True, False),
        (301, False, False),
        (307, False, False),
        (400, False, False),
        (404, False, False),
        (408, False, True),
        (410, False, False),
        (429, False, True),
        (500, False, True),
        (503, False, True),
    ],
)
def test_statuses(status: int | None, *, taken: bool, again: bool) -> None:
    assert is_tried_again(status) is again
    assert (status is not None and is_success(status)) is taken


@given(st.floats(0, 1), st.floats(0, 1e9))
def test_tries_end_within_their_life(chance: float, retry_after: float) -> None:
    age, tries = 0.0, 1
    while (pause := find_pause(tries, age, retry_after, chance)) is not None:
        assert pause >= 2.5
        age, tries = age + pause, tries + 1
    assert tries <= 10
    assert age <= LIFE_SECONDS


def test_ten_tries_take_half_an_hour_at_most() -> None:
    pauses = [find_pause(tries, 0, 0, chance=1.0) for tries in range(1, 10)]
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0),
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("-7", 0),
        ("1e9", 0),
        ("٣", 0),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60),
        ("Fri, 02 Jan 2026 03:00:05 GMT", 0),
        ("Fri, 02 Jan 2026 03:05:05", 0),
        ("9" * 100, 10**64 - 1),
    ],
)
def test_retry_after(text: str, seconds: float) -> None:
    assert read_retry_after(text, NOW) == pytest.approx(seconds)
