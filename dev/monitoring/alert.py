"""What an alert is, and how its words are filled."""

from dataclasses import dataclass
from enum import StrEnum

RUNBOOKS = "docs/runbooks"
PREFIX = "LLMDeployment"
"""The name of an alert is this and the name of its runbook."""


class Severity(StrEnum):
    """How soon somebody must act; a label by which Alertmanager can route."""

    CRITICAL = "critical"
    """Users are affected now."""
    WARNING = "warning"
    """Something needs a person within a day."""
    INFO = "info"
    """Something waits for a person's decision."""


@dataclass(frozen=True)
class Alert:
    """An alert.

    Attributes:
        page: name of its runbook; that of a reason where the alert is of one.
        expression: PromQL; it has series while something is wrong.
        minutes: how long it must last, in minutes.
        severity: how soon somebody must act.
        summary: one sentence, with templates of Prometheus.
        look: how to learn more, in one sentence.
    """

    page: str
    expression: str
    minutes: int
    severity: Severity
    summary: str
    look: str

    @property
    def name(self) -> str:
        """The alert's name in Prometheus."""
        return f"{PREFIX}{self.page}"


def build_rule(alert: Alert) -> dict[str, object]:
    """Return the rule as Prometheus reads it."""
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": f"{alert.minutes}m",
        "labels": {"severity": alert.severity.value},
        "annotations": {
            "summary": alert.summary,
            "description": alert.look,
            "runbook_url": f"{RUNBOOKS}/{alert.page}.md",
        },
    }
