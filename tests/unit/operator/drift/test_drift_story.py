"""A revision and its first window, as the whole plan makes it: what is counted, what is remembered, what is said."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from tests.support.stories import conditions, message, serving_world
from tests.support.world import World

from llmdeployment_operator.analysis.counts import CountKey, Counts
from llmdeployment_operator.api.drift import DEFAULT_METRICS
from llmdeployment_operator.plan.drift.report import (
    DRIFT_SECONDS,
    WRITE_SECONDS,
    is_counted,
    read_figures,
)
from llmdeployment_operator.plan.observed.drift_counts import TOKENS

HOURS = 24
DRIFT = {"minRequests": 500}
Bad = Mapping[str, int]
"""Bad ones of 100 requests, by what is counted."""
USUAL = {"refusal": 2, "outputTokens>100": 55, "outputTokens>300": 11, "promptLength>=1024": 40}


def watched(**drift: Any) -> World:
    world = serving_world()
    world.edit(monitoring={"drift": {**DRIFT, **drift}})
    world.settle()
    return world


def requests(total: int, bad: Bad) -> dict[CountKey, Counts]:
    names = [*(f"outputTokens>{length}" for length in TOKENS), *DEFAULT_METRICS]
    shares = {name: bad.get(name, 0) for name in [*names, "promptLength>=1024"]}
    return {
        CountKey(name, "1024"): Counts(total, total * percent // 100)
        for name, percent in shares.items()
    }


def ask(world: World, total: int, bad: Bad, seconds: float = 600) -> None:
    """Let time go by in which revision 1 has these requests."""
    world.now += timedelta(seconds=seconds)
    before = world.cluster.status
    fresh = requests(total, bad) if total else {}
    kept = world.cluster.drift_fresh.get(1, {})
    both = {key: add(kept.get(key), counts) for key, counts in fresh.items()} or kept
    world.observe(drift_fresh={1: both} if both else {})
    world.step()
    if is_counted(before, world.cluster.status):
        world.observe(drift_fresh={})


def add(one: Counts | None, other: Counts) -> Counts:
    one = one or Counts()
    return Counts(one.total + other.total, one.bad + other.bad)


def live(world: World, bad: Bad, hours: int = HOURS, total: int = 200) -> None:
    for _ in range(hours):
        ask(world, total, bad, 3600)


def row(world: World) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in world.status["revisions"] if each["number"] == 1)[
        "drift"
    ]
    return found


def metric(world: World, name: str) -> dict[str, Any]:
    return next(each for each in row(world)["metrics"] if each["name"] == name)


def test_nobody_is_told_of_what_nobody_asked_for() -> None:
    world = serving_world()
    assert "Drifting" not in conditions(world)
    assert "drift" not in world.status["revisions"][0]
    assert world.plan().requeue_after is None


def test_the_first_window_says_how_long_it_lasts_and_how_many_answers_it_has() -> None:
    world = watched()
    began = row(world)["beganAt"]
    assert conditions(world)["Drifting"] == ("Unknown", "FirstWindow")
    assert world.plan().requeue_after == DRIFT_SECONDS
    live(world, USUAL, 2)
    assert row(world)["beganAt"] == began
    assert message(world, "Drifting") == (
        "Revision 1 is in its first window, with which later ones are compared. It ends at 2026-01-03T03:04:05Z if there are "
        "500 answers by then, and otherwise goes on for 24h. There were 400 by 2026-01-02T05:04:05Z."
    )


def test_a_first_window_with_too_few_answers_goes_on() -> None:
    world = watched()
    live(world, USUAL, total=20)
    ask(world, 1, USUAL)
    assert "firstEndedAt" not in row(world)
    assert "ends at 2026-01-04T03:04:05Z" in message(world, "Drifting")
    live(world, USUAL, total=20)
    assert row(world)["firstEndedAt"] == "2026-01-04T03:04:05Z"
    blocks = json.loads(metric(world, "refusal")["state"])["blocks"]
    assert {total for total, _ in blocks[2:]} == {40}


def test_lengths_are_fixed_at_the_end_of_the_first_window() -> None:
    world = watched()
    assert len([m for m in row(world)["metrics"] if m["name"].startswith("outputTokens")]) == 18
    live(world, USUAL)
    names = [each["name"] for each in row(world)["metrics"]]
    assert [name for name in names if name.startswith("outputTokens")] == [
        "outputTokens>100",
        "outputTokens>300",
    ]
    assert [n for n in names if n.startswith("prompt")] == [
        "promptLength>=1024",
        "promptLength>=8192",
    ]


def test_an_answer_that_changes_is_found_said_and_over_when_it_is_as_before() -> None:
    world = watched()
    live(world, USUAL)
    live(world, USUAL, 2 * HOURS)
    assert conditions(world)["Drifting"] == ("False", "NoDrift")
    assert "no share differs for sure by more than 3 points" in message(world, "Drifting")

    changed = {**USUAL, "outputTokens>300": 40}
    found = 0
    while conditions(world)["Drifting"][0] == "False":
        before = world.cluster.status
        live(world, changed, 1)
        found += 1
    assert found <= HOURS
    assert conditions(world)["Drifting"] == ("True", "DiffersFromFirst")
    assert message(world, "Drifting").startswith(
        "The prompts or answers of revision 1 differ from its first window: "
        "answers longer than 300 tokens 11.0 % then and 40.0 % now (since 2026-01-05T03:04:05Z). Find out what changed:"
    )
    assert before.conditions != world.cluster.status.conditions
    assert read_figures(world.cluster.status)["1", "outputTokens>300"] == 0.29
    assert read_figures(world.cluster.status)["1", "refusal"] == 0.0

    # The day on which it was found, and one that shows nothing.
    live(world, USUAL, HOURS - found)
    assert conditions(world)["Drifting"] == ("True", "DiffersFromFirst")
    live(world, USUAL, HOURS)
    assert conditions(world)["Drifting"] == ("False", "NoDrift")


def test_a_warning_is_posted_once() -> None:
    world = watched()
    live(world, USUAL)
    warned = []
    for _ in range(2 * HOURS):
        world.now += timedelta(hours=1)
        world.observe(drift_fresh={1: requests(200, {**USUAL, "refusal": 30})})
        warned += [e for e in world.step().events if e.type == "Warning"]
    (event,) = warned
    assert event.reason == "DiffersFromFirst"
    assert "refusals 2.0 % then and 30.0 % now" in event.message


def test_shorter_answers_are_found_too() -> None:
    world = watched()
    live(world, USUAL)
    live(world, {**USUAL, "outputTokens>100": 25})
    assert "answers longer than 100 tokens 55.0 % then and 25.0 % now" in message(world, "Drifting")


def test_no_traffic_writes_nothing_and_ends_nothing() -> None:
    world = watched()
    live(world, USUAL)
    live(world, {**USUAL, "refusal": 30})
    ask(world, 0, USUAL, 3600)
    for _ in range(100):
        world.now += timedelta(hours=1)
        assert world.plan().status is None
    assert conditions(world)["Drifting"][0] == "True"
    # Requests after a long silence belong to the hour that they are of.
    ask(world, 200, USUAL, 3600)
    state = json.loads(metric(world, "refusal")["state"])
    assert (state["current"], state["pair"][2]) == ([200, 4], 0)


def test_counts_are_written_every_few_minutes_and_when_a_block_is_over() -> None:
    world = watched()
    ask(world, 10, USUAL, WRITE_SECONDS - 1)
    assert row(world)["requests"] == 0
    ask(world, 10, USUAL, 1)
    assert row(world)["requests"] == 20
    ask(world, 10, USUAL, 3600 - WRITE_SECONDS - 1)
    assert (row(world)["requests"], row(world)["block"]) == (30, 0)
    ask(world, 10, USUAL, 1)
    assert (row(world)["requests"], row(world)["block"]) == (40, 1)


def test_an_operator_that_starts_again_goes_on_from_the_status() -> None:
    """`World` keeps nothing but what the API server has; a status of another version is another matter."""
    world = watched()
    live(world, USUAL, 3)
    before = row(world)
    assert world.plan().status is None
    assert row(world) == before
    broken = world.cluster.status.model_copy(deep=True)
    (revision,) = broken.revisions
    metrics = (revision.drift.metrics[0].model_copy(update={"state": "{"}),)  # type: ignore[union-attr]  # because there is one
    drift = revision.drift.model_copy(update={"metrics": metrics})  # type: ignore[union-attr]  # because there is one
    revision = revision.model_copy(update={"drift": drift})
    world.observe(status=broken.model_copy(update={"revisions": (revision,)}))
    world.step()
    assert row(world)["requests"] == 0
    assert conditions(world)["Drifting"] == ("Unknown", "FirstWindow")


@pytest.mark.parametrize(
    "change",
    [
        {"drift": {**DRIFT, "firstWindow": "48h"}},
        {"drift": {**DRIFT, "metrics": ["refusal"]}},
        {"drift": DRIFT, "outputPatterns": [{"name": "brand", "pattern": "acme"}]},
    ],
)
def test_another_design_begins_a_new_first_window(change: dict[str, Any]) -> None:
    world = watched()
    live(world, USUAL)
    live(world, USUAL, 2)
    assert conditions(world)["Drifting"] == ("False", "NoDrift")
    world.edit(monitoring={"drift": {**DRIFT, "tolerancePercent": 7}})
    world.settle()
    assert "7 points" in message(world, "Drifting")
    world.edit(monitoring=change)
    world.settle()
    assert conditions(world)["Drifting"] == ("Unknown", "FirstWindow")
    assert row(world)["requests"] == 0
    assert row(world)["beganAt"] == "2026-01-03T05:04:05Z"


def test_an_annotation_takes_the_present_as_the_first_window() -> None:
    world = watched()
    live(world, USUAL)
    live(world, {**USUAL, "refusal": 30})
    assert conditions(world)["Drifting"] == ("True", "DiffersFromFirst")
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/baseline": "2026-01-04"}
    world.settle()
    assert conditions(world)["Drifting"] == ("Unknown", "FirstWindow")
    live(world, {**USUAL, "refusal": 30}, 2 * HOURS)
    assert conditions(world)["Drifting"] == ("False", "NoDrift")


def test_a_clock_that_goes_back_counts_nothing_twice() -> None:
    world = watched()
    live(world, USUAL)
    live(world, USUAL, 5)
    ask(world, 200, USUAL, -2 * 3600)
    state = json.loads(metric(world, "refusal")["state"])
    assert (state["current"], state["pair"][2]) == ([200, 4], 1000)
    ask(world, 200, USUAL, 3 * 3600)
    assert json.loads(metric(world, "refusal")["state"])["pair"][2] == 1400
    # So far back that it would take days to come again.
    ask(world, 200, USUAL, -40 * 3600)
    assert conditions(world)["Drifting"] == ("Unknown", "FirstWindow")
    assert row(world)["beganAt"] < "2026-01-03"


def test_a_revision_that_takes_over_has_a_first_window_of_its_own() -> None:
    world = watched()
    live(world, USUAL)
    live(world, {**USUAL, "refusal": 30})
    number = world.status["revisions"][0]["number"]
    world.edit(prompt={"system": "Be brief."})
    for _ in range(10):
        world.obey()
        world.step()
    rows = {each["number"]: each for each in world.status["revisions"]}
    assert "drift" not in rows[number]
    assert rows[number + 1]["drift"]["requests"] == 0
    assert conditions(world)["Drifting"] == ("Unknown", "FirstWindow")


def test_a_fallen_score_and_a_drift_are_told_together() -> None:
    from llmdeployment_operator.plan.base.conditions import Condition  # noqa: PLC0415  # because one test uses it
    from llmdeployment_operator.plan.base.reasons import Reason  # noqa: PLC0415  # because one test uses it
    from llmdeployment_operator.plan.status.drifting import choose_worst  # noqa: PLC0415  # because one test uses it

    fell = Condition("Drifting", True, Reason.SCORE_FELL, "Fell.")
    differs = Condition("Drifting", True, Reason.DIFFERS_FROM_FIRST, "Differs.")
    first = Condition("Drifting", None, Reason.FIRST_WINDOW, "First.")
    unknown = Condition("Drifting", None, Reason.DRIFT_UNKNOWN, "Unknown.")
    none = Condition("Drifting", False, Reason.NO_DRIFT, "None.")
    both = choose_worst([none, differs, first, fell])
    assert both == Condition("Drifting", True, Reason.SCORE_FELL, "Fell. Differs.")
    assert choose_worst([none, first, unknown]) == unknown
    assert choose_worst([none, first]) == first
    assert choose_worst([none]) == none
    assert choose_worst([]) is None


def test_a_second_arm_that_goes_takes_no_counts_with_it() -> None:
    """Requests are new once, so all rows are written when one is: also when the row of another revision goes."""
    world = serving_world()
    weights = [{"name": name, "weight": 50} for name in ("a", "b")]
    weights[1]["overrides"] = {"prompt": {"system": "Be brief."}}  # type: ignore[assignment]  # because JSON has all types
    world.edit(arms=weights, monitoring={"drift": DRIFT})
    for _ in range(12):
        world.obey()
        world.step()
    numbers = [each["number"] for each in world.status["revisions"] if "drift" in each]
    assert len(numbers) == 2
    world.observe(drift_fresh={1: requests(100, USUAL)})
    world.edit(arms=[{"name": "a", "weight": 100}])
    for _ in range(12):
        world.obey()
        before = world.cluster.status
        world.step()
        if is_counted(before, world.cluster.status):
            break
    assert "drift" not in world.status["revisions"][1]
    assert row(world)["requests"] == 100


def test_requests_after_a_block_of_silence_belong_to_the_block_of_now() -> None:
    world = watched()
    live(world, USUAL)
    ask(world, 200, USUAL, 2 * 3600)
    state = json.loads(metric(world, "refusal")["state"])
    assert (state["current"], state["pair"][2]) == ([200, 4], 0)
    assert row(world)["block"] == HOURS + 2


def test_a_window_of_few_requests_ends_no_drift() -> None:
    world = watched()
    live(world, USUAL)
    live(world, {**USUAL, "refusal": 30})
    live(world, USUAL, HOURS, total=4)
    assert conditions(world)["Drifting"] == ("True", "DiffersFromFirst")
    live(world, USUAL, HOURS, total=5)
    assert conditions(world)["Drifting"] == ("False", "NoDrift")
