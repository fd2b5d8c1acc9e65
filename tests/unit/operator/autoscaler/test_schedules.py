from datetime import UTC, datetime

import pytest

from llmdeployment_operator.autoscaler.schedules import Schedule, find_minimum, find_problem

WORK = Schedule("0 8 * * 1-5", 10 * 3600.0, 4, "Europe/Berlin")
NIGHT = Schedule("0 22 * * *", 8 * 3600.0, 2)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-01-12T06:59:59", 0),  # Monday, 07:59:59 in Berlin
        ("2026-01-12T07:00:00", 4),
        ("2026-01-12T16:59:59", 4),
        ("2026-01-12T17:00:00", 0),
        ("2026-07-13T06:00:00", 4),  # summer: 08:00 in Berlin
        ("2026-01-11T12:00:00", 0),  # Sunday
        ("2026-01-12T23:00:00", 2),
        ("2026-01-13T05:59:59", 2),  # across midnight
        ("2026-01-13T06:00:00", 0),
    ],
)
def test_the_floor_is_that_of_the_open_windows(when: str, expected: int) -> None:
    assert find_minimum([WORK, NIGHT], at(when)) == expected


def test_of_two_open_windows_the_larger_counts() -> None:
    always = Schedule("* * * * *", 60.0, 7)

    assert find_minimum([WORK, always, NIGHT], at("2026-01-12T09:00:00")) == 7


def test_without_schedules_there_is_no_floor() -> None:
    assert find_minimum([], at("2026-01-12T09:00:00")) == 0


@pytest.mark.parametrize(
    ("schedule", "word"),
    [
        (Schedule("0 25 * * *", 60.0, 1), "schedule"),
        (Schedule("0 8 * *", 60.0, 1), "five fields"),
        (Schedule("*/5 0 8 * * *", 60.0, 1), "five fields"),
        (Schedule("0 8 * * *", 60.0, 1, "Berlin"), "timeZone"),
        (Schedule("0 8 * * *", 60.0, 1, "../etc/passwd"), "timeZone"),
        (Schedule("0 8 * * *", 0.0, 1), "duration"),
    ],
)
def test_a_bad_schedule_is_named_and_left_out(schedule: Schedule, word: str) -> None:
    found = find_problem(schedule)

    assert found is not None
    assert word in found
    assert find_minimum([schedule, NIGHT], at("2026-01-12T23:00:00")) == 2


def test_a_time_the_clocks_leave_out_still_opens_the_window() -> None:
    spring = Schedule("30 2 * * *", 3600.0, 3, "Europe/Berlin")

    assert find_minimum([spring], at("2026-03-29T01:15:00")) == 3
