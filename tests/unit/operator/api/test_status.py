"""A status that another version wrote, or somebody by hand, never stops the operator."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.world import admitted, sample

from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.status_document import read_status
from llmdeployment_operator.api.types import parse

CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Serving",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
REVISION = {"name": "chat-r1", "number": 1, "hash": "a", "runtime": "b"}
WHOLE: dict[str, Any] = {
    "observedGeneration": 3,
    "conditions": [CONDITION],
    "revisions": [REVISION],
    "arms": [{"name": "main", "stable": 1, "step": 2, "analysis": {"result": "Pass", "metrics": [{"name": "ttft>500ms"}]}}],
    "scaling": {"replicas": 2, "runtimes": [{"runtime": "b", "desired": 2}]},
    "replicas": 2,
}  # fmt: skip  # because a status reads best as the API shows it


def probe(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(WHOLE), **changes}


@pytest.mark.parametrize(
    ("status", "left"),
    [
        (WHOLE, {"arms": 1, "revisions": 1, "conditions": 1}),
        (probe(arms=[{"name": "main", "step": "x"}]), {"arms": 1}),
        (probe(arms=[{"step": 1}, {"name": "b"}]), {"arms": 1}),
        (probe(arms="none"), {"arms": 0}),
        (probe(revisions=[{"name": "chat-r1", "number": 1}, REVISION]), {"revisions": 1}),
        (probe(revisions={"number": 1}), {"revisions": 0}),
        (probe(conditions=[{**CONDITION, "status": "Perhaps"}]), {"conditions": 0}),
        (probe(conditions=[None, CONDITION, 7]), {"conditions": 1}),
        (probe(replicas="many", observedGeneration=[]), {"arms": 1}),
        (probe(scaling=[]), {"arms": 1}),
        (probe(arms=[{"name": f"a{n}"} for n in range(40)]), {"arms": 16}),
        ([], {"arms": 0}),
        ("lost", {"arms": 0}),
        (None, {"arms": 0}),
    ],
)  # fmt: skip  # because a probe a line reads best
def test_what_can_be_read_of_a_status_is_read(status: Any, left: dict[str, int]) -> None:
    raw = {**admitted(sample("simulated")), "status": status}
    found = parse(raw).status
    assert {field: len(getattr(found, field)) for field in left} == left


def test_a_field_that_cannot_be_read_costs_no_other() -> None:
    row = {"name": "main", "stable": 4, "step": "x", "canary": {"not": "a number"}, "weight": 60}
    (arm,) = read_status({"arms": [row]}).arms
    assert (arm.stable, arm.weight, arm.step, arm.canary) == (4, 60, None, None)


def test_a_whole_status_is_read_as_it_was_written() -> None:
    assert read_status(WHOLE) == Status.model_validate(WHOLE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=12,
)
FIELDS = [field.alias or name for name, field in Status.model_fields.items()]
KEYS = ["name", "number", "hash", "type", "status", "step", "warm", "rejected", "analysis"]
ROWS = st.lists(st.dictionaries(st.sampled_from(KEYS), JSON), max_size=3)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON | ROWS))
def test_whatever_stands_in_the_status_the_spec_is_accepted(status: dict[str, Any]) -> None:
    raw = {**admitted(sample("simulated")), "status": status}
    assert parse(raw).spec == parse(admitted(sample("simulated"))).spec
    json.loads(read_status(status).model_dump_json())
