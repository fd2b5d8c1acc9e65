"""An A/B test of two prompts, then of two engines, under load: each user has one arm, and nobody's request fails."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.live import Live
from tests.support.load import Load, ask
from tests.support.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

USERS = [f"user-{number}" for number in range(40)]
SHOUT = {"prompt": {"system": "Shout."}}
FAST = {"engine": {"args": {"decode-tokens-per-second": 60}}}

Named = Callable[[str], Live]


@pytest.fixture(scope="module")
def arms(live: Named) -> Live:
    return live("arms").create().until_ready()


def weighted(control: int, other: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": "control", "weight": control},
        {"name": "other", "weight": 100 - control, "overrides": other},
    ]


def until_traffic(arms: Live, wanted: str, seconds: float) -> None:
    until(lambda: arms.object["status"].get("traffic") == wanted, seconds, f"{wanted} is routed")
    arms.until_ready()


def others(arms: Live) -> set[str]:
    """The users that arm `other` answers."""
    found = {u: ask(arms.url, "arms", headers={"x-user": u}, max_tokens=1)[2] for u in USERS}
    return {user for user, headers in found.items() if headers["x-llm-arm"] == "other"}


def test_arms_begin_grow_change_and_end(arms: Live) -> None:
    with Load(arms.url, "arms") as load:
        arms.edit(arms=weighted(80, SHOUT))
        until_traffic(arms, "control rev1 80% other rev2 20%", 60)
        few = others(arms)
        said = ask(arms.url, "arms", headers={"x-user": min(few)})[1]
        assert said["choices"][0]["message"]["content"].startswith("[simulated] Shout.")
        assert len(arms.pods("head")) == 1

        arms.edit(arms=weighted(40, SHOUT))
        until_traffic(arms, "control rev1 40% other rev2 60%", 30)
        many = others(arms)

        # Another engine for the second arm: a rollout of its own, BlueGreen.
        arms.edit(arms=weighted(40, FAST))
        until_traffic(arms, "control rev1 40% other rev3 60%", 180)
        assert others(arms) == many

        arms.edit(arms=None)
        until_traffic(arms, "rev1 100%", 60)
        assert others(arms) == set()
    assert load.outcome.failed == 0, load.outcome
    assert set() < few < many < set(USERS)
