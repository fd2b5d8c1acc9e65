"""The file of alert and recording rules, and the list of runbooks."""

from itertools import chain

import yaml

from dev.monitoring import state_alerts
from dev.monitoring.alert import Alert, Severity, build_rule
from dev.monitoring.reason_alerts import list_reason_alerts
from dev.monitoring.recording import list_records

HEAD = (
    "# Alert and recording rules for Prometheus. Made by `make dashboards` from the tables in dev/monitoring; do not edit.\n"
)  # fmt: skip
INDEX = """\
# Runbooks

Each alert has a page: what users feel, what to look at, and what to do.
The rules are in [`manifests/monitoring/rules.yaml`](../../manifests/monitoring/rules.yaml);
[Alerts](../how-to/prometheus.md#alerts-and-dashboards) says how to load them.
The table is made by `make dashboards`.

| severity | what it asks for |
|---|---|
| critical | act now: users are affected, or soon will be |
| warning | act within a day |
| info | decide something when you have time |

| alert | severity | after | what it says |
|---|---|---|---|
"""


def list_groups() -> dict[str, list[Alert]]:
    """Return the alerts, by the group that evaluates them."""
    return {
        "llmdeployment-reasons": list_reason_alerts(),
        "llmdeployment-operator": list(state_alerts.OPERATOR),
        "llmdeployment-gateways": list(state_alerts.GATEWAY),
        "llmdeployment-replicas": list(state_alerts.REPLICA),
    }


def list_alerts() -> list[Alert]:
    """Return every alert."""
    return list(chain.from_iterable(list_groups().values()))


def draw_rules() -> str:
    """Return the rule file. Recordings come first: alerts read them."""
    records = [{"record": each.name, "expr": each.expression} for each in list_records()]
    groups: list[dict[str, object]] = [{"name": "llmdeployment-recordings", "rules": records}]
    groups += [
        {"name": name, "rules": [build_rule(alert) for alert in alerts]}
        for name, alerts in list_groups().items()
    ]
    return HEAD + yaml.safe_dump({"groups": groups}, sort_keys=False, width=140)


def draw_index() -> str:
    """Return the page that lists the runbooks: the severest first, then by name."""
    order = list(Severity)
    alerts = sorted(list_alerts(), key=lambda each: (order.index(each.severity), each.page))
    return INDEX + "".join(
        f"| [`{each.name}`]({each.page}.md) | {each.severity.value} | {each.minutes} min | {_say(each)} |\n"
        for each in alerts
    )


def _say(alert: Alert) -> str:
    for label in ("namespace", "name", "service", "instance", "receiver"):
        said = {"namespace": "NAMESPACE", "name": "NAME"}.get(label, label.upper())
        alert_text = alert.summary.replace(f"{{{{ $labels.{label} }}}}", said)
        alert = Alert(**{**vars(alert), "summary": alert_text})
    return alert.summary
