"""A new revision answers live requests before its first one: alike it goes on, unlike it is rolled back, and users see neither."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.live import Live
from tests.support.load import Load
from tests.support.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ROLLOUT = {
    "strategy": "BlueGreen",
    "shadow": {"percent": 100, "requests": 20, "maxTokens": 16, "minAgreementPercent": 90},
    "rollbackWindow": "0s",
}

Named = Callable[[str], Live]


@pytest.fixture(scope="module")
def shadowed(live: Named) -> Live:
    return live("shadowed").create(rollout=ROLLOUT).until_ready()


def shadow(shadowed: Live) -> dict[str, Any]:
    found: dict[str, Any] = shadowed.object["status"]["arms"][0].get("shadow") or {}
    return found


def traffic(shadowed: Live) -> str:
    return str(shadowed.object["status"].get("traffic", ""))


def test_one_whose_answers_agree_goes_on(shadowed: Live) -> None:
    with Load(shadowed.url, "shadowed", per_second=4) as load:
        shadowed.edit(engine={"name": "simulated", "args": {"decode-tokens-per-second": 55}})
        until(lambda: shadow(shadowed).get("compared"), 120, "requests are compared")
        assert traffic(shadowed) == "rev1 100%"
        until(lambda: traffic(shadowed) == "rev2 100%", 120, "revision 2 has everything")
        shadowed.until_ready()
    assert load.outcome.failed == 0, load.outcome


def test_one_that_answers_otherwise_is_rolled_back_before_anybody_sees_it(shadowed: Live) -> None:
    with Load(shadowed.url, "shadowed", per_second=4) as load:
        shadowed.edit(engine={"name": "simulated", "args": {"refusal-percent": 100}})
        message = shadowed.until_reason("RolledBack")
    assert load.outcome.failed == 0, load.outcome
    assert set(load.outcome.revisions) == {"2"}
    assert "agree" in message
    assert "spec.rollout.shadow.minAgreementPercent" in message
