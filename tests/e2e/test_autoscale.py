"""Replicas follow the load: more when answers get slow, fewer when it ends, none without requests; nobody's request fails."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.live import Live
from tests.support.load import Load, ask
from tests.support.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ENGINE = {"name": "simulated", "args": {"decode-tokens-per-second": 8, "max-num-seqs": 4}}
"""A replica answers four requests of 8 tokens at a time, in a second each."""

SCALING = {
    "minReplicas": 1,
    "maxReplicas": 2,
    "targets": {"e2e": {"percentile": 90, "milliseconds": 2000}},
}

Named = Callable[[str], Live]


@pytest.fixture(scope="module")
def elastic(live: Named) -> Live:
    return live("elastic").create(engine=ENGINE, scaling=SCALING).until_ready(300)


def decisions(elastic: Live) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = elastic.object["status"]["scaling"]["decisions"]
    return found


def answering(elastic: Live) -> int:
    return int(elastic.object["status"].get("readyReplicas", 0))


def told(elastic: Live) -> set[str]:
    """Reasons of the Events of this LLMDeployment."""
    events = elastic.kube.all("events", "")
    mine = (e for e in events if e["involvedObject"]["name"] == elastic.name)
    return {event["reason"] for event in mine}


def test_more_than_one_carries_gets_a_second_one(elastic: Live) -> None:
    assert elastic.condition("Scaling")["reason"] == "ScalingActive"
    with Load(elastic.url, "elastic", per_second=5) as load:
        until(lambda: answering(elastic) == 2, 240, "two replicas answer")
        # What one replica carries is learned from both.
        begun = len(load.answers)
        until(lambda: len(load.answers) >= begun + 150, 90, "150 more answers")
    assert load.outcome.failed == 0, load.outcome
    first = decisions(elastic)[0]
    assert (first["from"], first["to"]) == (1, 2)
    assert "ScaledUp" in told(elastic)


def test_the_end_of_the_load_takes_it_again(elastic: Live) -> None:
    with Load(elastic.url, "elastic", per_second=0.5) as load:
        until(lambda: len(elastic.pods("worker")) == 1, 420, "one worker is left")
    assert load.outcome.failed == 0, load.outcome
    last = decisions(elastic)[-1]
    assert (last["from"], last["to"], last["reason"]) == (2, 1, "Slack")
    assert "ScaledDown" in told(elastic)


def test_without_requests_nothing_is_kept_and_the_first_one_is_answered(elastic: Live) -> None:
    elastic.edit(scaling={**SCALING, "minReplicas": 0, "scaleToZeroAfter": "20s"})
    until(lambda: not elastic.pods("worker"), 180, "no worker is left")
    until(lambda: elastic.condition("Ready").get("reason") == "ScaledToZero", 30, "it says why")
    assert elastic.condition("Ready")["status"] == "True"

    status, body, _ = ask(elastic.url, "elastic", "good morning")

    assert status == 200
    assert "good morning" in body["choices"][0]["message"]["content"]
    assert (decisions(elastic)[-1]["from"], decisions(elastic)[-1]["reason"]) == (0, "RequestsHeld")
