"""A model of one's own beside an API elsewhere, as two arms. The API elsewhere is another LLMDeployment's gateway, which is one as any."""

from collections.abc import Callable

import pytest
from tests.support.live import SMALL, Live, Object
from tests.support.load import Load, ask
from tests.support.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

USERS = [f"user-{number}" for number in range(30)]
PROMPT = {"system": "Be brief."}

Named = Callable[[str], Live]


@pytest.fixture(scope="module")
def elsewhere(live: Named) -> Live:
    """One that lets nobody in without a key."""
    found = live("elsewhere")
    found.kube.apply(key("sk-elsewhere-1"))
    gateway = {"replicas": 1, "resources": SMALL, "apiKeysSecretRef": {"name": "key"}}
    return found.create(
        model={"source": "file:///dev/null", "servedName": "large"}, gateway=gateway
    )


@pytest.fixture(scope="module")
def ours(live: Named, elsewhere: Live) -> Live:
    found = live("ours").create(prompt=PROMPT)
    elsewhere.until_ready()
    return found.until_ready()


def key(text: str) -> Object:
    """The Secret with the key, which both sides read."""
    metadata = {"name": "key"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "stringData": {"api-key": text},
    }


def asked(ours: Live, user: str) -> tuple[int, Object, dict[str, str]]:
    return ask(ours.url, "ours", headers={"x-user": user})


def rented(base_url: str) -> Object:
    """Overrides of an arm that is an API elsewhere."""
    reference = {"name": "key", "key": "api-key"}
    engine = {"name": "external", "external": {"baseURL": base_url, "apiKeySecretRef": reference}}
    return {"model": {"source": "external://large"}, "engine": engine}


def test_an_arm_may_be_an_api_elsewhere(ours: Live, elsewhere: Live) -> None:
    base_url = f"http://elsewhere.{ours.kube.namespace}.svc/v1"
    with Load(ours.url, "ours") as load:
        ours.edit(
            arms=[
                {"name": "own", "weight": 60},
                {"name": "rented", "weight": 40, "overrides": rented(base_url)},
            ]
        )
        traffic = "own rev1 60% rented rev2 40%"
        until(lambda: ours.object["status"].get("traffic") == traffic, 90, traffic)
        ours.until_ready()
        answers = {user: asked(ours, user) for user in USERS}

        # The key is taken back over there: that arm's users are told so, the others notice nothing.
        elsewhere.kube.apply(key("sk-elsewhere-2"))
        renter = next(
            u for u, (_, _, headers) in answers.items() if headers["x-llm-arm"] == "rented"
        )
        until(lambda: asked(ours, renter)[0] == 502, 150, "the old key is refused")
        told = {user: asked(ours, user)[0] for user in USERS}
        ours.edit(arms=None)
        until(lambda: ours.object["status"].get("traffic") == "rev1 100%", 60, "one arm again")
    arms = {user: headers["x-llm-arm"] for user, (_, _, headers) in answers.items()}
    assert set(arms.values()) == {"own", "rented"}
    for user, (status, body, headers) in answers.items():
        assert status == 200
        # Both arms have the spec's prompt, which the simulated engine says back; the model is each one's own.
        assert body["choices"][0]["message"]["content"].startswith("[simulated] Be brief.")
        rented_one = headers["x-llm-arm"] == "rented"
        assert (body["model"], headers["x-llm-revision"]) == (
            ("large", "2") if rented_one else ("ours", "1")
        ), user
    assert {status for user, status in told.items() if arms[user] == "own"} == {200}
    assert {status for user, status in told.items() if arms[user] == "rented"} == {502}
    assert load.outcome.statuses.keys() <= {200, 502}, load.outcome
    assert len(ours.pods("head")) == 1
