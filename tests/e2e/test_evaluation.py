"""A new revision answers a golden set in a Job before its first request: a good one goes on, a bad one never gets a request."""

import json
from collections.abc import Callable

import pytest
from tests.support.live import Live
from tests.support.load import Load
from tests.support.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ALL = {"max_tokens": 12, "ignore_eos": True}
"""The simulated engine echoes what it was given, if it may answer for long enough."""
GOLDEN = [
    {"prompt": "hello", "expect": {"contains": ["Speak."]}, "parameters": ALL},
    {"prompt": "good morning", "expect": {"notContains": ["Mumble."]}, "parameters": ALL},
]
EVALUATION = {"golden": {"configMapRef": {"name": "golden"}}, "minScorePercent": 100}

Named = Callable[[str], Live]


@pytest.fixture(scope="module")
def asked(live: Named) -> Live:
    found = live("asked")
    lines = "\n".join(map(json.dumps, GOLDEN))
    found.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "golden"},
            "data": {"golden.jsonl": lines},
        }
    )
    found.create(prompt={"system": "Speak."}, rollout={"evaluation": EVALUATION})
    return found.until_ready()


def test_a_bad_answer_keeps_a_revision_from_its_first_request(asked: Live) -> None:
    with Load(asked.url, "asked") as load:
        asked.edit(prompt={"system": "Mumble."})
        message = asked.until_reason("RolledBack")
        assert "Revision 2 was rolled back." in message
        asked.edit(prompt={"system": "Speak.", "defaults": {"temperature": 0.5}})
        until(
            lambda: asked.object["status"].get("traffic") == "rev3 100%", 120, "revision 3 serves"
        )
        asked.until_ready()
    assert load.outcome.failed == 0, load.outcome
    rows = {row["number"]: row for row in asked.object["status"]["revisions"]}
    assert rows[2]["evaluation"]["score"] < 100
    assert rows[3]["evaluation"]["score"] == 100
    assert "firstReadyAt" not in rows[2]
    assert load.outcome.revisions.keys() == {"1", "3"}
