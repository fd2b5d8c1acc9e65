"""What arms cost during an experiment, as the whole plan counts and says it."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.support.stories import message
from tests.support.world import World
from tests.unit.operator.experiment.test_experiment_story import (
    EXPERIMENT,
    arm,
    ask,
    experimenting,
    row,
)
from tests.unit.operator.rollout.test_arms import arms, rest

from llmdeployment_operator.analysis.counts import CountKey, Counts
from llmdeployment_operator.costs.types import CostAccount, RevisionAccount, TokenCounts
from llmdeployment_operator.plan.experiment.report import is_counted

COST = {"currency": "EUR", "perReplicaHour": "3.60"}
Spent = dict[int, tuple[str, int, int]]


def spend(world: World, spent: Spent) -> None:
    """Let revisions have cost this since the month began, for requests and tokens of answers."""
    rows = {
        number: RevisionAccount(Decimal(cost), TokenCounts(requests, 0, tokens))
        for number, (cost, requests, tokens) in spent.items()
    }
    at = world.now.timestamp()
    world.observe(cost=CostAccount("EUR", at=at, since=at - 3600, revisions=rows))


def priced(**changes: Any) -> World:
    world = experimenting()
    world.edit(cost=COST, experiment={**EXPERIMENT, **changes})
    spend(world, {1: ("5", 100, 1000), 2: ("6", 200, 2000)})
    rest(world)
    ask(world, {1: (64, 20), 2: (64, 6)})
    return world


def test_the_table_has_the_cost_of_the_experiments_own_time() -> None:
    world = priced()
    assert arm(world)["cost"]["arm"] == {"cost": "0.00", "requests": 0, "outputTokens": 0}
    spend(world, {1: ("8.3", 10_100, 1_651_000), 2: ("8.3", 10_200, 1_152_000)})
    ask(world, {1: (64, 20), 2: (64, 6)})

    cost = arm(world)["cost"]
    assert (cost["perThousandRequests"], cost["controlPerThousandRequests"]) == ("0.23", "0.33")
    assert (cost["perMillionOutputTokens"], cost["controlPerMillionOutputTokens"]) == ("2.00", "2.00")  # fmt: skip  # because it is a pair
    assert (cost["requestsDifferencePercent"], cost["tokensDifferencePercent"]) == ("-30.3", "0.0")
    assert cost["armMonthToDate"]["cost"] == "8.30"


def test_the_end_says_what_the_winner_costs() -> None:
    world = priced()
    for turn in range(1, 200):
        control = (f"{5 + 0.33 * turn}", 100 + 1000 * turn, 1000 + turn)
        terse = (f"{6 + 0.23 * turn}", 200 + 1000 * turn, 2000 + turn)
        spend(world, {1: control, 2: terse})
        ask(world, {1: (64, 20), 2: (64, 6)})
        if "endedAt" in row(world):
            break

    assert (
        "Arm terse costs EUR 0.23 per 1,000 requests (30 % less than the control), and 30 % less per 1M output tokens."
    ) in message(world, "Experimenting")


def test_without_prices_there_is_no_cost() -> None:
    world = experimenting()
    ask(world, {1: (64, 20), 2: (64, 6)})
    assert "cost" not in arm(world)


def test_a_new_revision_of_an_arm_begins_its_cost_anew() -> None:
    world = priced()
    spend(world, {1: ("8", 200, 2000), 2: ("9", 300, 3000)})
    ask(world, {1: (64, 20), 2: (64, 6)})
    assert arm(world)["cost"]["arm"]["cost"] == "3.00"
    world.edit(arms=arms(control=50, terse=(50, {"prompt": {"system": "Two words."}})))
    rest(world)
    assert arm(world)["revision"] == 3
    assert arm(world)["cost"]["arm"] == {"cost": "0.00", "requests": 0, "outputTokens": 0}


def answer(world: World, parts: dict[int, int]) -> None:
    """Let a minute go by in which each revision has 640 answers, of tokens that are worth this many of the longest."""
    world.now += timedelta(seconds=60)
    world.observe(
        experiment_fresh={
            number: {CountKey("cost<=1000", "1024"): Counts(640, part)}
            | {CountKey("cost<=1000", group=g): Counts(10, part / 64) for g in range(64)}
            for number, part in parts.items()
        }
    )
    before = world.cluster.status.experiment
    world.step()
    if is_counted(before, world.cluster.status.experiment):
        world.observe(experiment_fresh={})


def by_cost(**tokens_cost: str) -> World:
    """An experiment by cost; both arms have had a million tokens each time, for these amounts."""
    world = priced(metrics=[{"name": "cost"}])
    for turn in range(1, 200):
        control = (f"{5 + turn * float(tokens_cost['control'])}", 100 + turn, 1000 + 10**6 * turn)
        terse = (f"{6 + turn * float(tokens_cost['terse'])}", 200 + turn, 2000 + 10**6 * turn)
        spend(world, {1: control, 2: terse})
        answer(world, {1: 256, 2: 128})
        if "endedAt" in row(world):
            break
    return world


def test_an_arm_wins_by_cost_alone() -> None:
    world = by_cost(control="2.00", terse="2.00")
    assert (row(world)["outcome"], row(world)["winner"]) == ("Winner", "terse")
    (metric,) = arm(world)["metrics"]
    assert (metric["name"], metric["difference"]) == ("cost<=1000", "-50.0")
    assert -100 < float(metric["low"]) < -50 < float(metric["high"]) < 0
    assert "control" not in metric
    assert message(world, "Experimenting").startswith(
        "Arm terse wins: a request costs 50.0 % less than the control's ("
    )


def test_tokens_that_cost_three_times_as_much_lose() -> None:
    """3 * 128 / 256 - 1 = 50 %."""
    world = by_cost(control="2.00", terse="6.00")
    assert row(world)["outcome"] == "ControlWins"
    (metric,) = arm(world)["metrics"]
    assert metric["difference"] == "50.0"


def test_without_a_price_of_tokens_nothing_is_said_of_cost() -> None:
    world = priced(metrics=[{"name": "cost"}])
    for _ in range(20):
        answer(world, {1: 256, 2: 128})
    (metric,) = arm(world)["metrics"]
    assert metric == {"name": "cost<=1000", "result": "Undecided"}
    assert "How long it takes until a difference in cost shows is not estimated." in message(
        world, "Experimenting"
    )
