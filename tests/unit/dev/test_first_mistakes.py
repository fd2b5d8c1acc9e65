"""The page of first mistakes says what the product says: each input is refused, and each sentence is one of the code's own."""

import ast
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.component.refusals import (
    arms,
    engine,
    experiment,
    gateway,
    model,
    pods,
    rollout,
    scaling,
)

from llmdeployment_operator.api.arms import merge_patch
from llmdeployment_operator.api.crd import build_crd
from llmdeployment_operator.api.types import KIND, SpecError, parse
from llmdeployment_operator.plan.base.pods import Capacity, check_pod
from llmdeployment_operator.plan.base.reasons import Finding, Reason

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = (REPOSITORY / "docs/operate/troubleshooting.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## First mistakes")[2].partition("\n## ")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in SECTION.splitlines()
    if line.startswith("| ") and not line.startswith(("| you write", "| what is wrong"))
]
AT_APPLY = [(row[0].strip("`"), row[1].strip("`")) for row in ROWS if len(row) == 3]
IN_READY = [(row[1].strip("`"), row[2].strip("`")) for row in ROWS if len(row) == 4]
SCHEMA = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
REFUSED = [
    sentence
    for each in (arms, engine, experiment, gateway, model, pods, rollout, scaling)
    for _, sentence in each.REFUSED.values()
]
"""What a real API server was seen to say, by tests/component/test_crd_refusals.py."""
BASE = {
    "apiVersion": "llmdeployment.dev/v1alpha1",
    "kind": KIND,
    "metadata": {"name": "chat", "namespace": "shop", "uid": "u"},
    "spec": {"model": {"source": "hf://a/b"}},
}


def find_node(path: str) -> dict[str, Any]:
    """Return the schema of a field."""
    node: dict[str, Any] = {"properties": SCHEMA}
    for name in re.sub(r"\[\d+\]", "", path).split("."):
        node = node.get("items", node)["properties"][name]
    return node


def list_literals() -> Iterator[str]:
    """Yield every literal of the operator and of serving, and of format strings their parts."""
    for package in ("operator/src", "serving/src"):
        for path in (REPOSITORY / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def is_refused_at_apply(sentence: str) -> bool:
    """Say whether the API server says it: by a rule of the CRD, by its schema, or as it was seen to."""
    if match := re.fullmatch(r"(\S+) in body must be of type (\w+)", sentence):
        return bool(find_node(match[1])["type"] == match[2])
    if match := re.fullmatch(r"(\S+)\.(\w+): Required value", sentence):
        return match[2] in find_node(match[1])["required"]
    if match := re.fullmatch(r'unknown field "(\S+)\.(\w+)"', sentence):
        return match[2] not in find_node(match[1])["properties"]
    if match := re.fullmatch(r'supported values: "(.+)"', sentence):
        return match[1].split('", "') == find_node("spec.rollout.strategy")["enum"]
    return any(sentence in each for each in (str(SCHEMA).replace("\\'", "'"), *REFUSED))


def build_pod(message: str, **resources: dict[str, str]) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "message": message}
    return {
        "metadata": {"name": "chat-1"},
        "spec": {"containers": [{"name": "ray", "resources": resources}]},
        "status": {"conditions": [condition]},
    }


def list_findings() -> Iterator[Finding | None]:
    """Yield what is said of pods without a place, with figures."""
    gpu = build_pod("Insufficient nvidia.com/gpu", limits={"nvidia.com/gpu": "1"})
    for total in (0, 4):
        yield check_pod(gpu, {"nvidia.com/gpu": Capacity(total, total, partial=False)})
    cpu = build_pod("Insufficient cpu.", requests={"cpu": "4"})
    yield check_pod(cpu, {"cpu": Capacity(0, 0, partial=False, largest=Decimal("0.75"))})


@pytest.mark.parametrize(("written", "sentence"), AT_APPLY, ids=[row[0] for row in AT_APPLY])
def test_a_mistake_is_refused_at_apply(written: str, sentence: str) -> None:
    assert is_refused_at_apply(sentence)
    if "requests must not exceed" in sentence:
        return  # because the API server alone compares amounts
    with pytest.raises(SpecError) as refused:
        parse(merge_patch(BASE, {"spec": yaml.safe_load(written)}))
    if not re.search(r"in body|Required value|unknown field|supported values", sentence):
        assert sentence in str(refused.value)


@pytest.mark.parametrize(("reason", "sentence"), IN_READY, ids=[row[1] for row in IN_READY])
def test_a_condition_message_has_the_sentence(reason: str, sentence: str) -> None:
    found = [finding for finding in list_findings() if finding and sentence in finding.message]

    assert reason in set(Reason)
    assert all(finding.reason == reason for finding in found)
    if not found and "max-model-len" not in sentence:
        assert any(sentence in literal for literal in list_literals())


def test_a_flag_in_two_forms_is_refused_as_the_page_says() -> None:
    args = {"max-model-len": 1, "max_model_len": 2}
    sentence = next(text for _, text in IN_READY if "max-model-len" in text)

    with pytest.raises(SpecError, match=re.escape(sentence)):
        parse(merge_patch(BASE, {"spec": {"engine": {"args": args}}}))


def test_there_are_thirty_mistakes() -> None:
    assert len(AT_APPLY) + len(IN_READY) >= 30
    assert not is_refused_at_apply("spec.model.source is odd.")
