"""An adapter is a version like any other, but one that needs no other pods: it comes, fails and goes on those that run."""

from collections.abc import Callable

import pytest
from tests.support.live import Live
from tests.support.load import Load, ask
from tests.support.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

LEGAL = {"name": "legal", "source": "file:///usr/lib"}
MEDICAL = {"name": "medical", "source": "file:///usr/bin"}
NOWHERE = {"name": "medical", "source": "file:///nowhere"}
"""The simulated engine takes any folder for an adapter, and says its name in the answers."""
CANARY = {"strategy": "Canary", "steps": [{"weight": 50, "pause": {}}]}

Named = Callable[[str], Live]


@pytest.fixture(scope="module")
def adapted(live: Named) -> Live:
    return live("adapted").create(model=model(LEGAL), rollout=CANARY).until_ready()


def model(*adapters: dict[str, str]) -> dict[str, object]:
    return {"source": "file:///dev/null", "adapters": list(adapters)}


def until_traffic(adapted: Live, wanted: str) -> None:
    until(lambda: adapted.object["status"].get("traffic") == wanted, 60, f"{wanted} is routed")


def said(adapted: Live, adapter: str) -> tuple[int, str]:
    """The status of an answer, and which adapter gave it."""
    status, body, _ = ask(adapted.url, adapter)
    return status, body["choices"][0]["message"]["content"].split("@")[0] if status == 200 else ""


def test_an_adapter_comes_by_a_canary_and_goes(adapted: Live) -> None:
    workers = {pod["metadata"]["uid"] for pod in adapted.pods("worker")}
    with Load(adapted.url, "adapted") as load:
        assert said(adapted, "legal") == (200, "[simulated legal")
        adapted.edit(model=model(LEGAL, MEDICAL))
        until_traffic(adapted, "rev1 50% rev2 50%")
        adapted.annotate(promote="2")
        until_traffic(adapted, "rev2 100%")
        adapted.until_ready()
        assert said(adapted, "medical") == (200, "[simulated medical")

        adapted.edit(model=model(LEGAL, NOWHERE))
        until(
            lambda: adapted.condition("Degraded").get("reason") == "AdapterFailed", 60, "it fails"
        )
        assert "/nowhere" in adapted.condition("Degraded")["message"]
        assert said(adapted, "medical") == (200, "[simulated medical")

        adapted.edit(model=model(LEGAL))
        until_traffic(adapted, "rev1 100%")
        adapted.until_ready()
        assert said(adapted, "medical")[0] == 404
        assert said(adapted, "legal")[0] == 200
    assert load.outcome.failed == 0, load.outcome
    assert {pod["metadata"]["uid"] for pod in adapted.pods("worker")} == workers
