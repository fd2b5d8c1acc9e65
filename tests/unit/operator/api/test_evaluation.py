"""`spec.rollout.evaluation`: schedules that cannot be kept are refused, by the API server and here with one sentence."""

import re
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from llmdeployment_operator.api import cron
from llmdeployment_operator.api.crd import build_crd
from llmdeployment_operator.api.evaluation import NEVER, EvaluationSpec

GOLDEN = {"golden": {"pvc": "pvc://claim/set.jsonl"}}


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("at noon please", "must have five cron fields"),
        ("0 25 * * *", "must have five cron fields"),
        ("* * * * *", "at most once an hour"),
        ("*/30 * * * *", "at most once an hour"),
        ("0,30 * * * *", "at most once an hour"),
        ("0-5 * * * *", "at most once an hour"),
        ("0 3 30 2 *", "never fires"),
        ("0 3 31 02 *", "never fires"),
        ("0 3 30,31 feb *", "never fires"),
        ("0 3 31 4,6,SEP *", "never fires"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused(schedule: str, why: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(why)):
        EvaluationSpec.model_validate({**GOLDEN, "schedule": schedule})


@pytest.mark.parametrize(
    "schedule",
    ["0 3 * * *", "59 23 29 2 *", "0 3 30 2,3 *", "0 3 31 1 *", "0 3 30 2 1", "05 */2 * * 1-5"],
)
def test_a_schedule_that_fires_is_taken(schedule: str) -> None:
    policy = EvaluationSpec.model_validate({**GOLDEN, "schedule": schedule})
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert cron.find_next(policy.schedule or "", policy.time_zone, now) is not None


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="is unknown"):
        EvaluationSpec.model_validate(
            {**GOLDEN, "schedule": "0 3 * * *", "timeZone": "Europe/Nowhere"}
        )


def test_the_api_server_refuses_what_never_fires_too() -> None:
    schema = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    found = schema["spec"]["properties"]["rollout"]["properties"]["evaluation"]
    rule = found["x-kubernetes-validations"][0]
    assert rule["message"] == NEVER
    assert cron.NEVER in rule["rule"]


def test_clocks_that_are_put_forward_and_back_skip_and_repeat_nothing() -> None:
    """02:30 in Berlin does not exist on 29 March 2026, and comes twice on 25 October."""
    spring = datetime(2026, 3, 29, 12, tzinfo=UTC)
    autumn = datetime(2026, 10, 25, 12, tzinfo=UTC)
    for now in (spring, autumn):
        last = cron.find_last("30 2 * * *", "Europe/Berlin", now)
        assert last is not None
        assert last.date() == now.date()
        begin = now.replace(hour=0)
        assert cron.count_times("30 2 * * *", "Europe/Berlin", begin, now) == 1
