"""What a rehearsal is given: the object, the traffic, harms; and the sentences for what cannot be rehearsed."""

from typing import Any

import pytest
from tests.unit.operator.rehearsal.rollouts import canary, document

from llmdeployment_operator.api.rollout import MetricSpec
from llmdeployment_operator.rehearsal.change import read_change
from llmdeployment_operator.rehearsal.harms import (
    apply_harm,
    find_shares,
    parse_harm,
    parse_shares,
)
from llmdeployment_operator.rehearsal.traffic import MOST, Traffic, read_traffic
from llmdeployment_operator.simulation.errors import InputError
from llmdeployment_operator.simulation.trace import Request

METRICS = (
    MetricSpec(name="errorRate"),
    MetricSpec(name="ttft", milliseconds=500),
    MetricSpec(name="outputTokens", tokens=100),
    MetricSpec(name="refusal"),
    MetricSpec(name="pattern/brand"),
)
ANSWERS = (40, 60, 90, 120)


def with_spec(**more: Any) -> dict[str, Any]:
    whole = document()
    return {**whole, "spec": {**whole["spec"], **more}}


def test_a_change_is_what_the_spec_says() -> None:
    change = canary()

    assert (change.name, change.replicas, change.accelerators) == ("chat", 4, {"nvidia.com/gpu": 1})
    # 2 minutes of minDuration, then a pause of 3.
    assert (change.shortest, change.warm_window) == (300, 300)


@pytest.mark.parametrize(("limit", "times"), [(None, 3), (1, 7), (3, 5), ("100%", 4)])
def test_replicas_are_waited_for_before_each_step_and_each_time_some_are_replaced(
    limit: int | str | None, times: int
) -> None:
    assert canary(maxSurge=limit).warm_ups == times


def test_replicas_are_given_or_the_least_that_scaling_keeps() -> None:
    scaling = {"minReplicas": 3, "maxReplicas": 9, "targets": {"ttft": {"milliseconds": 500}}}

    assert read_change([document()], "new.yaml", 7).replicas == 7
    assert read_change([with_spec(scaling=scaling)], "new.yaml").replicas == 3


ARMS = [{"name": "a", "weight": 50}, {"name": "b", "weight": 50}]
REFUSED = {
    "none": ([{"kind": "Secret"}], "new.yaml holds no LLMDeployment. Give a file that holds one."),
    "two": ([document(), document()], "new.yaml holds 2 LLMDeployments."),
    "not a spec": ([{**document(), "spec": 5}], "new.yaml: spec: "),
    "metadata": ([{**document(), "metadata": "x"}], "new.yaml: metadata.name: Field required."),
    "what apply refuses": (
        [document(strategy="Canary")],
        "new.yaml: spec.rollout.strategy Canary needs spec.rollout.steps",
    ),
    "Recreate": ([document(strategy="Recreate")], "Set Canary or BlueGreen to rehearse it."),
    "arms": ([with_spec(arms=ARMS)], "Rehearse a copy without arms."),
    "paused": ([with_spec(paused=True)], "Set it to false to rehearse it."),
    "nothing serves": ([with_spec(replicas=0)], "Give a number with --replicas."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_rehearsed_is_a_sentence(name: str) -> None:
    documents, sentence = REFUSED[name]
    with pytest.raises(InputError) as refused:
        read_change(documents, "new.yaml")

    assert sentence in str(refused.value)


def test_shares_are_known_guessed_or_read_from_the_trace() -> None:
    assert find_shares(METRICS, parse_shares(["ttft=8"]), ANSWERS) == {
        "errorRate": 0.002,
        "ttft>500ms": 0.08,
        "outputTokens>100": 0.25,
        "refusal": 0.02,
        "pattern/brand": 0.02,
    }


@pytest.mark.parametrize(
    ("harm", "metric", "share"),
    [
        ("none", "ttft>500ms", 0.1),
        ("errors=5", "errorRate", 0.05),
        ("errorRate=5", "errorRate", 0.05),
        ("errors=5x", "errorRate", 0.01),
        ("ttft=2x", "ttft>500ms", 0.278),
        ("ttft=30", "ttft>500ms", 0.3),
        ("outputTokens=2x", "outputTokens>100", 0.75),
        ("refusal=3x", "refusal", 0.06),
        ("refusal=100x", "refusal", 1.0),
        ("pattern/brand=7, errors=4", "pattern/brand", 0.07),
        ("pattern/brand=7, errors=4", "errorRate", 0.04),
        ("pattern/brand=7", "refusal", 0.02),
    ],
)
def test_a_harm_makes_some_shares_worse(harm: str, metric: str, share: float) -> None:
    stable = find_shares(METRICS, {}, ANSWERS)

    found = apply_harm(parse_harm(harm), METRICS, stable, ANSWERS)

    assert found[metric] == pytest.approx(share, abs=0.0005)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        ("speed=2x", "--harm speed=2x: speed is no metric. Use none, or one of errors, ttft, itl"),
        ("", "--harm : nothing is no metric."),
        ("ttft", "--harm ttft: '' is no number above 0 and up to 100"),
        ("ttft=x", "--harm ttft=x: '' is no number"),
        ("ttft=0x", "--harm ttft=0x: '0' is no number above 0"),
        ("errors=101", "--harm errors=101: '101' is no number above 0 and up to 100"),
        ("errors=nan", "'nan' is no number above 0"),
        ("errors=5,none", "none is no metric"),
    ],
)
def test_a_harm_that_is_none_is_a_sentence(harm: str, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_harm(harm)

    assert sentence in str(refused.value)


@pytest.mark.parametrize("text", ["ttft=0", "ttft=100", "ttft", "speed=5"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"--stable {text}"):
        parse_shares([text])


def test_traffic_repeats_itself() -> None:
    traffic = Traffic((0.0, 1.0, 4.0), (1, 1, 1))

    # The mean gap of 2 s follows the last request.
    assert (traffic.seconds, traffic.rate) == (6.0, 0.5)
    assert traffic.count_between(0, 1) == 1
    assert traffic.count_between(1, 6) == 2
    assert traffic.count_between(5, 6.5) == 1
    assert traffic.count_between(0, 60) == 30
    assert sum(traffic.count_between(at / 4, (at + 1) / 4) for at in range(240)) == 30


@pytest.mark.parametrize("times", [[0.0], [0.0, 0.0], []])
def test_a_trace_without_a_rate_is_refused(times: list[float]) -> None:
    with pytest.raises(InputError, match=r"a\.csv holds [0-2] requests? at one time"):
        read_traffic([Request(at, 1, 1) for at in times], "a.csv")


def test_a_trace_without_end_is_cut() -> None:
    traffic = read_traffic((Request(float(at), 1, 1) for at in range(MOST + 9)), "long.csv")

    assert (len(traffic.times), traffic.cut) == (MOST, True)
    assert not read_traffic([Request(0.0, 1, 1), Request(1.0, 1, 1)], "short.csv").cut
