"""What another target would have made of the last hour: traffic from points, the simulator, and its process."""

import asyncio
import json
import sys
from copy import deepcopy
from typing import Any

import pytest
from tests.unit.console.fakes import ONE, WRITE, FakeCluster, browse, moving, open_console, point

from llmdeployment_cli.errors import Refusal
from llmdeployment_console import recording as recordings
from llmdeployment_console.recording import Recording, make_rate, read_recording
from llmdeployment_console.refusals import RequestRefused
from llmdeployment_console.viewers import Viewer
from llmdeployment_console.what_if import Choice, run
from llmdeployment_console.what_if_process import answer
from llmdeployment_console.what_if_runs import WhatIfRuns

HOUR = Recording(1_795_518_000.0, ((60.0, 2.0), (60.0, 8.0)), 60.0)
SCALING = {"minReplicas": 1, "maxReplicas": 3, "targets": {"ttft": {"milliseconds": 500}}}
ENGINE = {
    "name": "simulated",
    "args": {"batch-tokens-per-second": 200, "decode-tokens-per-second": 50},
}


def at(second: int, rate: float | None, **more: Any) -> dict[str, Any]:
    return {
        "at": f"2026-11-24T11:{second // 60:02}:{second % 60:02}.000Z",
        "requestsPerSecond": rate,
        **more,
    }


def scaled(**spec: Any) -> dict[str, Any]:
    found = moving()
    found["spec"] = {**found["spec"], "engine": ENGINE, "scaling": SCALING, **spec}
    return found


def test_points_become_traffic() -> None:
    answers = {"revisions": {"3": {"requestsPerSecond": 2.0, "outputTokensPerSecond": 100.0}}}
    found = read_recording([at(0, 9.0), at(5, 2.0, **answers), at(10, None), at(70, 4.0)])
    assert found.steps == ((5.0, 2.0), (5.0, None), (60.0, 4.0))
    assert (found.seconds, found.requests, found.uncounted_seconds) == (70.0, 250.0, 5.0)
    assert found.output_tokens == 50.0
    assert found.begins == 1_795_518_000.0


@pytest.mark.parametrize(
    "points", [[], [at(0, 5.0)], [at(0, 5.0), at(5, 0.0)], [at(0, 5.0), at(5, None)]]
)
def test_without_requests_there_is_nothing_to_repeat(points: Any) -> None:
    with pytest.raises(Refusal, match="no requests"):
        read_recording(points)


def test_of_too_many_requests_the_newest_are_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "MOST_REQUESTS", 50)
    found = read_recording([at(0, None), at(5, 4.0), at(10, None), at(15, 4.0), at(20, 6.0)])
    assert found.steps == ((5.0, 4.0), (5.0, 6.0))
    assert found.begins == 1_795_518_010.0


def test_a_rate_holds_from_point_to_point() -> None:
    rate = make_rate(Recording(0.0, ((5.0, 1.0), (10.0, 3.0)), None))
    assert [rate(each) for each in (0.0, 5.0, 14.9, 15.0, 100.0)] == [1.0, 3.0, 3.0, 3.0, 3.0]


def test_more_replicas_attain_more_and_cost_more() -> None:
    deployment = scaled(cost={"currency": "EUR", "perReplicaHour": "2.50"})
    found = run(deployment, HOUR, Choice(milliseconds=500, minimum=3, maximum=3))
    now, changed = found["now"], found["changed"]
    assert now["requests"] == changed["requests"] > 400
    assert now["targets"][0]["share"] < changed["targets"][0]["share"]
    assert 1.0 <= now["meanReplicas"] < changed["meanReplicas"] == 3.0
    # 3 replicas at 2.50 an hour.
    assert changed["cost"] == {"amount": 7.5, "currency": "EUR"}
    assert len(now["load"]) == len(now["replicas"]) == 120
    assert sum(now["load"]) * now["slotSeconds"] == pytest.approx(now["requests"])
    assert found["choice"] == {
        "metric": "ttft",
        "percentile": 90,
        "milliseconds": 500.0,
        "minimum": 1,
        "maximum": 3,
    }
    assert found["begins"] == HOUR.begins


def test_the_same_question_has_the_same_answer_and_json_can_say_it() -> None:
    choice = Choice(milliseconds=300, minimum=1, maximum=2)
    found = run(scaled(), HOUR, choice)
    assert found == run(scaled(), HOUR, choice)
    json.dumps(found, allow_nan=False)


def test_what_nobody_recorded_is_said() -> None:
    bare = deepcopy(moving())
    del bare["status"]["cost"]
    found = run(bare, Recording(0.0, ((60.0, 1.0), (60.0, None), (60.0, 1.0)), None), None)
    said = " ".join(found["assumptions"])
    for part in (
        "spec.scaling is missing",
        "Nobody measured this engine",
        "Prompts have 500 tokens on average, as nobody recorded them.",
        "Answers have 200 tokens on average, as nobody recorded them.",
        "For 1 min nobody counted",
        "takes 18 s from its order",
        "so there is no cost",
    ):
        assert part in said
    assert found["changed"] is None
    assert found["now"]["cost"] is None


def test_what_was_recorded_is_used() -> None:
    deployment = deepcopy(scaled(cost={"currency": "EUR", "perAcceleratorHour": "2"}))
    rows = deployment["status"]["cost"]["revisions"]
    rows[0] = {**rows[0], "requests": 10, "promptTokens": 1230}
    said = " ".join(run(deployment, HOUR, None)["assumptions"])
    assert "Prompts have 123 tokens on average, as this month" in said
    assert "Answers have 60 tokens on average, as in this hour." in said
    assert "as spec.engine.args says" in said
    assert "no cost" not in said
    schedules = [{"schedule": "0 8 * * *", "duration": "1h", "minReplicas": 2}]
    said = " ".join(
        run(scaled(scaling={**SCALING, "schedules": schedules}), HOUR, None)["assumptions"]
    )
    assert "spec.scaling.schedules raise" in said


def test_a_measured_profile_is_used() -> None:
    profile = {"warm_up_seconds": 7}
    choice = Choice(milliseconds=300, minimum=1, maximum=2, profile=profile)
    said = " ".join(run(moving(), HOUR, choice)["assumptions"])
    assert "takes 7 s from its order" in said
    assert "Nobody measured" not in said


@pytest.mark.parametrize(
    ("deployment", "choice", "message"),
    [
        (scaled(), {"minimum": 3, "maximum": 2}, "above the most"),
        (scaled(), {"profile": {"speed": 9}}, "the profile: speed"),
        (
            scaled(
                engine={"name": "external", "external": {"baseURL": "https://api.example.com/v1"}},
                model={"source": "external://m"},
                scaling=None,
                resources={},
            ),
            {},
            "no replicas here",
        ),
        ({**moving(), "spec": {"model": 3}}, {}, "the spec cannot be read"),
    ],
)
def test_what_cannot_be_simulated_says_why(deployment: Any, choice: Any, message: str) -> None:
    asked = Choice.model_validate({"milliseconds": 300, "minimum": 1, "maximum": 2, **choice})
    with pytest.raises(Refusal, match=message):
        run(deployment, HOUR, asked)


async def test_the_page_gets_what_a_process_computes() -> None:
    cluster = FakeCluster(scaled())
    async with open_console(cluster) as (console, _):
        history = console.histories.find(("shop", "chat"), "u-1")
        history.points.extend({**point(), **at(each, 5.0)} for each in range(0, 60, 5))
        body = {"choice": {"milliseconds": 200, "minimum": 1, "maximum": 2}}
        answer_ = browse(console).post(f"{ONE}/what-if", json=body, headers=WRITE)
        assert answer_.status_code == 200
        assert answer_.json()["changed"]["targets"][0]["milliseconds"] == 200
        for wrong in ({"milliseconds": 0}, {"maximum": 65}, {"minimum": 0}, {"other": 1}):
            refused = browse(console).post(
                f"{ONE}/what-if", json={"choice": {**body["choice"], **wrong}}, headers=WRITE
            )
            assert refused.status_code == 400


async def test_without_the_operators_points_the_page_says_so() -> None:
    async with open_console(FakeCluster(scaled())) as (console, _):
        answer_ = browse(console).post(f"{ONE}/what-if", json={}, headers=WRITE)
        assert answer_.status_code == 409
        assert "no traffic to repeat" in answer_.json()["error"]["message"]


SLOW = (
    sys.executable,
    "-c",
    # Stopped by nothing but a signal.
    "import signal, sys; sys.stdin.read(); sys.stdin.close(); signal.pause()",
)


async def test_a_viewer_has_one_simulation_at_a_time_and_one_that_is_slow_is_ended() -> None:
    runs = WhatIfRuns(SLOW, seconds=1.0)
    first = asyncio.create_task(runs.run(Viewer("ada"), moving(), HOUR, None))
    await asyncio.sleep(0)  # why: the first begins
    with pytest.raises(RequestRefused) as refused:
        await runs.run(Viewer("ada"), moving(), HOUR, None)
    assert refused.value.status == 429
    second = asyncio.create_task(runs.run(Viewer("bob"), moving(), HOUR, None))
    await asyncio.sleep(0)  # why: the second begins
    with pytest.raises(RequestRefused):
        await runs.run(Viewer("eve"), moving(), HOUR, None)
    for each in (first, second):
        with pytest.raises(RequestRefused) as refused:
            await each
        assert refused.value.status == 503
    third = WhatIfRuns((sys.executable, "-c", "print('nonsense')"))
    with pytest.raises(RequestRefused, match="took too long or failed"):
        await third.run(Viewer("ada"), moving(), HOUR, None)


def test_the_process_says_why_it_refuses() -> None:
    question = {
        "deployment": scaled(),
        "recording": {"begins": 0.0, "steps": [[5.0, 1.0]], "output_tokens": None},
        "choice": {"milliseconds": 1.0, "minimum": 2, "maximum": 1, "profile": None},
    }
    assert "above the most" in answer(question)["refused"]
