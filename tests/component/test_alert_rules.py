"""promtool runs every alert: it fires after its time and not before, and stays silent where nothing is wrong."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from dev import prometheus
from dev.cluster.stages import StageError
from dev.monitoring.alert import Alert, build_rule
from dev.monitoring.files import MANIFESTS
from dev.monitoring.rules import list_alerts
from tests.component.alert_cases import LONG, OWNER, Case, list_cases

pytestmark = pytest.mark.component

RULES = MANIFESTS / "monitoring" / "rules.yaml"
ALERTS = list_alerts()
WARM_UP = {"EngineRestarts": 90}
"""Minutes until what an alert looks back at is full, where 20 are not enough."""


@pytest.fixture(scope="module")
def promtool() -> Path:
    try:
        return prometheus.ensure() / "promtool"
    except StageError as error:
        pytest.skip(reason=f"Prometheus cannot be had here: {error.explain()}")


def run(promtool: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(promtool), *arguments], capture_output=True, text=True, timeout=100, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def write_alert(alert: Alert, labels: dict[str, str]) -> dict[str, Any]:
    """What Prometheus sends: the rule's labels and those of the series, and its texts with them filled in."""
    rule: dict[str, Any] = build_rule(alert)
    fill = {
        key: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: labels[match[1]], text)
        for key, text in rule["annotations"].items()
    }
    return {"exp_labels": {**rule["labels"], **labels}, "exp_annotations": fill}


def build_test(alert: Alert, case: Case) -> dict[str, Any]:
    """A case as promtool reads it."""
    late = alert.minutes + WARM_UP.get(alert.page, 20)
    fired = [write_alert(alert, case.labels)] if case.labels is not None else []
    looks = [
        # What lasts less than `for` is silent.
        {"eval_time": f"{alert.minutes - 1}m", "alertname": alert.name, "exp_alerts": []},
        {"eval_time": f"{late}m", "alertname": alert.name, "exp_alerts": fired},
    ]
    # Series that are no longer than needed: promtool reads them all.
    values = [(name, text.replace(f"x{LONG}", f"x{late + 1}")) for name, text in case.series]
    return {
        "interval": "1m",
        "name": f"{alert.page}: {case.says}",
        "input_series": [{"series": name, "values": text} for name, text in values],
        "alert_rule_test": looks,
    }


def write_tests(folder: Path, alert: Alert, rules: str) -> Path:
    """Write the file with an alert's cases, beside one with its rule and the recordings that it reads: all rules take a minute."""

    def is_needed(rule: dict[str, str]) -> bool:
        return rule.get("alert") == alert.name or rule.get("record", "-") in alert.expression

    kept = [
        {**group, "rules": [rule for rule in group["rules"] if is_needed(rule)]}
        for group in yaml.safe_load(rules)["groups"]
    ]
    (folder / f"{alert.page}.rules.yaml").write_text(yaml.safe_dump({"groups": kept}), "utf-8")
    path = folder / f"{alert.page}.yaml"
    document = {
        "rule_files": [f"{alert.page}.rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [build_test(alert, case) for case in list_cases(alert)],
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    for alert in ALERTS:
        cases = list_cases(alert)
        assert {case.labels is None for case in cases} == {True, False}, alert.page
        names = [case.says for case in cases]
        assert len(names) == len(set(names)), alert.page
        assert alert.minutes + 20 < LONG


def test_promtool_accepts_the_rules(promtool: Path) -> None:
    assert run(promtool, "check", "rules", "--lint-fatal", str(RULES)) == ""


def test_alerts_fire_and_are_silent(promtool: Path, tmp_path: Path) -> None:
    rules = RULES.read_text(encoding="utf-8")
    paths = [write_tests(tmp_path, alert, rules) for alert in ALERTS]

    assert run(promtool, "test", "rules", *map(str, paths)) == ""


def count(name: str, labels: str, step: float) -> dict[str, str]:
    """A counter that grows by so much in a minute for two hours."""
    return {"series": f"{name}{{{OWNER}, {labels}}}", "values": f"0+{step}x120"}


REQUESTS, CHUNKS = (
    "llmdeployment_gateway_requests_total",
    "llmdeployment_time_to_first_chunk_seconds",
)
COST = "llmdeployment_cost_per_million_output_tokens:ratio_rate1h"
RECORDED = {
    # 5 of 190 requests, and 5 of 100 of revision 1.
    "namespace_name:llmdeployment_gateway_errors:ratio_rate5m": 0.026,
    'namespace_name_arm_revision:llmdeployment_gateway_errors:ratio_rate5m{revision="1"}': 0.05,
    # No request of revision 2 failed, and it has a ratio.
    'namespace_name_arm_revision:llmdeployment_gateway_errors:ratio_rate5m{revision="2"}': 0,
    # 190 requests in 60 seconds.
    "namespace_name:llmdeployment_gateway_requests:rate5m * 60": 190,
    # 80 of 100 within 1 s and 20 within 2 s: the 90th stands in the middle of them.
    f"namespace_name_revision:{CHUNKS}:p90_rate5m": 1.5,
    f"namespace_name_revision:{CHUNKS}:p50_rate5m": 0.625,
    # 3 EUR for 1,000 tokens of revision 1, and one more of idle replicas.
    f"namespace_name_revision_currency:{COST}": 3000,
    f"namespace_name_currency:{COST}": 4000,
}
"""What the recording rules say of the series below, rounded to thousandths."""


def test_the_recording_rules_compute_what_they_are_called(promtool: Path, tmp_path: Path) -> None:
    where = 'arm="main", revision='
    series = [
        count(REQUESTS, f'{where}"1", code="200"', 95),
        count(REQUESTS, f'{where}"1", code="503"', 5),
        count(REQUESTS, f'{where}"2", code="200"', 90),
        count(f"{CHUNKS}_bucket", 'revision="1", le="1.0"', 80),
        count(f"{CHUNKS}_bucket", 'revision="1", le="2.0"', 100),
        count(f"{CHUNKS}_bucket", 'revision="1", le="+Inf"', 100),
        count("llmdeployment_cost_total", 'currency="EUR", revision="1"', 3),
        count("llmdeployment_cost_total", 'currency="EUR", revision="idle"', 1),
        count("llmdeployment_output_tokens_sum", 'revision="1"', 1000),
    ]
    looks = [
        {
            "expr": f"sum(round({text}, 0.001))",
            "eval_time": "100m",
            "exp_samples": [{"labels": "{}", "value": value}],
        }
        for text, value in RECORDED.items()
    ]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": looks}
    path = tmp_path / "recordings.yaml"
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")

    assert run(promtool, "test", "rules", str(path)) == ""


def test_an_alert_that_never_fires_is_found(promtool: Path, tmp_path: Path) -> None:
    (alert,) = [each for each in ALERTS if each.page == "CrashLoop"]
    rules = RULES.read_text(encoding="utf-8").replace('reason="CrashLoop"', 'reason="Crash"')

    assert "CrashLoop" in run(promtool, "test", "rules", str(write_tests(tmp_path, alert, rules)))
