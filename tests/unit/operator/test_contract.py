"""The operator's half of what the packages agree on; the serving package parses the same texts."""

import json
from pathlib import Path

import pytest
from tests.support.world import admitted, sample

from llmdeployment_operator.analysis.counts import CACHED, CountKey, Counts
from llmdeployment_operator.api import rollout
from llmdeployment_operator.api.rollout import MetricSpec
from llmdeployment_operator.api.types import parse
from llmdeployment_operator.plan.base.revisions import Revision, extract_template, hash_runtime
from llmdeployment_operator.plan.observed.ray_serve import (
    build_serve_config,
    explain_put,
    read_serve_state,
)
from llmdeployment_operator.plan.observed.stats import read_replica_counts
from llmdeployment_serving.config import ServingConfig, UserConfig
from llmdeployment_serving.config import parse as parse_serving
from llmdeployment_serving.output_shares import BUILT_IN, PATTERN
from llmdeployment_serving.stats import (
    EngineSnapshot,
    RevisionStats,
    build_stats,
    find_length_bucket,
)

PUT = json.loads(Path("tests/data/serving/put.json").read_text())


def revision(raw: dict[str, object], number: int = 1) -> Revision:
    template = extract_template(parse(raw))
    return Revision(number, "h", hash_runtime(template), template, {})


def test_the_declaration_is_the_one_that_was_tried_on_a_real_ray() -> None:
    raw = admitted(
        {
            "apiVersion": "llmdeployment.dev/v1alpha1",
            "kind": "LLMDeployment",
            "metadata": {"name": "chat"},
            "spec": {
                "model": {"source": "file:///none"},
                "engine": {"name": "simulated", "args": {"decode-tokens-per-second": 100}},
                "prompt": {"system": "Answer in one sentence.", "defaults": {"temperature": 0.2}},
            },
        }
    )
    assert build_serve_config(parse(raw), (revision(raw),), 1) == PUT


@pytest.mark.parametrize("name", ["simulated", "smollm2-cpu", "smollm2-transformers", "gpu"])
def test_serving_accepts_what_the_operator_declares(name: str) -> None:
    raw = sample(name)
    body = build_serve_config(parse(raw), (revision(raw),), 1)
    (app,) = body["applications"]
    config = parse_serving(ServingConfig, app["args"])
    assert config.engine.name == app["args"]["engine"]["name"]
    users = parse_serving(UserConfig, app["deployments"][0]["user_config"])
    assert users.find_newest() == "1"


def test_patterns_travel_to_running_replicas_and_make_no_revision() -> None:
    raw = sample("simulated")
    before = build_serve_config(parse(raw), (revision(raw),), 1)
    patterns = [{"name": "brand", "pattern": r"(?i)\bacme\b"}]
    watched = {**raw, "spec": {**raw["spec"], "monitoring": {"outputPatterns": patterns}}}
    after = build_serve_config(parse(watched), (revision(watched),), 1)

    assert revision(watched) == revision(raw)
    (old,), (new,) = (body["applications"][0]["deployments"] for body in (before, after))
    assert "monitoring" not in old["user_config"]
    told = {**old["user_config"], "monitoring": {"outputPatterns": patterns}}
    assert new == {**old, "user_config": told}
    assert after["applications"][0]["args"] == before["applications"][0]["args"]
    parsed = parse_serving(UserConfig, new["user_config"]).monitoring.output_patterns
    assert [each.model_dump() for each in parsed] == patterns


def test_both_sides_know_the_same_shares() -> None:
    assert (BUILT_IN, PATTERN) == (rollout.SHARES, rollout.PATTERN)


def test_what_serve_says_back_needs_no_new_declaration() -> None:
    (app,) = PUT["applications"]
    shuffled = json.loads(json.dumps(app, sort_keys=True))
    answer = {"applications": {"llm": {"status": "RUNNING", "deployed_app_config": shuffled}}}
    assert explain_put(PUT, read_serve_state(answer)) is None
    shuffled["deployments"][0]["num_replicas"] = 2
    assert explain_put(PUT, read_serve_state(answer)) is not None
    assert explain_put(PUT, read_serve_state({"applications": {}})) is not None


def test_the_message_of_a_failed_start_is_the_engines_last_word() -> None:
    text = "Traceback (most recent call last):\n  x\nllm.errors.ConfigError: bogus: not known\n\n"
    deployments = {"replica": {"message": text, "replicas": [{"state": "STARTING"}]}}
    answer = {"applications": {"llm": {"status": "DEPLOY_FAILED", "deployments": deployments}}}
    state = read_serve_state(answer)
    assert (state.message, state.replicas) == ("bogus: not known", 1)


def test_the_operator_reads_what_a_replica_counts() -> None:
    stats = RevisionStats(prompt_tokens=900, cached_prompt_tokens=300)
    for size in (10, 5000):
        for seconds in (0.2, 0.5, 0.7):
            for histogram in (stats.whole.ttft, stats.whole.itl, stats.whole.e2e):
                histogram.observe(seconds, find_length_bucket(size))
        stats.whole.output_tokens.observe(10 * size, find_length_bucket(size))
    document = build_stats("vllm", "chat", EngineSnapshot(0, 0, 0, 0, 0, {}), {"4": stats})
    metrics = [
        MetricSpec(name="ttft", milliseconds=500),
        MetricSpec(name="itl", milliseconds=150),
        MetricSpec(name="e2e", milliseconds=600_000),
        MetricSpec(name="outputTokens", tokens=400),
    ]
    expected = {
        "ttft>500ms": (Counts(3, 1), Counts(3, 1), Counts()),
        "itl>150ms": (Counts(3, 3), Counts(3, 3), Counts()),
        "e2e>600000ms": (Counts(3, 0), Counts(3, 0), Counts()),
        "outputTokens>400": (Counts(1, 0), Counts(1, 1), Counts()),
    }
    strata = ("1024", "8192", "+Inf")
    keyed = {
        CountKey(name, stratum): counts
        for name, row in expected.items()
        for stratum, counts in zip(strata, row, strict=True)
    }
    found = read_replica_counts(json.loads(json.dumps(document)), metrics)
    assert found == {4: keyed | {CountKey(CACHED): Counts(900, 300)}}
