"""The examples of the pages are valid: objects and parts of objects, values of the chart, and fields that are named."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from llmdeployment_operator.api.arms import merge_patch
from llmdeployment_operator.api.crd import build_crd
from llmdeployment_operator.api.types import KIND, parse

REPOSITORY = Path(__file__).resolve().parents[3]
DOCS = REPOSITORY / "docs"
CHART = REPOSITORY / "charts" / "llmdeployment-operator"
PAGES = sorted(
    page
    for page in DOCS.rglob("*.md")
    if page.parent.name in {"start", "how-to", "operate"} or page.name.startswith("migrate-")
)
SPEC = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
BASE = {
    "apiVersion": "llmdeployment.dev/v1alpha1",
    "kind": KIND,
    "metadata": {"name": "chat", "namespace": "shop", "uid": "u"},
    "spec": {"model": {"source": "hf://a/b"}},
}
"""What a part of an object is laid over."""

Object = dict[str, Any]


def list_documents(page: Path) -> Iterator[Object]:
    text = page.read_text(encoding="utf-8")
    for indent, block in re.findall(r"^( *)```yaml\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        body = "\n".join(line.removeprefix(indent) for line in block.splitlines())
        yield from (found for found in yaml.safe_load_all(body) if isinstance(found, dict))


def list_objects(page: Path) -> Iterator[Object]:
    """Yield LLMDeployments, those whole that are shown in part."""
    for document in list_documents(page):
        if document.get("kind") == KIND:
            yield merge_patch({"metadata": BASE["metadata"]}, document)
        elif (
            document.keys() == {"spec"}
            and document["spec"].keys() <= SPEC["spec"]["properties"].keys()
        ):
            yield merge_patch(BASE, document)


def list_values(page: Path) -> Iterator[Object]:
    return (each for each in list_documents(page) if each.keys() and each.keys() <= VALUES.keys())


def list_patches(page: Path) -> Iterator[Object]:
    """Yield what a page's `kubectl patch llm` writes."""
    text = page.read_text(encoding="utf-8")
    for patch in re.findall(r"kubectl patch llm .*?-p '(\{.*\})'", text):
        yield json.loads(patch)


def has_field(path: str) -> bool:
    node = {"properties": SPEC}
    for name in re.sub(r"\[\]?", "", path).split("."):
        node = node.get("items", node)
        if name not in node.get("properties", {}):
            return bool(node.get("x-kubernetes-preserve-unknown-fields"))
        node = node["properties"][name]
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_examples_are_valid(page: Path) -> None:
    for document in list_objects(page):
        parse(document)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_values_are_those_of_the_chart(page: Path) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    for values in list_values(page):
        whole = merge_patch(VALUES, values)
        assert [error.message for error in Draft7Validator(schema).iter_errors(whole)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_fields_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if page.name.startswith("migrate-"):
        # The first column has the fields of the other project.
        text = "\n".join(line.split("|")[2] for line in text.splitlines() if line.startswith("|"))
    named = set(re.findall(r"`((?:spec|status)\.[a-zA-Z.\[\]]+)", text))

    assert sorted(path for path in named if not has_field(path)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_patches_make_valid_objects(page: Path) -> None:
    for patch in list_patches(page):
        parse(merge_patch(BASE, patch))


def test_the_tutorial_changes_its_sample_three_times() -> None:
    sample = (REPOSITORY / "manifests/samples/canary.yaml").read_text(encoding="utf-8")
    found = merge_patch({"metadata": BASE["metadata"]}, yaml.safe_load(sample))
    patches = list(list_patches(DOCS / "start/first-canary.md"))
    specs = [parse(found).spec]
    for patch in patches:
        found = merge_patch(found, patch)
        specs.append(parse(found).spec)

    assert len(patches) == 3
    assert [a.prompt != b.prompt for a, b in pairwise(specs)] == [True, False, False]
    assert [a.engine != b.engine for a, b in pairwise(specs)] == [False, True, True]


def test_tables_of_llmdeployments_have_the_columns_of_the_crd() -> None:
    columns = build_crd()["spec"]["versions"][0]["additionalPrinterColumns"]
    shown = ["NAME", *(each["name"].upper() for each in columns if not each["priority"])]
    pages = [REPOSITORY / "README.md", *DOCS.rglob("*.md")]
    heads = [
        (page.name, head.split())
        for page in pages
        for head in re.findall(
            r"^ *(NAME +READY .*)$", page.read_text(encoding="utf-8"), re.MULTILINE
        )
    ]

    assert {name for name, _ in heads} >= {"rollouts.md", "cli.md"}
    assert [head for head in heads if head[1] != shown] == []


def test_there_are_examples() -> None:
    assert sum(len(list(list_objects(page))) for page in PAGES) >= 10
    assert sum(len(list(list_values(page))) for page in PAGES) >= 3
    assert has_field("spec.rollout.steps[].weight")
    assert not has_field("spec.rollout.stages")
