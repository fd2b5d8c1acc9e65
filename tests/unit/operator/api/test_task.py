"""`spec.model.task`: the operator's half of the rules, and what becomes of the field."""

from typing import Any

import pytest
import yaml
from tests.component.refusals.task import ACCEPTED, REFUSED
from tests.support import crd

from llmdeployment_operator.api.types import SpecError, parse
from llmdeployment_operator.plan.base.revisions import extract_template, hash_runtime
from llmdeployment_operator.plan.observed.ray_serve import build_serving_config


def read(patch: str) -> Any:
    document = crd.deployment(patch)
    document["metadata"] |= {"namespace": "shop", "uid": "u"}
    return parse(document)


@pytest.mark.parametrize(("patch", "message"), REFUSED.values(), ids=REFUSED)
def test_the_operator_refuses_what_the_server_does(patch: str, message: str) -> None:
    with pytest.raises(SpecError) as refused:
        read(patch)
    if "Unsupported value" not in message:
        assert message in str(refused.value)


@pytest.mark.parametrize("patch", ACCEPTED.values(), ids=ACCEPTED)
def test_a_task_is_accepted(patch: str) -> None:
    assert read(patch).spec.model.task == yaml.safe_load(patch)["spec"].get("model", {}).get("task")


def test_a_task_reaches_the_replica_and_makes_a_new_runtime() -> None:
    plain, embedder = read("{}"), read("spec: {model: {task: Embed}}")
    old, new = extract_template(plain), extract_template(embedder)
    assert hash_runtime(old) != hash_runtime(new)
    assert build_serving_config(embedder, new)["task"] == "Embed"
    # Replicas of older images refuse what they do not know.
    assert "task" not in build_serving_config(plain, old)
