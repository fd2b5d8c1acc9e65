"""The law at replicas that embed: no tokens are generated, and each answer is one unit of work."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.fleet import Counts
from tests.support.observations import METRICS, counts

from llmdeployment_operator.autoscaler.recommend import ScalingDecision, recommend
from llmdeployment_operator.autoscaler.state import AutoscalerState
from llmdeployment_operator.autoscaler.types import (
    BOUNDS,
    Observation,
    ScalingPolicy,
    ScalingReason,
    Target,
)
from llmdeployment_operator.plan.observed.stats import read_sample

POLICY = ScalingPolicy(1, 20, (Target("e2e", 90, 0.5),))


class Embedders:
    """Replicas that all answer the same number of requests each second, and the law that reads their `/stats`."""

    def __init__(self, ready: int, **more: Any) -> None:
        self.ready, self.now, self.done = ready, 0.0, 0
        self.more = more
        self.state = AutoscalerState()

    def second(self, requests: int, running: int, seconds: float = 0.1) -> ScalingDecision:
        self.now += 1.0
        self.done += requests
        counted = [self.done if bound >= seconds else 0 for bound in (*BOUNDS, float("inf"))]
        rows = zip((*BOUNDS, "+Inf"), counted, strict=True)
        e2e = {"buckets": [list(row) for row in rows], "count": self.done, "sum": 0.0}
        nothing = [list(row) for row in zip((*BOUNDS, "+Inf"), counts(), strict=True)]
        empty: dict[str, Any] = {"buckets": nothing, "count": 0, "sum": 0.0}
        row = {name: e2e if name == "e2e" else empty for name in METRICS}
        stats = Counts(5, 1).stats(2, 1) | {
            "running": running,
            "waiting": 0,
            "promptTokens": 20 * self.done,
            "generationTokens": 0,
            "revisions": {"1": row},
        }
        found = read_sample(stats | self.more, self.now)
        assert found is not None
        samples = {f"pod-{number}": found for number in range(self.ready)}
        forwarded = {"gateway": self.done * self.ready}
        observation = Observation(self.now, self.ready, 0, samples, forwarded=forwarded)
        decision = recommend(POLICY, observation, self.state, self.now)
        self.state = decision.state
        return decision


def test_steady_load_holds_and_a_rush_is_seen_at_once() -> None:
    site = Embedders(3, task="Embed")
    replicas = {site.second(50, running).replicas for running in (4, 8, 10, 12, 16) * 60}
    assert replicas == {3}
    # At 0.2 s an answer, a replica with 10 under way gives 50 a second.
    assert site.state.answer_tokens == pytest.approx(1, abs=0.01)
    first = [site.second(250, 40 + 10 * i) for i in range(2)]
    assert first[0].replicas > 3
    # The first of them orders, the second one waits for what was ordered.
    assert first[0].reason in (ScalingReason.DEMAND_ROSE, ScalingReason.QUEUE_GREW)


@pytest.mark.parametrize(("more", "fewer"), [({"task": "Embed"}, True), ({}, False)])
def test_slack_is_given_back_because_answers_count(more: dict[str, Any], *, fewer: bool) -> None:
    site = Embedders(6, **more)
    for running in (4, 8, 10, 12, 16) * 24:
        site.ready = site.second(50, running).replicas
    for running in (1, 2, 3) * 240:
        site.ready = site.second(10, running).replicas
    # Without the task nothing is known of a replica's speed: the law never gives back what it cannot compute.
    assert (site.ready < 6) == fewer


def test_missed_targets_move_it() -> None:
    site = Embedders(4, task="Embed")
    decisions = [site.second(4, 2, seconds=2.0) for _ in range(5)]
    assert any(decision.replicas > 4 for decision in decisions)
