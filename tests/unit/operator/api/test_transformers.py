"""What the transformers engine has no way to do is refused with the field, and serving has the same flags."""

from typing import Any

import pytest
from tests.support.world import admitted

from llmdeployment_operator.api.transformers import CANNOT, FLAGS
from llmdeployment_operator.api.types import SpecError, parse
from llmdeployment_operator.plan.base.revisions import extract_template
from llmdeployment_operator.plan.observed.ray_serve import build_serving_config
from llmdeployment_serving.config import ServingConfig
from llmdeployment_serving.config import parse as parse_serving
from llmdeployment_serving.transformers_flags import FLAGS as SERVING_FLAGS
from llmdeployment_serving.transformers_request import CANNOT as SERVING_CANNOT


def deployment(**spec: Any) -> dict[str, Any]:
    base = {"model": {"source": "pvc://models/a"}, "engine": {"name": "transformers"}}
    return {
        "apiVersion": "llmdeployment.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": "chat"},
        "spec": {**base, **spec},
    }


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"model": {"source": "pvc://m/a", "adapters": [{"name": "x", "source": "pvc://m/x"}]}},
            "spec.model.adapters cannot be set with spec.engine.name transformers",
        ),
        (
            {"prompt": {"defaults": {"temperature": 0, "repetition_penalty": 1.1}}},
            "spec.prompt.defaults cannot contain repetition_penalty with spec.engine.name transformers",
        ),
        (
            {"parallelism": {"tensor": 2}},
            "spec.parallelism cannot be set with spec.engine.name transformers",
        ),
        (
            {"engine": {"name": "transformers", "args": {"--enforce_eager": True}}},
            "spec.engine.args cannot contain enforce-eager with spec.engine.name transformers",
        ),
        (
            {
                "engine": {"name": "vllm", "args": {"enforce-eager": True}},
                "arms": [
                    {"name": "a", "weight": 50},
                    {"name": "b", "weight": 50, "overrides": {"engine": {"name": "transformers"}}},
                ],
            },
            "With the overrides of arm b, spec.engine.args cannot contain enforce-eager",
        ),
    ],
    ids=[
        "adapters",
        "a default",
        "parallelism",
        "a flag of vLLM",
        "an arm that inherits a flag of vLLM",
    ],
)
def test_what_it_cannot_do_is_refused_in_one_line(spec: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse(deployment(**spec))

    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_its_flags_in_any_form_reach_a_replica_with_the_models_folder() -> None:
    args = {"--max_model_len": 2048, "no-enable-prefix-caching": True, "dtype": "float32"}
    raw = admitted(deployment(engine={"name": "transformers", "args": args}))
    found = parse(raw)
    config = parse_serving(ServingConfig, build_serving_config(found, extract_template(found)))

    assert config.engine.name == "transformers"
    assert config.model_path == "/models/models/a"
    assert set(config.engine.args) == {"max-model-len", "no-enable-prefix-caching", "dtype"}


def test_operator_and_serving_have_the_same_lists() -> None:
    assert FLAGS == SERVING_FLAGS
    assert set(SERVING_CANNOT) == CANNOT
