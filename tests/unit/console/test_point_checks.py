"""What an operator, or somebody in its place, may say to a browser: numbers."""

from typing import Any

import pytest
from tests.unit.console.fakes import point

from llmdeployment_console.point_checks import is_point, read_fleet, read_points
from llmdeployment_console.sessions import Sessions

DEEP: Any = {"a": {"b": {"c": {"d": 1}}}}


@pytest.mark.parametrize(
    "change",
    [
        {"at": None},
        {"at": 5},
        {"at": "2" * 200},
        {"waiting": "<script>"},
        {"waiting": True},
        {"waiting": [1]},
        {"replicas": {"x" * 200: 1}},
        {"replicas": {str(number): number for number in range(300)}},
        {"replicas": DEEP},
    ],
)
def test_what_is_no_point_is_left_out(change: Any) -> None:
    bad = {**point(), **change}
    assert not is_point(bad)
    assert read_points({"points": [point(), bad, None, "x"]}) == [point()]
    row = {"namespace": "shop", "name": "chat", "point": bad, "ttftP90ByMinute": [bad] * 60}
    assert read_fleet({"items": [row]}) == {
        ("shop", "chat"): {"point": None, "ttftP90ByMinute": [None] * 60}
    }


def test_what_an_operator_writes_is_passed_on() -> None:
    row = {"namespace": "shop", "name": "chat", "point": point(), "ttftP90ByMinute": [0.1] * 60}
    assert read_fleet({"items": [row, "x"]}) == {
        ("shop", "chat"): {"point": point(), "ttftP90ByMinute": [0.1] * 60}
    }


@pytest.mark.parametrize("answer", [{}, {"points": "many", "items": 3}, {"error": "no"}])
def test_an_answer_of_another_form_says_nothing(answer: Any) -> None:
    assert read_points(answer) is None
    assert read_fleet(answer) == {}


def test_two_consoles_at_once_have_cookies_of_their_own() -> None:
    one, other = Sessions(8001), Sessions(8002)
    assert one.cookie != other.cookie
    value = one.exchange_token(one.issue_token())
    assert value is not None
    assert one.knows(value)
    assert not other.knows(value)
    assert not one.knows("")
    assert one.exchange_token("") is None


def test_a_new_token_replaces_one_that_was_not_used() -> None:
    sessions = Sessions(8001)
    old, new = sessions.issue_token(), sessions.issue_token()
    assert old != new
    assert sessions.exchange_token(old) is None
    assert sessions.exchange_token(new) is not None
