"""A model is changed in steps, under load: nobody's request fails, and nobody who has the new one is moved back."""

from collections.abc import Callable

import pytest
from tests.support.live import Live
from tests.support.load import Load, ask
from tests.support.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

USERS = [f"user-{number}" for number in range(60)]
STEPS = [{"weight": 20, "pause": {}}, {"weight": 60, "pause": {}}]
SLOW, FAST = ({"decode-tokens-per-second": rate} for rate in (50, 60))

Named = Callable[[str], Live]


@pytest.fixture(scope="module")
def steps(live: Named) -> Live:
    rollout = {"strategy": "Canary", "steps": STEPS}
    return live("steps").create(rollout=rollout).until_ready()


def traffic(steps: Live) -> str:
    return str(steps.object["status"].get("traffic", ""))


def until_traffic(steps: Live, wanted: str, seconds: float = 180) -> None:
    until(lambda: traffic(steps) == wanted, seconds, f"the traffic is {wanted}")


def until_reason(steps: Live, wanted: str, seconds: float = 60) -> None:
    until(lambda: steps.condition("Progressing").get("reason") == wanted, seconds, wanted)


def who_has(steps: Live, revision: str) -> set[str]:
    """The users that this revision answers."""
    answers = {
        user: ask(steps.url, "steps", headers={"x-user": user}, max_tokens=1)[2] for user in USERS
    }
    return {user for user, headers in answers.items() if headers["x-llm-revision"] == revision}


def test_a_model_is_changed_in_steps_and_back_at_once(steps: Live) -> None:
    with Load(steps.url, "steps") as load:
        steps.edit(engine={"name": "simulated", "args": FAST})
        until_traffic(steps, "rev1 80% rev2 20%")
        until_reason(steps, "CanaryPaused")
        first = who_has(steps, "2")

        steps.annotate(promote="2/1")
        until_traffic(steps, "rev1 40% rev2 60%")
        until(lambda: steps.object["status"]["arms"][0].get("step") == 2, 30, "step 2")
        until_reason(steps, "CanaryPaused")
        second = who_has(steps, "2")

        steps.annotate(promote="2")
        until_traffic(steps, "rev2 100%")
        steps.until_ready()
        assert who_has(steps, "2") == set(USERS)

        steps.edit(engine={"name": "simulated", "args": SLOW})
        until_traffic(steps, "rev1 100%", 10)
        steps.until_ready()
    assert load.outcome.failed == 0, load.outcome
    assert first < second < set(USERS)
    assert {r["number"] for r in steps.object["status"]["revisions"]} == {1, 2}


def test_a_prompt_in_steps_is_aborted(steps: Live) -> None:
    workers = {pod["metadata"]["uid"] for pod in steps.pods("worker")}
    with Load(steps.url, "steps") as load:
        steps.edit(prompt={"system": "Shout."})
        until_traffic(steps, "rev1 80% rev3 20%", 60)
        until_reason(steps, "CanaryPaused")
        lucky = sorted(who_has(steps, "3"))
        said = ask(steps.url, "steps", headers={"x-user": lucky[0]})[1]
        assert said["choices"][0]["message"]["content"].startswith("[simulated] Shout.")

        steps.annotate(abort="3")
        until_traffic(steps, "rev1 100%", 30)
        assert "is aborted by the annotation" in steps.until_reason("RolledBack")
        until(lambda: not who_has(steps, "3"), 10, "revision 3 answers nobody")
    assert load.outcome.failed == 0, load.outcome
    assert workers >= {pod["metadata"]["uid"] for pod in steps.pods("worker")}
