"""spec.monitoring.requestLog: what is taken, and what is refused with which sentence."""

from typing import Any

import pytest
from tests.support.world import sample

from llmdeployment_operator.api.request_log import (
    CLAIM_MISSING,
    CLAIM_UNUSED,
    NAME_TWICE,
    NOT_RE2,
    RequestLogSpec,
)
from llmdeployment_operator.api.types import SpecError, parse
from llmdeployment_operator.plan.base.revisions import extract_template

CLAIM = {"claimName": "logs"}


def build(log: Any) -> dict[str, Any]:
    raw = sample("simulated")
    raw["spec"]["monitoring"] = {"requestLog": log}
    return raw


def read(log: Any) -> RequestLogSpec:
    found = parse(build(log)).spec.monitoring.request_log
    assert found is not None
    return found


def test_nothing_is_logged_that_nobody_asked_for() -> None:
    assert parse(sample("simulated")).spec.monitoring.request_log is None


def test_a_log_is_a_policy_and_makes_no_revision() -> None:
    logged = parse(build({"sink": "PVC", "pvc": CLAIM}))
    assert extract_template(logged) == extract_template(parse(sample("simulated")))


def test_defaults() -> None:
    found = read({})
    assert (found.level, found.sample_percent, found.redact, found.sink, found.pvc) == (
        "Metadata",
        100,
        (),
        "Stdout",
        None,
    )
    claim = read({"sink": "PVC", "pvc": CLAIM}).pvc
    assert claim is not None
    assert (claim.sub_path, claim.retention_days, claim.max_size_gib) == (None, 30, 10)
    claim = read({"sink": "PVC", "pvc": {**CLAIM, "subPath": "a-b/c_d/e.f", "maxSizeGiB": 2}}).pvc
    assert claim is not None
    assert (claim.sub_path, claim.max_size_gib) == ("a-b/c_d/e.f", 2)


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        ({"level": "All"}, "Input should be 'Metadata' or 'Content'"),
        ({"sink": "stdout"}, "Input should be 'Stdout', 'OTLP' or 'PVC'"),
        ({"samplePercent": 0}, "greater than or equal to 1"),
        ({"samplePercent": 101}, "less than or equal to 100"),
        ({"sink": "PVC"}, CLAIM_MISSING),
        ({"pvc": CLAIM}, CLAIM_UNUSED),
        ({"sink": "OTLP", "pvc": CLAIM}, CLAIM_UNUSED),
        ({"redact": [{"name": "a", "pattern": "(x"}]}, NOT_RE2),
        ({"redact": [{"name": "a", "pattern": "a(?=b)"}]}, NOT_RE2),
        ({"redact": [{"name": "a", "pattern": "x"}] * 2}, NAME_TWICE),
        ({"redact": [{"name": f"a{n}", "pattern": "x"} for n in range(17)]}, "at most 16 items"),
        ({"sink": "PVC", "pvc": {**CLAIM, "subPath": "../x"}}, "must be a relative path"),
        ({"sink": "PVC", "pvc": {**CLAIM, "subPath": "a/../b"}}, "must be a relative path"),
        ({"sink": "PVC", "pvc": {**CLAIM, "subPath": "/a"}}, "must be a relative path"),
        ({"sink": "PVC", "pvc": {**CLAIM, "retentionDays": 0}}, "greater than or equal to 1"),
        ({"sink": "PVC", "pvc": {**CLAIM, "maxSizeGiB": 0}}, "greater than or equal to 1"),
        ({"more": 1}, "Extra inputs are not permitted"),
    ],
)
def test_bad_logs_are_refused(log: Any, sentence: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(build(log))
    assert sentence in str(caught.value)
