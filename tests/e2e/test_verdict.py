"""A canary is judged by what its users feel: one as good goes on by itself, a slower one is rolled back by itself."""

from collections.abc import Callable

import pytest
from tests.support.live import Live
from tests.support.load import Load
from tests.support.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ROLLOUT = {
    "strategy": "Canary",
    "steps": [{"weight": 50, "analysis": True}],
    "analysis": {
        "metrics": [
            {"name": "errorRate", "tolerancePercent": 10},
            {"name": "e2e", "milliseconds": 1000, "tolerancePercent": 20},
        ],
        "minRequests": 20,
        "minDuration": "0s",
    },
    "rollbackWindow": "0s",
}
"""Answers of 8 tokens take 0.2 s at 50 tokens a second, 2 s at 4. Tolerances are wide, so that a minute of load is enough."""

Named = Callable[[str], Live]


@pytest.fixture(scope="module")
def judged(live: Named) -> Live:
    return live("judged").create(rollout=ROLLOUT).until_ready()


def traffic(judged: Live) -> str:
    return str(judged.object["status"].get("traffic", ""))


def test_one_as_good_goes_on_by_itself(judged: Live) -> None:
    with Load(judged.url, "judged", per_second=6) as load:
        judged.edit(engine={"name": "simulated", "args": {"decode-tokens-per-second": 55}})
        until(lambda: traffic(judged) == "rev1 50% rev2 50%", 120, "half and half")
        until(lambda: traffic(judged) == "rev2 100%", 120, "revision 2 has everything")
        judged.until_ready()
    assert load.outcome.failed == 0, load.outcome


def test_a_slower_one_is_rolled_back_and_says_by_how_much(judged: Live) -> None:
    with Load(judged.url, "judged", per_second=6) as load:
        judged.edit(engine={"name": "simulated", "args": {"decode-tokens-per-second": 4}})
        until(lambda: traffic(judged) == "rev2 50% rev3 50%", 120, "half and half")
        message = judged.until_reason("RolledBack")
        assert traffic(judged) == "rev2 100%"
    assert load.outcome.failed == 0, load.outcome
    assert "e2e>1000ms" in message
    assert "canary requests were slow" in message
    assert "llmdeployment.dev/retry: 3/1" in message
    assert judged.condition("Degraded")["status"] == "True"
