"""A podTemplate that cannot be merged is refused with the place; one that is only unusual is not."""

from typing import Any

import pytest

from llmdeployment_operator.api.pod_template import PodTemplate
from llmdeployment_operator.api.types import SpecError, parse
from llmdeployment_operator.plan.resources.overlay import apply_overlay

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a word for a volume": (
        {"volumes": ["cache"]},
        "volumes[0] must be an object with name, not a string.",
    ),
    "a list for a volume": (
        {"volumes": [{"name": "a"}, ["b"]]},
        "volumes[1] must be an object with name, not a list.",
    ),
    "an object for the volumes": (
        {"volumes": {"name": "a"}},
        "volumes must be a list of objects, not an object.",
    ),
    "a number for the containers": (
        {"containers": 3},
        "containers must be a list of objects, not a number.",
    ),
    "an environment as in Docker": (
        {"containers": [{"name": "ray", "env": ["A=b"]}]},
        "containers[0].env[0] must be an object with name, not a string.",
    ),
    "an environment as in Compose": (
        {"containers": [{"name": "ray", "env": {"A": "b"}}]},
        "containers[0].env must be a list of objects, not an object.",
    ),
    "a list for a name": (
        {"containers": [{"name": ["ray"]}]},
        "containers[0].name must be a single value, not a list.",
    ),
    "null for a mount": (
        {"initContainers": [{"name": "a", "volumeMounts": [None]}]},
        "initContainers[0].volumeMounts[0] must be an object with mountPath, not null.",
    ),
}


@pytest.mark.parametrize(("spec", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_merged_is_refused_with_its_place(
    spec: dict[str, Any], sentence: str
) -> None:
    body = {
        "apiVersion": "llmdeployment.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": "chat", "namespace": "team", "uid": "1"},
        "spec": {"model": {"source": "hf://a/b"}, "podTemplate": {"spec": spec}},
    }
    with pytest.raises(SpecError) as refused:
        parse(body)
    assert str(refused.value) == f"spec.podTemplate.spec: {sentence} Correct it."


@pytest.mark.parametrize(
    "spec",
    [
        {"nodeSelector": {"env": "production", "ports": "many", "volumes": "a"}},
        {"volumes": None},
        {"volumes": [{"emptyDir": {}}]},
        {"containers": [{"name": "ray", "ports": [{"containerPort": 1}, {"containerPort": "b"}]}]},
        {"tolerations": ["Exists"]},
    ],
    ids=[
        "labels with such names",
        "null",
        "no name",
        "a port's name",
        "not merged by the operator",
    ],
)
def test_what_can_be_merged_is_left_to_the_api_server(spec: dict[str, Any]) -> None:
    given = PodTemplate(spec=spec).model_dump(mode="json")
    assert apply_overlay({"spec": {"volumes": [{"name": "tmp"}]}}, given)
