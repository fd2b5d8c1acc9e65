"""The parts of a rehearsal: users, counts, replicas, and what many runs come down to."""

import math
from dataclasses import replace
from statistics import mean, pvariance

import pytest
from tests.unit.operator.rehearsal.rollouts import canary, chance, document, world

from llmdeployment_operator.analysis.counts import CountKey
from llmdeployment_operator.rehearsal.change import read_change
from llmdeployment_operator.rehearsal.fleet import Fleet
from llmdeployment_operator.rehearsal.harms import parse_harm
from llmdeployment_operator.rehearsal.recent import RecentRequests
from llmdeployment_operator.rehearsal.report import Case, estimate_chance, rehearse_harms
from llmdeployment_operator.rehearsal.run import Ending, Outcome
from llmdeployment_operator.rehearsal.tally import CANARY, STABLE, Tally
from llmdeployment_operator.rehearsal.users import Users


def test_the_first_user_asks_twice_as_often_as_the_second() -> None:
    asked = Users(100, 0.0, chance()).draw(60_000)

    harmonic = sum(1 / rank for rank in range(1, 101))
    assert asked.count(0) / 60_000 == pytest.approx(1 / harmonic, rel=0.03)
    assert asked.count(0) / asked.count(1) == pytest.approx(2, rel=0.05)


def test_users_are_in_other_buckets_in_each_run() -> None:
    one, other = (Users(50, 0.0, chance(seed)) for seed in (1, 2))

    assert one.buckets != other.buckets
    assert one.buckets == Users(50, 0.0, chance()).buckets
    assert all(0 <= bucket < 10_000 for bucket in one.buckets)


def test_two_requests_of_one_user_are_correlated() -> None:
    people = Users(20_000, 0.1, chance())
    shares = [people.find_share(user, "ttft", 0.2) for user in range(20_000)]

    # The variance of a user's share is icc p (1 - p).
    assert mean(shares) == pytest.approx(0.2, abs=0.005)
    assert pvariance(shares) == pytest.approx(0.1 * 0.2 * 0.8, rel=0.05)
    assert shares[:9] == [people.find_share(user, "ttft", 0.2) for user in range(9)]
    assert people.find_share(0, "errorRate", 0.2) != shares[0]


@pytest.mark.parametrize(("correlation", "share"), [(0.0, 0.2), (0.5, 0.0), (0.5, 1.0)])
def test_some_users_are_all_alike(correlation: float, share: float) -> None:
    assert Users(1, correlation, chance()).find_share(0, "ttft", share) == share


def tally(shares: dict[str, float]) -> Tally:
    return Tally(Users(500, 0.0, chance()), {STABLE: shares, CANARY: {"errorRate": 1.0}}, 0)


def test_counts_are_by_revision_metric_and_group() -> None:
    counted = tally({"errorRate": 0.0})
    counted.add(1000, 2500, 5.0)
    found, users = counted.take(), counted.count_users()

    stable, canary = (found[revision][CountKey("errorRate")] for revision in (STABLE, CANARY))
    assert stable.total + canary.total == 1000
    assert (stable.bad, canary.bad, canary.total) == (0, canary.total, counted.requests)
    grouped = {k: each for k, each in found[CANARY].items() if k.group is not None}
    groups = [counts for key, counts in grouped.items() if key.metric == "errorRate"]
    assert sum(counts.total for counts in groups) == canary.total
    assert 1 < len(groups) <= 64
    # Two users of one bucket are one.
    assert 0 < users[CANARY] <= len(counted.exposed) < users[STABLE]
    assert counted.take() == {STABLE: {}, CANARY: {}}
    counted.forget_users()
    assert counted.count_users() == {STABLE: 0, CANARY: 0}


def test_the_bounded_sample_has_about_20_requests_of_ten_minutes_of_a_user() -> None:
    busy = Tally(Users(1, 0.0, chance()), {STABLE: {"ttft": 0.5}, CANARY: {"ttft": 0.5}}, 6000)
    for second in range(6000):
        busy.add(10, 0, float(second))
    found = busy.take()[STABLE]
    whole, bounded = found[CountKey("ttft")], found[CountKey("ttft, bounded")]
    assert whole.total == 60_000
    assert bounded.total / 10 == pytest.approx(20, rel=0.25)
    assert bounded.bad / bounded.total == pytest.approx(0.5, abs=0.12)
    groups = {key.group for key in found if key.metric == "ttft, bounded"} - {None}
    assert len(groups) == 1
    assert groups < set(range(16))


def test_requests_of_ten_minutes_are_counted_as_a_gateway_counts_them() -> None:
    recent = RecentRequests([7] * 40 + [8])
    assert [recent.add(7, 100.0), recent.add(8, 100.0), recent.add(9, 100.0)] == [41, 2, 1]
    # Half of the 40 before are of the last ten minutes, and two came since.
    assert recent.add(7, 400.0) == 22
    assert recent.add(7, 1000.0) == 1 + 1
    assert recent.add(7, 5000.0) == 1


def test_where_nothing_is_compared_only_users_are_counted() -> None:
    counted = Tally(Users(50, 0.0, chance()), {STABLE: {}, CANARY: {}}, 1000)
    counted.add(100, 10_000, 5.0)

    assert (counted.requests, counted.take()) == (100, {STABLE: {}, CANARY: {}})


def test_a_fleet_warms_up_ends_and_costs() -> None:
    fleet = Fleet({1: 4}, 60)
    assert fleet.resize({1: 4, 2: 2}, 10)
    assert not fleet.resize({1: 4, 2: 2}, 20)
    assert (fleet.count_ready(69), fleet.count_ready(70)) == ({1: 4, 2: 0}, {1: 4, 2: 2})
    assert (fleet.find_next_ready(20), fleet.find_next_ready(70)) == (70, math.inf)
    fleet.resize({1: 4, 2: 3}, 100)
    # The one that still warms up goes first.
    fleet.resize({1: 1, 2: 2}, 110)
    assert fleet.count_ready(110) == {1: 1, 2: 2}
    assert fleet.most == 7
    # Two for 90 s, three for 10 s, then one less than usual for 40 s.
    fleet.pay(150)
    assert fleet.extra_seconds == 2 * 90 + 3 * 10 - 1 * 40


ENDING = Ending(Outcome.PROMOTED, 100.0, "", {25: 10.0, 100: 100.0}, 7, 70, 5, 360.0, 120.0)
BACK = replace(ENDING, outcome=Outcome.ROLLED_BACK, seconds=40.0, steps={25: 20.0}, users=3)
OPEN = replace(ENDING, outcome=Outcome.UNDECIDED, seconds=900.0)


def test_a_case_counts_how_runs_ended() -> None:
    endings = [ENDING, ENDING, BACK, OPEN]
    same, bad = (Case(parse_harm(h), compared=True, endings=endings) for h in ("none", "errors=5"))

    assert (same.wrong, bad.wrong) == (estimate_chance(1, 4), estimate_chance(3, 4))
    assert same.usual is Outcome.PROMOTED
    assert same.spread(lambda ending: ending.users) == (7, 7)
    assert same.spread_time(Outcome.ROLLED_BACK) == (40.0, 40.0)
    assert (
        Case(parse_harm("none"), compared=True, endings=[ENDING]).spread_time(Outcome.ROLLED_BACK)
        is None
    )
    assert same.spread_steps() == [(25, (10.0, 20.0), 4), (100, (100.0, 100.0), 3)]


@pytest.mark.parametrize("runs", [1, 10, 1000])
def test_no_hit_is_not_no_chance(runs: int) -> None:
    none, all_of_them = estimate_chance(0, runs), estimate_chance(runs, runs)

    assert (none.low, all_of_them.high) == (0, 1)
    assert none.high == pytest.approx(1 - all_of_them.low)
    assert none.high == pytest.approx(3.84 / (runs + 3.84), rel=0.01)


def test_harms_are_rehearsed_with_the_same_users_and_a_seed() -> None:
    where, heard = world(canary()), []
    harms = [parse_harm("none"), parse_harm("ttft=1x"), parse_harm("errors=10")]
    cases = rehearse_harms(where, harms, 2, 5, heard.append)

    assert heard == [1, 2, 3, 4, 5, 6]
    assert [case.compared for case in cases] == [False, False, True]
    # Nothing is worse, so the very same happens.
    assert cases[0].endings == cases[1].endings
    assert cases[0].endings[0] != cases[0].endings[1]
    assert rehearse_harms(where, harms[:1], 2, 5)[0].endings == cases[0].endings
    assert rehearse_harms(where, harms[:1], 2, 6)[0].endings != cases[0].endings


def test_without_an_analysis_nothing_is_compared() -> None:
    (case,) = rehearse_harms(world(read_change([document()], "f")), [parse_harm("errors=9")], 1, 1)

    assert (case.compared, case.usual) == (False, Outcome.PROMOTED)
