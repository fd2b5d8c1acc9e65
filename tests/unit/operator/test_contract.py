"""The operator's half of what the packages agree on; the serving package parses the same texts."""

import json
from pathlib import Path

import pytest
from tests.support.world import admitted, sample

from llmdeployment_operator.api.types import parse
from llmdeployment_operator.plan.revisions import Revision, runtime_hash, template_of
from llmdeployment_operator.plan.serve import put_needed, serve_config, serve_state
from llmdeployment_serving.config import ServingConfig, UserConfig
from llmdeployment_serving.config import parse as parse_serving

PUT = json.loads(Path("tests/data/serving/put.json").read_text())


def revision(raw: dict[str, object], number: int = 1) -> Revision:
    template = template_of(parse(raw))
    return Revision(number, "h", runtime_hash(template), template, {})


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
    assert serve_config(parse(raw), (revision(raw),), 1) == PUT


@pytest.mark.parametrize("name", ["simulated", "smollm2-cpu", "gpu"])
def test_serving_accepts_what_the_operator_declares(name: str) -> None:
    raw = sample(name)
    body = serve_config(parse(raw), (revision(raw),), 1)
    (app,) = body["applications"]
    config = parse_serving(ServingConfig, app["args"])
    assert config.engine.name == app["args"]["engine"]["name"]
    users = parse_serving(UserConfig, app["deployments"][0]["user_config"])
    assert users.newest() == "1"


def test_what_serve_says_back_needs_no_new_declaration() -> None:
    (app,) = PUT["applications"]
    shuffled = json.loads(json.dumps(app, sort_keys=True))
    answer = {"applications": {"llm": {"status": "RUNNING", "deployed_app_config": shuffled}}}
    assert put_needed(PUT, serve_state(answer)) is None
    shuffled["deployments"][0]["num_replicas"] = 2
    assert put_needed(PUT, serve_state(answer)) is not None
    assert put_needed(PUT, serve_state({"applications": {}})) is not None


def test_the_message_of_a_failed_start_is_the_engines_last_word() -> None:
    text = "Traceback (most recent call last):\n  x\nllm.errors.ConfigError: bogus: not known\n\n"
    deployments = {"replica": {"message": text, "replicas": [{"state": "STARTING"}]}}
    answer = {"applications": {"llm": {"status": "DEPLOY_FAILED", "deployments": deployments}}}
    state = serve_state(answer)
    assert (state.message, state.replicas) == ("bogus: not known", 1)
