import math

import pytest

from llmdeployment_operator.autoscaler.types import Observation, ScalingPolicy, Target
from llmdeployment_operator.simulation import generators, study
from llmdeployment_operator.simulation.generators import fixed_tokens
from llmdeployment_operator.simulation.profile import Profile
from llmdeployment_operator.simulation.run import Hold, simulate
from llmdeployment_operator.simulation.scalers import fixed
from llmdeployment_operator.simulation.series import latency, slots
from llmdeployment_operator.simulation.study import (
    Outcome,
    Setting,
    cheapest,
    compare,
    find_scaler,
    foresee,
    outcome,
    sweep,
)
from llmdeployment_operator.simulation.trace import Request

TTFT = Target("ttft", 90, 0.5)


def setting(maximum: int, *targets: Target) -> Setting:
    """10 requests a second, of which a replica carries about 4."""

    def traffic() -> list[Request]:
        return list(generators.poisson(10, 120, fixed_tokens(1_000, 100), seed=3))

    profile = Profile(batch_tokens_per_second=500, warm_up_seconds=1)
    return Setting(traffic, profile, ScalingPolicy(1, maximum, targets or (TTFT,)))


def own(forwarded: Setting, replicas: int) -> Outcome:
    return outcome("operator", forwarded.run(fixed(replicas)), forwarded.policy.targets)


def test_the_smallest_fixed_number_that_keeps_the_targets() -> None:
    forwarded = setting(20)
    runs: dict[int, Outcome] = {}
    found = cheapest(forwarded, runs)

    assert found is not None
    assert [own(forwarded, found - 1).kept, runs[found].kept] == [False, True]
    assert len(runs) <= 6
    assert cheapest(setting(2), {}) is None


def test_others_stand_beside_the_law() -> None:
    forwarded = setting(20)
    enough = cheapest(forwarded, {})
    rows = list(compare(forwarded, own(forwarded, 2), {"two more": fixed(4)}))

    names = ["fixed 2", f"fixed {enough}", "two more", "clairvoyant"]
    assert [row.name for row in rows] == names
    assert rows[0].mean_replicas == 2
    assert rows[2].decisions == 1
    few = [row.name for row in compare(setting(3), own(setting(3), 2), {})]
    assert few == ["fixed 2", "fixed 3", "clairvoyant"]


def test_foresight_is_as_good_with_fewer_replicas() -> None:
    def traffic() -> list[Request]:
        stages = [(120.0, 2.0), (60.0, 12.0), (120.0, 2.0)]
        return list(generators.steps(stages, fixed_tokens(1_000, 100), seed=3))

    profile = Profile(batch_tokens_per_second=500, warm_up_seconds=10)
    forwarded = Setting(traffic, profile, ScalingPolicy(1, 10, (TTFT,)))
    enough = cheapest(forwarded, {})
    assert enough is not None
    law = outcome("fixed", forwarded.run(fixed(enough), initial=enough), (TTFT,))
    best = foresee(forwarded, law)

    assert best is not None
    assert best.mean_replicas < 0.8 * law.mean_replicas
    assert best.good > law.good - 0.03


def test_foresight_is_left_out_where_it_would_take_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large, small = setting(65), setting(4)

    assert foresee(large, own(small, 2)) is None
    monkeypatch.setattr(study, "KNOWN_REQUESTS", 100)
    assert foresee(small, own(small, 2)) is None


def test_a_sweep_changes_one_target_and_leaves_the_others() -> None:
    forwarded = setting(4, TTFT, Target("e2e", 99, 20.0))
    rows = list(sweep(forwarded, "ttft"))

    assert [row.targets[0].seconds for row in rows] == [0.2, 0.3, 0.5, 0.75, 1.0, 1.5]
    assert {row.targets[1] for row in rows} == {Target("e2e", 99, 20.0)}
    assert [row.name for row in rows][:2] == ["ttft p90 200 ms", "ttft p90 300 ms"]
    shares = [row.attainments[0] for row in rows]
    assert shares == sorted(shares)


def test_what_1000_tokens_cost() -> None:
    forwarded = setting(20)
    row = own(forwarded, 2)

    assert row.per_1000_tokens(3.0) == pytest.approx(
        row.replica_hours * 3.0 * 1000 / row.output_tokens
    )
    nothing = outcome(
        "none",
        simulate([Request(0, 1, 1)], forwarded.profile, fixed(0), initial=0, hold=Hold(0)),
        (TTFT,),
    )
    assert nothing.per_1000_tokens(3.0) is None
    assert not nothing.kept
    assert find_scaler(Target("itl", 99, 0.0015)) == "itl p99 1.5 ms"


def test_slots_add_up() -> None:
    forwarded = setting(20)

    def scaler(_: Observation, now: float) -> int:
        return 2 if now < 40.5 else 5

    result = forwarded.run(scaler)
    over = slots(result, 7)

    assert sum(over.load) * over.seconds == pytest.approx(result.requests)
    assert sum(over.existing) * over.seconds == pytest.approx(result.replica_seconds, abs=0.01)
    assert (over.ready[1], over.ready[-1]) == (pytest.approx(2), pytest.approx(5))


def test_latency_by_slot() -> None:
    trace = [Request(0.0, 100, 2), Request(1.0, 2_000, 2), Request(30.0, 100, 2)]
    result = simulate(trace, Profile(), fixed(1))

    assert latency(result, "ttft", 50, 3) == (pytest.approx(0.015), None, pytest.approx(0.015))
    assert latency(result, "ttft", 90, 3)[0] == pytest.approx(0.11)
    refused = simulate(trace, Profile(), fixed(0), initial=0, hold=Hold(0))
    assert latency(refused, "itl", 50, 3) == (math.inf, None, math.inf)
