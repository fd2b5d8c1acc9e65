"""An experiment from its first request to its end, as the whole plan makes it: what is counted, what is not, what is said."""

import itertools
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from tests.support.stories import conditions, message, serving_world
from tests.support.world import World
from tests.unit.operator.rollout.test_arms import OTHER, TERSE, arms, rest

from llmdeployment_operator.analysis.counts import CountKey, Counts
from llmdeployment_operator.plan.experiment.report import is_counted

LATE = "ttft>500ms"
EXPERIMENT = {
    "control": "control",
    "metrics": [{"name": "ttft", "milliseconds": 500}],
    "minimumEffectPercent": 10,
    "maxDuration": "14d",
}
Requests = Mapping[int, tuple[int, int]]
"""Requests and bad ones, by revision."""


def experimenting(arms_: list[dict[str, Any]] | None = None, **changes: Any) -> World:
    """Two arms that have their weights: control is revision 1, terse is revision 2."""
    world = serving_world()
    world.edit(
        arms=arms_ or arms(control=50, terse=(50, TERSE)), experiment={**EXPERIMENT, **changes}
    )
    rest(world)
    return world


def ask(world: World, requests: Requests, seconds: float = 30, **users: Any) -> None:
    """Let time go by in which these requests are answered, spread over all groups of users."""
    world.now += timedelta(seconds=seconds)
    before = world.cluster.status.experiment
    world.observe(
        experiment_fresh={n: count(total, bad) for n, (total, bad) in requests.items()}, **users
    )
    world.step()
    if is_counted(before, world.cluster.status.experiment):
        world.observe(experiment_fresh={})


_turns = itertools.count(step=7)


def count(total: int, bad: int) -> dict[CountKey, Counts]:
    """Return counts in which another group of users has the bad requests each time."""
    turn = next(_turns)
    groups = {
        CountKey(LATE, group=(g + turn) % 64): Counts(
            total // 64 + (g < total % 64), bad // 64 + (g < bad % 64)
        )
        for g in range(64)
    }
    return {CountKey(LATE, "1000"): Counts(total, bad)} | groups


def row(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.status["experiment"]
    return found


def arm(world: World, name: str = "terse") -> dict[str, Any]:
    return next(each for each in row(world)["arms"] if each["name"] == name)


def counted(world: World, name: str = "terse") -> tuple[int, int]:
    """Requests of the control and of an arm that were counted."""
    found = arm(world, name)
    return found.get("controlRequests", 0), found.get("requests", 0)


def test_an_arm_that_is_better_wins_and_the_patch_gives_it_all_users() -> None:
    world = experimenting()
    for _ in range(200):
        ask(world, {1: (64, 20), 2: (64, 6)}, experiment_users={1: 500, 2: 480})
        if "endedAt" in row(world):
            break

    found = row(world)
    assert (found["outcome"], found["winner"]) == ("Winner", "terse")
    assert arm(world)["result"] == "Better"
    assert arm(world)["users"] == 480
    (metric,) = arm(world)["metrics"]
    assert (metric["control"], metric["arm"]) == ("31.2", "9.4")
    assert float(metric["low"]) < float(metric["difference"]) < float(metric["high"]) < 0
    assert conditions(world)["Experimenting"] == ("False", "ExperimentConcluded")
    told = message(world, "Experimenting")
    assert told.startswith("Arm terse wins: ttft>500ms 9.4 % against 31.2 % (-")
    assert f"kubectl patch llm simulated -n team --type json -p '{found['patch']}'" in told
    assert apply(found["patch"], world.raw) == {
        "arms": [{"name": "terse", "weight": 100, "overrides": TERSE}]
    }


def apply(patch: str, raw: dict[str, Any]) -> dict[str, Any]:
    """Return arms and experiment of a spec after a JSON patch, as the API server would apply it."""
    spec = json.loads(json.dumps({k: raw["spec"][k] for k in ("arms", "experiment")}))
    for step in json.loads(patch):
        *path, last = step["path"].split("/")[2:]
        node: Any = spec
        for part in path:
            node = node[int(part)] if isinstance(node, list) else node[part]
        place = int(last) if isinstance(node, list) else last
        if step["op"] == "test":
            assert node[place] == step["value"]
        elif step["op"] == "replace":
            node[place] = step["value"]
        else:
            del node[place]
    return dict(spec)


def test_the_patch_moves_nobody_who_has_the_winner() -> None:
    world = experimenting(arms(a=20, control=30, terse=(50, TERSE)))
    before = [(r["arm"], r["below"]) for r in routes(world)]
    for _ in range(200):
        ask(world, {1: (64, 20), 2: (64, 6)})
    # Arms a and control have one template, so nobody can tell their requests apart.
    assert counted(world) == (0, 0)
    assert "share revision 1" in arm(world)["message"]
    assert before == [("a", 2000), ("control", 5000), ("terse", 10000)]


def routes(world: World) -> list[dict[str, Any]]:
    data = world.cluster.children["ConfigMap", "simulated-routes"]["data"]["routes.json"]
    found: list[dict[str, Any]] = json.loads(data)["routes"]
    return found


def test_arms_that_are_alike_end_without_a_difference_and_the_control_stays() -> None:
    world = experimenting()
    for _ in range(400):
        ask(world, {1: (64, 6), 2: (64, 6)})
        if "endedAt" in row(world):
            break

    assert row(world)["outcome"] == "NoDifference"
    assert "No arm differs from control by 10 points or more." in message(world, "Experimenting")
    assert apply(row(world)["patch"], world.raw)["arms"] == arms(control=100)


def test_an_arm_that_is_worse_leaves_the_control_the_winner() -> None:
    world = experimenting()
    for _ in range(200):
        ask(world, {1: (64, 6), 2: (64, 30)})
        if "endedAt" in row(world):
            break

    assert (row(world)["outcome"], row(world).get("winner")) == ("ControlWins", None)
    assert "No arm is better than control. terse: ttft>500ms 46.9 %" in message(
        world, "Experimenting"
    )


def test_nothing_is_counted_after_the_end() -> None:
    world = experimenting()
    for _ in range(200):
        ask(world, {1: (64, 20), 2: (64, 6)})
    end = row(world)
    ask(world, {1: (6400, 2000), 2: (6400, 6400)})

    assert row(world) == end
    assert world.plan().requeue_after is None


def test_time_is_up_and_a_longer_one_goes_on() -> None:
    world = experimenting(maxDuration="1h")
    for _ in range(5):
        ask(world, {1: (64, 6), 2: (64, 6)})
    ask(world, {}, seconds=3600)

    assert row(world)["outcome"] == "TimedOut"
    assert conditions(world)["Experimenting"] == ("False", "ExperimentTimedOut")
    assert "There is no answer after 1h." in message(world, "Experimenting")
    assert "Raise maxDuration" in message(world, "Experimenting")
    before = counted(world)

    world.edit(experiment={**EXPERIMENT, "maxDuration": "2h"})
    world.step()
    assert conditions(world)["Experimenting"] == ("True", "ExperimentRunning")
    ask(world, {1: (64, 6), 2: (64, 6)})
    assert counted(world) == (before[0] + 64, before[1] + 64)


def test_counts_are_written_every_half_minute_and_not_at_every_look() -> None:
    world = experimenting()
    ask(world, {1: (64, 6), 2: (64, 6)}, seconds=30)
    start = row(world)
    ask(world, {1: (64, 6), 2: (64, 6)}, seconds=29)
    assert row(world) == start
    assert world.plan().requeue_after == 30
    ask(world, {1: (90, 6), 2: (80, 6)}, seconds=1)
    assert counted(world) == (64 + 90, 64 + 80)


def test_a_new_revision_of_an_arm_begins_its_counts_anew_and_says_so() -> None:
    three = arms(control=40, terse=(30, TERSE), other=(30, OTHER))
    world = experimenting(three)
    numbers = {r["arm"]: r["revision"] for r in routes(world)}
    everybody = dict.fromkeys(numbers.values(), (64, 6))
    for _ in range(3):
        ask(world, everybody)
    assert counted(world) == counted(world, "other") == (192, 192)

    changed = arms(control=40, terse=(30, {"prompt": {"system": "Two words."}}), other=(30, OTHER))
    world.edit(arms=changed)
    rest(world)

    now = {r["arm"]: r["revision"] for r in routes(world)}
    assert now["terse"] != numbers["terse"]
    assert counted(world) == (0, 0)
    assert counted(world, "other") == (192, 192)
    assert arm(world)["message"] == (
        f"Arm terse now has revision {now['terse']} instead of {numbers['terse']}, so counting began anew."
    )
    # What the old one still answers, and what came in between, is of neither.
    ask(world, dict.fromkeys((*everybody, *now.values()), (64, 6)))
    assert counted(world) == (64, 64)
    assert counted(world, "other") == (256, 256)


@pytest.mark.parametrize(
    "change",
    [
        {"arms": arms(control=60, terse=(40, TERSE))},
        {"arms": arms(control=40, terse=(30, TERSE), other=(30, OTHER))},
        {"experiment": {**EXPERIMENT, "control": "terse"}},
        {"experiment": {**EXPERIMENT, "metrics": [{"name": "ttft", "milliseconds": 300}]}},
        {"gateway": {"replicas": 1, "assignment": {"salt": "again"}}},
    ],
    ids=["weights", "an arm more", "control", "threshold", "salt"],
)
def test_another_design_begins_everything_anew_and_says_so(change: dict[str, Any]) -> None:
    world = experimenting()
    for _ in range(3):
        ask(world, {1: (64, 6), 2: (64, 6)})
    began = row(world)["startedAt"]
    world.now += timedelta(seconds=100)
    world.edit(**change)
    rest(world)

    assert row(world)["startedAt"] > began
    assert all((each.get("requests", 0)) == 0 for each in row(world)["arms"])
    assert "The experiment began anew at" in message(world, "Experimenting")
    ask(world, {})
    assert "The experiment began anew at" in message(world, "Experimenting")


def test_another_pattern_of_the_same_name_begins_anew() -> None:
    world = serving_world()
    sorry = {"metrics": [{"name": "pattern/sorry"}]}
    for pattern in ("Sorry", "sorry"):
        world.edit(
            arms=arms(control=50, terse=(50, TERSE)),
            monitoring={"outputPatterns": [{"name": "sorry", "pattern": pattern}]},
            experiment={**EXPERIMENT, **sorry},
        )
        rest(world)

    assert "The experiment began anew at" in message(world, "Experimenting")


@pytest.mark.parametrize("change", [{"minimumEffectPercent": 5}, {"maxDuration": "20d"}])
def test_another_effect_or_duration_keeps_the_counts(change: dict[str, Any]) -> None:
    world = experimenting()
    for _ in range(3):
        ask(world, {1: (64, 6), 2: (64, 6)})
    world.edit(experiment={**EXPERIMENT, **change})
    rest(world)

    assert counted(world) == (192, 192)


def test_while_an_arm_has_a_canary_its_counts_pause_and_no_request_of_the_pause_is_counted() -> (
    None
):
    world = serving_world()
    world.edit(
        arms=arms(control=50, terse=(50, TERSE)),
        experiment=EXPERIMENT,
        rollout={"strategy": "Canary", "steps": [{"weight": 50, "pause": {}}]},
    )
    rest(world)
    for _ in range(3):
        ask(world, {1: (64, 6), 2: (64, 6)})
    world.edit(arms=arms(control=50, terse=(50, {"prompt": {"system": "Two words."}})))
    for _ in range(4):
        world.step()
        world.obey()
    ask(world, {1: (64, 6), 2: (64, 60), 3: (64, 60)})

    assert "Arm terse has a canary." in message(world, "Experimenting")
    assert conditions(world)["Experimenting"] == ("True", "ExperimentWaiting")
    assert counted(world) == (192, 192)

    world.edit(arms=arms(control=50, terse=(50, TERSE)))
    for _ in range(4):
        world.observe(experiment_fresh={1: count(64, 6), 2: count(64, 60)})
        world.step()
        world.obey()
    assert conditions(world)["Experimenting"] == ("True", "ExperimentRunning")
    ask(world, {1: (64, 6), 2: (64, 6)})
    assert counted(world)[0] >= 192
    assert arm(world)["metrics"][0]["arm"] == "9.4"


def test_a_gateway_with_other_routes_pauses_everything() -> None:
    world = experimenting()
    ask(world, {1: (64, 6), 2: (64, 6)})
    before = counted(world)
    gateways = world.cluster.gateways
    world.observe(gateways=())
    ask(world, {1: (64, 6), 2: (64, 60)})
    assert conditions(world)["Experimenting"] == ("True", "ExperimentWaiting")
    assert counted(world) == before
    world.observe(gateways=gateways)
    ask(world, {1: (64, 6), 2: (64, 60)})
    ask(world, {1: (64, 6), 2: (64, 6)})
    assert counted(world) == (before[0] + 64, before[1] + 64)


def test_a_restart_of_the_operator_loses_no_count() -> None:
    world = experimenting()
    for _ in range(30):
        ask(world, {1: (64, 20), 2: (64, 6)}, experiment_users={1: 500, 2: 480})
    before = row(world)
    # `World` reads back what it wrote at each step; another pass without requests says the same.
    world.observe(experiment_users={})
    ask(world, {})
    assert row(world) == before
    evidence = arm(world)["evidence"]["metrics"][0]
    assert (evidence["stable"], evidence["canary"]) == counted(world)
    assert evidence["strata"][0]["promptBytes"] == "1000"
    assert evidence["groups"].startswith("0:")


@pytest.mark.parametrize("broken", ["no evidence", "a result of tomorrow", "no such time"])
def test_what_cannot_be_read_begins_anew(broken: str) -> None:
    world = experimenting()
    for _ in range(3):
        ask(world, {1: (64, 6), 2: (64, 6)})
    status = world.cluster.status
    assert status.experiment is not None
    (found,) = status.experiment.arms
    assert found.evidence is not None
    changes: dict[str, dict[str, Any]] = {
        "no evidence": {"evidence": None},
        "a result of tomorrow": {
            "evidence": found.evidence.model_copy(update={"result": "Certain"})
        },
        "no such time": {"since": "yesterday"},
    }
    torn = found.model_copy(update=changes[broken])
    experiment = status.experiment.model_copy(update={"arms": (torn,)})
    world.observe(status=status.model_copy(update={"experiment": experiment}))
    ask(world, {1: (64, 6), 2: (64, 6)})

    assert counted(world)[1] in ({256} if broken == "no such time" else {0, 64})


def test_a_clock_that_goes_back_still_counts() -> None:
    world = experimenting()
    ask(world, {1: (64, 6), 2: (64, 6)})
    before = arm(world)["evidence"]["seconds"]
    ask(world, {1: (64, 6), 2: (64, 6)}, seconds=-3600)

    assert counted(world) == (128, 128)
    assert arm(world)["evidence"]["seconds"] == before


def test_time_without_requests_is_time_too() -> None:
    world = experimenting()
    ask(world, {1: (64, 6), 2: (64, 6)})
    ask(world, {}, seconds=3600)
    ask(world, {1: (64, 6), 2: (64, 6)}, seconds=30)

    assert arm(world)["evidence"]["seconds"] == 3660


def test_the_plan_is_said_once_there_are_requests() -> None:
    world = experimenting(minimumEffectPercent=5)
    assert "is not known yet" in message(world, "Experimenting")
    for _ in range(20):
        ask(world, {1: (60, 10), 2: (60, 10)}, experiment_users={1: 50, 2: 50})

    told = message(world, "Experimenting")
    assert "At 4.0 requests/s and 600 users an hour in arm terse and the control, " in told
    assert "a difference of 5 points in ttft>500ms shows in about " in told


def test_the_plan_is_made_anew_every_ten_minutes_and_for_another_effect() -> None:
    world = experimenting(minimumEffectPercent=3)
    for _ in range(25):
        ask(world, {1: (64, 12), 2: (64, 12)})
    first = row(world)["plan"]
    ask(world, {1: (6400, 1200), 2: (6400, 1200)})
    assert row(world)["plan"] == first
    for _ in range(20):
        ask(world, {1: (6400, 1200), 2: (6400, 1200)}, seconds=1)
    for _ in range(15):
        ask(world, {1: (64, 12), 2: (64, 12)})
    assert row(world)["plan"] != first

    again = row(world)["plan"]
    world.edit(experiment={**EXPERIMENT, "minimumEffectPercent": 2})
    world.step()
    assert "a difference of 3 points" in again
    assert "a difference of 2 points" in row(world)["plan"]


def test_a_plan_beyond_the_end_says_so() -> None:
    world = experimenting(maxDuration="20m", minimumEffectPercent=1)
    for _ in range(20):
        ask(world, {1: (60, 10), 2: (60, 10)})

    assert "That is longer than maxDuration 20m." in message(world, "Experimenting")


def test_without_an_experiment_nothing_is_said_any_more() -> None:
    world = experimenting()
    ask(world, {1: (64, 6), 2: (64, 6)})
    world.edit(experiment=None)
    rest(world)

    assert "experiment" not in world.status
    assert "Experimenting" not in conditions(world)


def test_an_event_tells_of_the_end() -> None:
    world = experimenting()
    told = []
    for _ in range(200):
        world.now += timedelta(seconds=30)
        world.observe(experiment_fresh={1: count(64, 20), 2: count(64, 6)})
        told += [(event.type, event.reason) for event in world.step().events]

    assert told == [("Normal", "ExperimentConcluded")]
