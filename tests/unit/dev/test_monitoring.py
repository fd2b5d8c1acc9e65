"""Alert rules, dashboards and runbooks agree with the code: with its reasons, its metrics, and with each other."""

import doctest
import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from dev import metrics_reference
from dev.monitoring import files, panels, promql
from dev.monitoring.alert import PREFIX, Alert, Severity
from dev.monitoring.boards import BOARDS
from dev.monitoring.grafana import list_variable_queries
from dev.monitoring.promql import OF_TARGETS, find_unknown, list_uses
from dev.monitoring.reason_alerts import NEEDS_NOBODY, ROWS, TROUBLE
from dev.monitoring.recording import list_records
from dev.monitoring.rules import list_alerts
from dev.monitoring.state_alerts import STARTS

from llmdeployment_operator.plan.base.conditions import build_accepted, build_refused
from llmdeployment_operator.plan.base.reasons import HEALS_BY_WAITING, Finding, Reason

ALERTS = list_alerts()
SECTIONS = ("## What users feel", "## What to look at", "## What to do")
OF_PROCESSES = ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds")
PAGES = sorted(page for page in files.RUNBOOKS.glob("*.md") if page.stem != "README")


def list_known() -> dict[str, frozenset[str]]:
    """The labels of every series: of metrics, their parts, and what the recording rules make."""
    rows = [
        *metrics_reference.list_operator_rows(),
        *metrics_reference.list_gateway_rows(),
        *metrics_reference.list_replica_rows(),
    ]
    ends = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
    known = {
        f"{row.name}{end}": frozenset(row.labels)
        for row in rows
        for end in ends.get(row.kind, ("",))
    }
    known |= {name: frozenset() for name in OF_PROCESSES}
    # The labels stand at the start of a recording's name.
    return known | {
        each.name: frozenset(each.name.partition(":")[0].split("_")) for each in list_records()
    }


KNOWN = list_known()


def list_queries() -> Iterator[tuple[str, str]]:
    """Every query of dashboards, alerts and recordings, with the name of what asks it."""
    for board in BOARDS:
        for row in board.rows:
            for panel in row.panels:
                yield from ((f"{board.uid}: {panel.title}", q.expression) for q in panel.queries)
        yield from ((f"{board.uid}: {mark.name}", mark.expression) for mark in board.marks)
        for name, query in list_variable_queries(board):
            yield f"{board.uid}: ${name}", query
    yield from ((alert.name, alert.expression) for alert in ALERTS)
    yield from ((each.name, each.expression) for each in list_records())


QUERIES = list(list_queries())


@pytest.mark.parametrize("path", files.draw_files(), ids=lambda path: "/".join(path.parts[-3:]))
def test_a_file_is_the_one_of_the_tables(path: Path) -> None:
    text = files.draw_files()[path]
    if os.environ.get("LLMD_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run `make dashboards`"


def test_no_dashboard_is_left_of_another_day() -> None:
    assert files.find_stale() == [], "run `make dashboards`"


def test_every_reason_has_an_alert_or_needs_nobody() -> None:
    assert not ROWS.keys() & NEEDS_NOBODY.keys()
    waits = HEALS_BY_WAITING - ROWS.keys()
    assert ROWS.keys() | NEEDS_NOBODY.keys() | waits == set(Reason)
    assert not waits & NEEDS_NOBODY.keys()
    # A missing node heals by waiting for 15 minutes, and a pause for as long as nobody promotes.
    assert HEALS_BY_WAITING & ROWS.keys() == {Reason.WAITING_FOR_GPU, Reason.CANARY_PAUSED}


NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def list_conditions(reason: Reason, minutes: int) -> set[tuple[str, str]]:
    """The conditions that are not as they should be, with their reason, of what has lasted for so many minutes."""
    finding = Finding(reason, "", NOW - timedelta(minutes=minutes))
    refused = reason in {Reason.INVALID_SPEC, Reason.NOT_OWNED, Reason.API_ERROR}
    found = build_refused(finding) if refused else build_accepted(False, finding, "", NOW)
    wrong = {"Degraded": True, "Accepted": False, "Ready": False}
    return {
        (each.type, each.reason.value)
        for each in found
        if each.type in wrong and each.status is wrong[each.type]
    }


@pytest.mark.parametrize("reason", [r for r, row in ROWS.items() if row.condition == TROUBLE])
def test_the_operator_gives_the_reason_to_the_condition_of_the_alert(reason: Reason) -> None:
    kinds = {kind for kind, said in list_conditions(reason, 20) if said == reason}
    assert kinds & {"Degraded", "Accepted"}


def test_an_alert_is_silent_about_what_heals_by_waiting() -> None:
    for reason in HEALS_BY_WAITING:
        kinds = {kind for kind, _ in list_conditions(reason, 1)}
        assert kinds == {"Ready"}, reason
    assert ("Ready", "CanaryPaused") in list_conditions(Reason.CANARY_PAUSED, 1)
    assert ("Ready", "LoadingModel") in list_conditions(Reason.LOADING_MODEL, 1)


def test_the_conditions_that_queries_name_are_the_operators() -> None:
    source = files.REPOSITORY / "operator" / "src" / "llmdeployment_operator" / "plan"
    text = "\n".join(path.read_text(encoding="utf-8") for path in source.rglob("*.py"))
    known = set(re.findall(r'\bCondition\(\s*"(\w+)"|^CONDITION = "(\w+)"', text, re.MULTILINE))
    asked = {
        kind
        for _, query in QUERIES
        for found in re.findall(r'condition=~?"([^"]+)"', query)
        for kind in found.split("|")
    }
    assert asked <= {name for pair in known for name in pair}
    assert {"BudgetExceeded", "Scaling", "Drifting", "Experimenting", "Available"} <= asked


def test_a_start_of_every_kind_may_take_too_long() -> None:
    assert STARTS == [
        "FetchingModel",
        "LoadingModel",
        "StartingGateway",
        "StartingPods",
        "StartingRay",
    ]


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert [page.stem for page in PAGES] == sorted(alert.page for alert in ALERTS)
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_says_three_things_in_order_and_is_short(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    (alert,) = [alert for alert in ALERTS if alert.page == page.stem]

    assert text.startswith(f"# {page.stem}\n")
    assert f"\n`{PREFIX}{page.stem}`: {alert.severity.value}, after {alert.minutes} min.\n" in text
    assert tuple(re.findall(r"^## .*$", text, re.MULTILINE)) == SECTIONS
    for _, lines in zip(SECTIONS, re.split(r"^## .*$", text, flags=re.MULTILINE)[1:], strict=True):
        assert lines.strip()
    assert 10 <= len(text.splitlines()) <= 25


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_says_whom_it_is_about(alert: Alert) -> None:
    grouped = set().union(*(use.labels for use in list_uses(alert.expression)))
    # A recording's labels are in its name.
    for use in list_uses(alert.expression):
        grouped |= set(use.metric.partition(":")[0].split("_")) if ":" in use.metric else set()
    used = set(re.findall(r"\$labels\.(\w+)", alert.summary + alert.look))

    assert used <= grouped
    assert alert.summary.endswith(".")
    assert alert.minutes > 0
    assert alert.page == "OperatorAbsent" or "namespace" in used


def test_an_information_is_no_page_and_users_are() -> None:
    severities = {alert.page: alert.severity for alert in ALERTS}
    assert severities["Unavailable"] is severities["GatewayErrors"] is Severity.CRITICAL
    assert severities["CanaryPaused"] is severities["NearBudget"] is Severity.INFO
    assert severities["WaitingForGPU"] is Severity.WARNING


def test_every_query_names_what_is_exported() -> None:
    problems = [(asker, each) for asker, query in QUERIES for each in find_unknown(query, KNOWN)]
    assert problems == []
    assert [asker for asker, query in QUERIES if not list_uses(query)] == []


def test_every_panel_shows_what_its_legend_names() -> None:
    wrong = []
    for board in BOARDS:
        for panel in (panel for row in board.rows for panel in row.panels):
            for query in panel.queries:
                names = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
                # `by (...)` drops every other label.
                kept = [set(found.replace(" ", "").split(",")) for found in re.findall(r"\bby \(([^)]*)\)", query.expression)]  # fmt: skip
                if kept and not any(names <= each for each in kept):
                    wrong.append((panel.title, query.legend))
    assert wrong == []


@pytest.mark.parametrize(
    ("query", "problems"),
    [
        ('llmdeployment_gone{arm="a"}', ["nobody exports llmdeployment_gone"]),
        ("rate(llmdeployment_y_total[5m])", []),
        ('llmdeployment_y_total{namespace="a", arm=~"b"}', ["llmdeployment_y_total has no label arm"]),
        ("sum by (revision) (llmdeployment_y_total)", []),
        ("sum by (revision, arm) (rate(llmdeployment_y_total[5m]))", ["llmdeployment_y_total has no label arm"]),
        ("sum by (arm) (llmdeployment_z) / sum(llmdeployment_y_total)", []),
        ("sum by (arm) (llmdeployment_z + (llmdeployment_y_total))", ["llmdeployment_y_total has no label arm"]),
        ("name:llmdeployment_w:p90 > 1", ["nobody exports name:llmdeployment_w:p90"]),
        ('llmdeployment_z{arm="llmdeployment_gone"}', []),
        ('llmdeployment_z{arm=")"} or sum by (arm) (llmdeployment_z{arm=")"})', []),
    ],
)  # fmt: skip
def test_a_metric_or_a_label_that_is_gone_is_found(query: str, problems: list[str]) -> None:
    known = {
        "llmdeployment_y_total": frozenset({"revision"}),
        "llmdeployment_z": frozenset({"arm"}),
    }
    assert find_unknown(query, known) == problems


@pytest.mark.parametrize("module", [panels, promql], ids=lambda module: module.__name__)
def test_examples(module: ModuleType) -> None:
    failed, tried = doctest.testmod(module)
    assert tried
    assert failed == 0


def test_a_renamed_metric_breaks_queries() -> None:
    fewer = {name: labels for name, labels in KNOWN.items() if name != "llmdeployment_condition"}
    assert any(find_unknown(query, fewer) for _, query in QUERIES)


def test_recordings_carry_the_labels_of_their_names() -> None:
    for each in list_records():
        labels = each.name.partition(":")[0].split("_")
        assert f"({', '.join(labels)}" in each.expression, each.name
    assert {"namespace", "name"} <= OF_TARGETS


SPANS_OF = ("llmdeployment", "llmdeployment_gateway", "llmdeployment_operator")


def test_every_metric_that_a_dashboard_can_show_is_on_one() -> None:
    asked = {use.metric for _, query in QUERIES for use in list_uses(query)}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    rows = [*metrics_reference.list_operator_rows(), *metrics_reference.list_gateway_rows()]
    rows += metrics_reference.list_replica_rows()
    missing = {row.name for row in rows if row.name not in shown}
    # Numbers of one replica's self-test and of the request log, which their runbooks name, and of spans, which few have and
    # docs/how-to/traces.md names.
    spans = {f"{of}_spans_{end}_total" for of in SPANS_OF for end in ("exported", "dropped")}
    assert missing == {
        "llmdeployment_request_log_dropped_total",
        "llmdeployment_request_log_lines_total",
        "llmdeployment_self_test_score_nats",
        "llmdeployment_self_test_reference_nats",
        *spans,
    }


def list_panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_a_dashboard_is_one_that_grafana_can_load(board: Any) -> None:
    path = files.MANIFESTS / "dashboards" / f"{board.uid}.json"
    drawn = json.loads(path.read_text(encoding="utf-8"))

    assert drawn["uid"] == board.uid
    assert len(board.uid) <= 40
    variables = {each["name"] for each in drawn["templating"]["list"]}
    text = path.read_text(encoding="utf-8")
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval"}
    assert used <= variables
    for panel in list_panels(drawn):
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        letters = [target["refId"] for target in panel["targets"]]
        assert len(letters) == len(set(letters)) > 0
    titles = [panel["title"] for panel in list_panels(drawn)]
    assert len(titles) == len(set(titles))


def test_the_rule_file_is_yaml_that_names_its_runbooks() -> None:
    rules = yaml.safe_load((files.MANIFESTS / "monitoring" / "rules.yaml").read_text("utf-8"))
    alerts = [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    assert len(alerts) == len(ALERTS)
    for rule in alerts:
        assert (files.REPOSITORY / rule["annotations"]["runbook_url"]).is_file()
        assert rule["labels"]["severity"] in tuple(Severity)
