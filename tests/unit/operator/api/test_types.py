"""The types refuse what the CRD refuses, with a sentence, and hold what they are given."""

from typing import Any

import pytest
from pydantic import ValidationError

from llmdeployment_operator.api import arms, rules, sources
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.types import SpecError, parse
from llmdeployment_serving import config as serving

Object = dict[str, Any]


def _object(**spec: Any) -> Object:
    metadata = {"name": "chat", "namespace": "team", "uid": "1", "managedFields": []}
    return {"metadata": metadata, "spec": {"model": {"source": "hf://a/b"}, **spec}}


def test_the_smallest_object_has_the_documented_defaults() -> None:
    spec = parse(_object()).spec

    assert spec.engine.name == "vllm"
    assert (spec.replicas, spec.gateway.replicas, spec.revision_history_limit) == (1, 2, 10)
    assert (spec.gateway.hold.max_requests, spec.gateway.hold.seconds) == (64, 120)
    assert (spec.parallelism.tensor, spec.parallelism.pipeline) == (1, 1)
    assert spec.model.served_name is None
    assert spec.paused is False


def test_a_default_spelt_out_is_the_same_template() -> None:
    spelt = _object(engine={"name": "vllm", "args": {}}, parallelism={"tensor": 1, "pipeline": 1})
    parsed = [
        parse(document).spec.model_dump(exclude_defaults=True) for document in (_object(), spelt)
    ]

    assert parsed[0] == parsed[1] == {"model": {"source": "hf://a/b"}}


def test_a_quantity_is_the_same_as_number_and_as_text() -> None:
    number, text = (
        parse(_object(resources={"limits": {"nvidia.com/gpu": gpus}})).spec for gpus in (1, "1")
    )

    assert number == text
    assert number.resources.model_dump(mode="json", exclude_none=True) == {
        "limits": {"nvidia.com/gpu": "1"}
    }


def test_engine_args_keep_their_types() -> None:
    args = {
        "max-model-len": 4096,
        "gpu-memory-utilization": 0.9,
        "enforce-eager": True,
        "dtype": "auto",
    }

    found = parse(_object(engine={"args": args})).spec.engine.args

    assert found == args
    assert [type(value) for value in found.values()] == [int, float, bool, str]


def test_names_are_camel_case_and_nothing_can_be_changed() -> None:
    deployment = parse(_object(podTemplate={"spec": {"nodeSelector": {"a": "b"}}}))

    with pytest.raises(ValidationError):
        deployment.spec.replicas = 2  # type: ignore[misc]  # because this is what must not work
    assert deployment.spec.model_dump(by_alias=True, exclude_defaults=True, exclude_none=True)[
        "podTemplate"
    ] == {"spec": {"nodeSelector": {"a": "b"}}}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"limbs": []}, "spec.limbs: Extra inputs are not permitted"),
        ({"arms": [{"name": "a", "weight": 90}]}, arms.WEIGHTS),
        ({"arms": [{"name": "a", "weight": 50}] * 2}, "spec.arms contains a name twice."),
        ({"arms": [{"name": "canary", "weight": 100}]}, arms.RESERVED),
        (
            {"arms": [{"name": "a", "weight": 100, "overrides": {"replicas": 3}}]},
            "spec.arms[0]: overrides cannot contain replicas, only engine,",
        ),
        (
            {"arms": [{"name": "a", "weight": 100, "overrides": {"model": {"servedName": "b"}}}]},
            arms.SERVED_NAME,
        ),
        (
            {"arms": [{"name": "a", "weight": 100, "overrides": {"engine": {"name": "tgi"}}}]},
            "With the overrides of arm a, engine.name: Input should be 'vllm', 'transformers', 'simulated' or 'external'.",
        ),
        ({"model": {}}, "spec.model.source: Field required"),
        ({"model": {"source": "a/b"}}, "spec.model.source must start with hf://"),
        ({"model": {"source": "gs://a/b"}}, "spec.model.source cannot be a bucket of this kind"),
        (
            {"model": {"source": "oci://a"}},
            "spec.model.source must be oci://registry/repository:tag",
        ),
        ({"model": {"source": "s3://bucket"}}, "spec.model.source must be s3://bucket/prefix"),
        ({"model": {"source": "s3://bucket/../x"}}, "spec.model.source must be s3://bucket/prefix"),
        ({"model": {"source": "https://host/"}}, "spec.model.source must be https://host/folder/"),
        (
            {"model": {"source": "https://me:key@host/x", "sha256": "a" * 64}},
            "spec.model.source must be https://host/folder/SHA256SUMS",
        ),
        (
            {"model": {"source": "https://host/x?key=1", "sha256": "a" * 64}},
            "spec.model.source must be https://host/folder/SHA256SUMS",
        ),
        ({"model": {"source": "https://host/x"}}, sources.LIST_WITHOUT_SHA256),
        (
            {"model": {"source": "https://host/x", "sha256": "abc"}},
            "spec.model.sha256: String should have at least 64 characters",
        ),
        (
            {"model": {"source": "https://host/x", "sha256": "A" * 64}},
            "spec.model.sha256: must be a SHA-256",
        ),
        ({"model": {"source": "hf://a/b", "sha256": "a" * 64}}, sources.SHA256_WITHOUT_LIST),
        (
            {"model": {"source": "hf://a/b", "credentialsSecretRef": {"name": "s"}}},
            sources.CREDENTIALS_WITHOUT_BUCKET,
        ),
        (
            {"model": {"source": "pvc://a/b", "allowPickle": True}},
            sources.PICKLE_WITHOUT_DOWNLOAD,
        ),
        (
            {"resources": {"limits": {"memory": "64GB"}}},
            "spec.resources.limits.memory: '64GB' is not an amount. An amount is",
        ),
        ({"model": {"source": "pvc://a/../b"}}, "spec.model.source must be pvc://claim/path"),
        (
            {"model": {"source": "file:///a", "tokenSecretRef": {"name": "a"}}},
            sources.TOKEN_WITHOUT_HUB,
        ),
        (
            {"engine": {"name": "tgi"}},
            "spec.engine.name: Input should be 'vllm', 'transformers', 'simulated' or 'external'",
        ),
        (
            {"engine": {"args": {"port": 1}}},
            "spec.engine.args cannot contain port, because the operator sets it. Remove it.",
        ),
        ({"engine": {"args": {"no-grpc": True}}}, "spec.engine.args cannot contain no-grpc"),
        (
            {"engine": {"args": {"Dtype": "auto"}}},
            "spec.engine.args.Dtype: is not a flag of `vllm serve`",
        ),
        (
            {"engine": {"args": {"--api-key": "x"}}},
            "spec.engine.args cannot contain api-key, because spec.gateway.apiKeysSecretRef",
        ),
        (
            {"engine": {"args": {"max-model-len": 1, "max_model_len": 2}}},
            "spec.engine.args: contains max-model-len twice, in two forms. Keep one.",
        ),
        ({"engine": {"args": {"dtype": ["auto"]}}}, "spec.engine.args.dtype"),
        (
            {"engine": {"env": [{"name": "LLMD_X"}]}},
            "spec.engine.env[0].name: cannot start with LLMD_",
        ),
        ({"engine": {"env": [{"name": "HF_TOKEN"}]}}, "Set spec.model.tokenSecretRef"),
        ({"engine": {"env": [{"name": "A", "valueFrom": {}}]}}, rules.ONE_ENV_SOURCE),
        ({"prompt": {"defaults": {"stream": True}}}, "spec.prompt.defaults cannot contain stream"),
        (
            {"resources": {"limits": {"cpu": "2 cores"}}},
            "spec.resources.limits.cpu: '2 cores' is not",
        ),
        (
            {"resources": {"limits": {"cpus": 2}}},
            "spec.resources.limits: contains a name that is not a resource.",
        ),
        ({"resources": {"limits": {"nvidia.com/gpu": 2}}}, rules.GPUS_MATCH),
        ({"parallelism": {"tensor": 0}}, "spec.parallelism.tensor: Input should be greater"),
        ({"replicas": "2"}, "spec.replicas: Input should be a valid integer"),
        ({"paused": 1}, "spec.paused: Input should be a valid boolean"),
    ],
)
def test_a_bad_spec_is_refused_in_one_line(spec: Object, sentence: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse(_object(**spec))

    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(SpecError) as refused:
        parse(_object(replicas=-1, image="a b"))

    assert "spec.replicas: " in str(refused.value)
    assert "spec.image: " in str(refused.value)


def test_the_flags_refused_here_are_those_that_serving_refuses() -> None:
    assert rules.RESERVED_FLAGS.keys() == serving.RESERVED_FLAGS.keys()
    assert set(rules.RESERVED_DEFAULTS) == set(serving.RESERVED_DEFAULTS)


@pytest.mark.parametrize("flag", ["lora-modules.name", "no-api-key.x", "hf-token", "model.x.y"])
def test_a_part_of_a_reserved_flag_is_refused_like_the_whole(flag: str) -> None:
    with pytest.raises(SpecError, match=rf"spec\.engine\.args cannot contain {flag}, because"):
        parse(_object(engine={"args": {flag: "x"}}))


@pytest.mark.parametrize(
    "flag", ["a", "max-model-len", "compilation-config.level", "A", "-a", "a--b"]
)
def test_a_flag_is_named_as_serving_has_it(flag: str) -> None:
    def refuses(*, by_serving: bool) -> bool:
        try:
            if by_serving:
                serving.EngineConfig(args={flag: 1})
            else:
                parse(_object(engine={"args": {flag: 1}}))
        except ValueError:
            return True
        return False

    assert refuses(by_serving=True) == refuses(by_serving=False)


@pytest.mark.parametrize("flag", ["max-model-len", "--max-model-len", "max_model_len"])
def test_a_flag_in_any_usual_form_is_the_same_revision(flag: str) -> None:
    found = parse(_object(engine={"args": {flag: 4096}}))

    assert found.spec.engine.args == {"max-model-len": 4096}


def test_the_status_of_another_version_is_read() -> None:
    written = {"observedGeneration": 3, "weather": [{"name": "main"}], "conditions": []}

    assert parse({**_object(), "status": written}).status == Status(observed_generation=3)
