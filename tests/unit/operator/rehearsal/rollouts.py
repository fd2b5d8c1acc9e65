"""Rollouts to rehearse, and a world for them."""

import random
from typing import Any

from llmdeployment_operator.rehearsal.change import Change, read_change
from llmdeployment_operator.rehearsal.harms import apply_harm, find_shares, parse_harm
from llmdeployment_operator.rehearsal.run import Ending, World, rehearse
from llmdeployment_operator.rehearsal.traffic import read_traffic
from llmdeployment_operator.simulation.recipes import make_trace

ANALYSIS = {
    "metrics": [{"name": "errorRate"}, {"name": "ttft", "milliseconds": 500}],
    "minDuration": "2m",
}
STEPS = [{"weight": 25, "analysis": True}, {"weight": 50, "pause": {"duration": "3m"}}]


def document(**rollout: Any) -> dict[str, Any]:
    return {
        "apiVersion": "llmdeployment.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": "chat"},
        "spec": {
            "model": {"source": "hf://a/b"},
            "replicas": 4,
            "resources": {"limits": {"nvidia.com/gpu": 1}},
            "rollout": rollout,
        },
    }


def canary(**rollout: Any) -> Change:
    whole = {"strategy": "Canary", "steps": STEPS, "analysis": ANALYSIS, **rollout}
    kept = {name: value for name, value in whole.items() if value is not None}
    return read_change([document(**kept)], "new.yaml")


def chance(seed: int = 1) -> random.Random:
    return random.Random(seed)  # noqa: S311  # because a simulation keeps no secret


def world(change: Change, trace: str = "poisson:rate=10,seconds=600", **more: Any) -> World:
    traffic = read_traffic(make_trace(trace), trace)
    metrics = change.policy.analysis.metrics if change.policy.analysis is not None else ()
    fields = {"users": 2000, "correlation": 0.0, "warm_up": 60.0, **more}
    return World(change, traffic, stable=find_shares(metrics, {}, traffic.answers), **fields)


def run(where: World, harm: str = "none", seed: int = 1) -> Ending:
    analysis = where.change.policy.analysis
    metrics = analysis.metrics if analysis is not None else ()
    shares = apply_harm(parse_harm(harm), metrics, where.stable, where.traffic.answers)
    return rehearse(where, shares, chance(seed))
