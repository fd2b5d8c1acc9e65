"""Patterns and the metrics of what answers are like: what is taken, what is refused and with which sentence."""

from typing import Any

import pytest

from llmdeployment_operator.api import monitoring
from llmdeployment_operator.api.drift import PATTERN_MISSING, TWICE
from llmdeployment_operator.api.rollout import SHARES, MetricSpec
from llmdeployment_operator.api.types import SpecError, parse
from llmdeployment_operator.plan.base.revisions import extract_template

Object = dict[str, Any]
BRAND = {"name": "brand", "pattern": "(?i)acme"}


def build(*patterns: Object, metrics: tuple[str, ...] = (), **spec: Any) -> Object:
    rollout: Object = {"strategy": "Canary", "steps": [{"weight": 5}]}
    rollout["analysis"] = {"metrics": [{"name": name} for name in metrics]}
    return {
        "metadata": {"name": "chat", "namespace": "team", "uid": "1"},
        "spec": {
            "model": {"source": "hf://a/b"},
            "monitoring": {"outputPatterns": list(patterns)},
            **({"rollout": rollout} if metrics else {}),
            **spec,
        },
    }


def refuse(document: Object) -> str:
    with pytest.raises(SpecError) as caught:
        parse(document)
    return str(caught.value)


def test_patterns_are_a_policy() -> None:
    watched = parse(build(BRAND, metrics=("pattern/brand", *SHARES)))
    assert watched.spec.monitoring.output_patterns[0].pattern == "(?i)acme"
    assert extract_template(watched) == extract_template(parse(build()))


@pytest.mark.parametrize(
    "pattern", ["(x", "a(?=b)", r"(a)\1", "((a{100}){100}){100}", "*", "[b-a]"]
)
def test_what_re2_refuses_is_refused_with_the_field_and_what_to_do(pattern: str) -> None:
    said = refuse(build({"name": "a", "pattern": pattern}))
    assert said == monitoring.NOT_RE2


@pytest.mark.parametrize(
    ("patterns", "sentence"),
    [
        ([{"name": "a", "pattern": ""}], "should have at least 1 character"),
        ([{"name": "a", "pattern": "x" * 513}], "should have at most 512 characters"),
        ([{"name": "a" * 33, "pattern": "x"}], "should have at most 32 characters"),
        ([{"name": "A", "pattern": "x"}], "must start with a letter and contain only lower-case"),
        ([{"name": "empty", "pattern": "x"}], monitoring.NAMES_A_SHARE),
        ([BRAND, BRAND], "spec.monitoring.outputPatterns contains a name twice."),
        ([{"name": f"a{n}", "pattern": "x"} for n in range(17)], "should have at most 16 items"),
    ],
)
def test_a_bad_pattern_is_refused(patterns: list[Object], sentence: str) -> None:
    assert sentence in refuse(build(*patterns))


def test_a_metric_needs_its_pattern() -> None:
    assert refuse(build(metrics=("pattern/brand",))) == monitoring.PATTERN_MISSING
    assert refuse(build(BRAND, metrics=("pattern/bran",))) == monitoring.PATTERN_MISSING
    assert "must be one of errorRate, ttft," in refuse(build(BRAND, metrics=("brand",)))
    assert "must be one of errorRate, ttft," in refuse(build(BRAND, metrics=("pattern/",)))


def test_an_external_engine_takes_patterns_too() -> None:
    elsewhere = {
        "model": {"source": "external://gpt"},
        "engine": {"name": "external", "external": {"baseURL": "https://api.example.com/v1"}},
    }
    metrics = ("refusal", "pattern/brand")
    assert parse(build(BRAND, metrics=metrics, **elsewhere)).spec.rollout.analysis is not None
    arms = [{"name": "own", "weight": 50}, {"name": "theirs", "weight": 50, "overrides": elsewhere}]
    assert len(parse(build(BRAND, arms=arms)).spec.arms) == 2


@pytest.mark.parametrize(
    ("name", "given", "tolerance"),
    [
        ("errorRate", None, 0.01),
        ("outputTokens", None, 0.1),
        ("ttft", None, 0.05),
        ("refusal", None, 0.05),
        ("pattern/brand", None, 0.05),
        ("refusal", 3, 0.03),
    ],
)
def test_a_metric_has_a_tolerance(name: str, given: int | None, tolerance: float) -> None:
    metric = MetricSpec(
        name=name,
        milliseconds=5 if name == "ttft" else None,
        tokens=5 if name == "outputTokens" else None,
        tolerance_percent=given,
    )
    assert metric.tolerance == tolerance


def drifting(drift: Object, *patterns: Object, **spec: Any) -> Object:
    return build(monitoring={"outputPatterns": list(patterns), "drift": drift}, **spec)


@pytest.mark.parametrize(
    ("drift", "sentence"),
    [
        ({"firstWindow": "0h"}, "must be a number of hours from 1h to 168h"),
        ({"firstWindow": "169h"}, "must be a number of hours from 1h to 168h"),
        ({"firstWindow": "1d"}, "must be a number of hours from 1h to 168h"),
        ({"minRequests": 99}, "greater than or equal to 100"),
        ({"tolerancePercent": 0}, "greater than or equal to 1"),
        ({"tolerancePercent": 51}, "less than or equal to 50"),
        ({"metrics": ["errorRate"]}, "must be one of promptLength, outputTokens, refusal,"),
        ({"metrics": ["refusal", "refusal"]}, TWICE),
        ({"metrics": ["pattern/brands"]}, PATTERN_MISSING),
        ({"window": "24h"}, "Extra inputs are not permitted"),
    ],
)
def test_a_bad_drift_is_refused(drift: Object, sentence: str) -> None:
    assert sentence in refuse(drifting(drift, BRAND))


def test_drift_is_a_policy_that_replicas_never_hear_of() -> None:
    watched = parse(drifting({"metrics": ["pattern/brand"], "firstWindow": "168h"}, BRAND))
    assert watched.spec.monitoring.drift is not None
    assert watched.spec.monitoring.drift.window_seconds == 7 * 86400
    assert extract_template(watched) == extract_template(parse(build()))
    plain = parse(drifting({})).spec.monitoring.drift
    assert plain is not None
    assert (plain.window_seconds, plain.min_requests, plain.tolerance_percent) == (86400, 500, 3)


def test_answers_of_an_api_elsewhere_can_drift() -> None:
    elsewhere = {
        "model": {"source": "external://gpt"},
        "engine": {"name": "external", "external": {"baseURL": "https://api.example.com/v1"}},
    }
    assert parse(drifting({}, **elsewhere)).spec.monitoring.drift is not None
    assert refuse(drifting({"metrics": ["pattern/brand"]}, **elsewhere)) == PATTERN_MISSING
