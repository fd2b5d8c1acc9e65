"""What holds for any looks whatever."""

from math import inf, nan

from hypothesis import given, settings
from hypothesis import strategies as st

from llmdeployment_operator.autoscaler.recommend import ScalingDecision, recommend
from llmdeployment_operator.autoscaler.state import AutoscalerState
from llmdeployment_operator.autoscaler.types import (
    BOUNDS,
    Observation,
    ReplicaSample,
    ScalingPolicy,
    Target,
)

TARGETS = (Target("ttft", 90, 0.5), Target("itl", 99, 0.05))
NUMBERS = st.one_of(st.integers(-5, 10_000), st.sampled_from([nan, inf, -inf, 1e300]))
ROWS = st.tuples(st.integers(0, len(BOUNDS)), st.integers(0, len(BOUNDS)), st.integers(0, 500))


@st.composite
def samples(draw: st.DrawFn, at: float) -> ReplicaSample:
    wild = draw(st.integers(0, 9)) == 0
    number = NUMBERS if wild else st.integers(0, 200)
    first, second, values = draw(ROWS)
    row = tuple(values * ((i >= first) + (i >= second)) for i in range(len(BOUNDS) + 1))
    histograms = dict.fromkeys(("ttft", "itl", "e2e", "queue"), row)
    clock = at + draw(st.sampled_from([0.0, 0.0, 0.0, -30.0, 30.0, nan]))
    return ReplicaSample(
        clock,
        draw(number),
        draw(number),
        draw(st.floats(0, 1)),
        draw(number),
        draw(number),
        histograms,
    )


@st.composite
def stories(draw: st.DrawFn) -> tuple[ScalingPolicy, list[Observation]]:
    minimum = draw(st.integers(0, 3))
    policy = ScalingPolicy(
        minimum, draw(st.integers(max(minimum, 1), 12)), TARGETS, draw(st.sampled_from([None, 5.0]))
    )
    observations, at = [], 0.0
    for _ in range(draw(st.integers(1, 8))):
        at += draw(st.sampled_from([1.0, 1.0, 2.0, 60.0]))
        ready = draw(st.integers(0, 6))
        pods = draw(st.sets(st.integers(0, 5), max_size=5))
        observations.append(
            Observation(
                at,
                ready,
                draw(st.integers(0, 3)),
                {f"p{i}": draw(samples(at)) for i in pods},
                held=draw(st.integers(0, 3)),
            )
        )
    return policy, observations


def told(policy: ScalingPolicy, observations: list[Observation]) -> list[ScalingDecision]:
    state, decisions = AutoscalerState(), []
    for observation in observations:
        decisions.append(recommend(policy, observation, state, observation.at))
        state = decisions[-1].state
    return decisions


@settings(max_examples=40, deadline=None)
@given(stories())
def test_bounds_hold_whatever_comes(story: tuple[ScalingPolicy, list[Observation]]) -> None:
    policy, observations = story
    assert all(policy.minimum <= d.replicas <= policy.maximum for d in told(policy, observations))


@settings(max_examples=40, deadline=None)
@given(stories())
def test_never_down_while_a_ready_replica_is_not_heard(
    story: tuple[ScalingPolicy, list[Observation]],
) -> None:
    policy, observations = story
    before = observations[0].ready + observations[0].pending
    for observation, decision in zip(observations, told(policy, observations), strict=True):
        if len(observation.samples) < observation.ready:
            assert decision.replicas >= min(before, policy.maximum)
        before = decision.replicas


@settings(max_examples=40, deadline=None)
@given(stories())
def test_the_same_look_again_changes_nothing(
    story: tuple[ScalingPolicy, list[Observation]],
) -> None:
    policy, observations = story
    last = told(policy, observations)[-1]
    again = recommend(policy, observations[-1], last.state, observations[-1].at)

    assert again.replicas == last.replicas
    assert again.state == last.state


@settings(max_examples=40, deadline=None)
@given(stories())
def test_state_survives_json_whatever_came(story: tuple[ScalingPolicy, list[Observation]]) -> None:
    policy, observations = story
    state = told(policy, observations)[-1].state

    assert AutoscalerState.of(state.as_dict()).as_dict() == state.as_dict()
