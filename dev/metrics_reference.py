"""The page docs/reference/metrics.md: every metric of the code, with its type, unit, labels and how many series it can have.

`python -m dev.metrics_reference` writes it, and `make crds` runs that; a test holds the page to the code.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import Metric

from llmdeployment_gateway.metrics import AgentState
from llmdeployment_gateway.metrics import list_families as list_gateway_families
from llmdeployment_gateway.tally import Row
from llmdeployment_operator.analysis.experiment import Outcome
from llmdeployment_operator.api.crd import build_crd
from llmdeployment_operator.costs.account import MOST_REVISIONS
from llmdeployment_operator.metrics import STATES, Metrics
from llmdeployment_operator.plan.base.reasons import Reason
from llmdeployment_operator.plan.notify.receivers import RECEIVERS
from llmdeployment_serving.metrics import DROP_REASONS, Owner
from llmdeployment_serving.metrics import list_families as list_replica_families
from llmdeployment_serving.output_shares import BUILT_IN
from llmdeployment_serving.stats import EngineSnapshot, RevisionStats, build_stats

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "reference" / "metrics.md"
TEMPLATE = Path(__file__).with_name("metrics_reference.md")

_SPEC = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
ARMS: int = _SPEC["spec"]["properties"]["arms"]["maxItems"]
PATTERNS: int = _SPEC["spec"]["properties"]["monitoring"]["properties"]["outputPatterns"][
    "maxItems"
]
EXPERIMENT_METRICS: int = _SPEC["spec"]["properties"]["experiment"]["properties"]["metrics"][
    "maxItems"
]
CONDITIONS = 11
"""Types of conditions, those of optional fields of the spec among them."""
COMPARED = len(BUILT_IN) + PATTERNS + 4
"""What is compared with a first window: shares, patterns, and two lengths each of prompts and answers."""
CODES = 30
"""Status codes that occur; an API elsewhere could answer with others."""
_UNITS = {
    "seconds": "seconds",
    "ratio": "share, 0 to 1",
    "difference": "difference of shares, -1 to 1",
    "tokens": "tokens",
    "nats": "nats",
    "cost": "currency",
    "hour": "currency per hour",
}


@dataclass(frozen=True)
class Label:
    """A label.

    Attributes:
        what: what its values are.
        bound: how many values it has for one LLMDeployment, or for one pod where there is none.
    """

    what: str
    bound: int


LABELS = {
    "namespace": Label("Namespace of the LLMDeployment.", 1),
    "name": Label("Name of the LLMDeployment.", 1),
    "arm": Label(f"Name of an arm; `main` without `spec.arms`. At most {ARMS}.", ARMS),
    "revision": Label(
        "Number of a revision. An arm has two at a time, the stable one and a canary. For cost also `idle` and "
        "`unattributed`.",
        2 * ARMS,
    ),
    "outcome": Label(
        "[Outcome](../concepts/experiments.md#the-end) of an experiment: "
        f"{', '.join(f'`{each.value}`' for each in Outcome)}.",
        len(Outcome),
    ),
    "metric": Label(
        "Metric of an experiment with its threshold, such as `ttft>500ms`; the ratio of `cost` is a part of the control's cost. "
        "Or what is compared with the [first window](../concepts/drift.md): a share, or a length with its bound. "
        f"At most {EXPERIMENT_METRICS} and {COMPARED}.",
        max(EXPERIMENT_METRICS, COMPARED),
    ),
    "bound": Label("`estimate`, and `lower` and `upper` for the ends of the interval.", 3),
    "side": Label("`arm`, or `control` for the control beside that arm.", 2),
    "per": Label("`requests` or `tokens`: the cost of which is compared.", 2),
    "verdict": Label("`Pass`, `Fail` or `NeedMoreData`.", 3),
    "condition": Label("Type of a [condition](api.md#status), such as `Ready`.", CONDITIONS),
    "status": Label("Status of a condition: `True`, `False` or `Unknown`.", 3),
    "reason": Label(
        "[Reason](api.md#reasons) of a condition, or of a [decision](../concepts/autoscaling.md#reasons) of autoscaling. Or "
        f"why a line of the [request log](../how-to/request-log.md) was dropped: {', '.join(f'`{each}`' for each in DROP_REASONS)}.",
        len(Reason),
    ),
    "runtime": Label("Hash of a runtime; one revision or more run in it.", 2 * ARMS),
    "service": Label("Service of a runtime, which is called `<name>-<runtime>`.", 2 * ARMS),
    "currency": Label("`spec.cost.currency`.", 1),
    "receiver": Label(
        f"Name of a [receiver](../how-to/notifications.md) of notifications. At most {RECEIVERS}.",
        RECEIVERS,
    ),
    "result": Label(
        "How a pass ended: `success` or `error`. What became of a notification: `sent`, `failed` (given up) or `dropped` (no room).",
        3,
    ),
    "verb": Label("`apply`, `create`, `delete`, `status` or `declare`.", 5),
    "kind": Label("Kind of an object that the operator writes.", 20),
    "error": Label("Kind of an error: the name of a class of the operator's, or of Python's.", 20),
    "state": Label(f"{', '.join(f'`{state}`' for state in STATES)}.", len(STATES)),
    "version": Label("Version of the package.", 1),
    "code": Label(
        "Status code of an answer. Where the client left before there was one it is -1 at the gateway, and 499 at a replica.",
        CODES,
    ),
    "by": Label("Who ended an answer before its end: `client` or `replica`.", 2),
    "engine": Label("Name of the engine: `vllm`, `transformers`, `simulated` or `external`.", 1),
    "model": Label("The served name.", 1),
    "share": Label(
        "A [share](../how-to/watch-answers.md#the-built-in-shares), or `pattern/NAME` with a pattern of "
        f"`spec.monitoring`. At most {len(BUILT_IN)} and {PATTERNS}.",
        len(BUILT_IN) + PATTERNS,
    ),
}
"""Every label of the code. A new one needs a row here, with its bound."""
_TOGETHER = {
    # A condition has one reason, and that with one status.
    frozenset({"condition", "status", "reason"}): CONDITIONS,
    # An arm has two revisions.
    frozenset({"arm", "revision"}): 2 * ARMS,
}
"""Labels that depend on each other, so that the product of their bounds would be too many."""
_UNLIKE = {
    "llmdeployment_request_log_dropped_total": f"{len(DROP_REASONS)}",
    "llmdeployment_operator_reconciles_total": "2",
    # Only of the revisions that serve.
    "llmdeployment_drift_difference": f"{ARMS * COMPARED}",
    "llmdeployment_cost_per_hour": f"{MOST_REVISIONS + 1}",
    "llmdeployment_cost_total": f"{MOST_REVISIONS + 2}",
}
"""What the labels do not tell."""


@dataclass(frozen=True)
class MetricRow:
    """A metric, as the page shows it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    buckets: int
    help: str


def draw() -> str:
    """Return the page."""
    rows = [*list_operator_rows(), *list_gateway_rows(), *list_replica_rows()]
    parts = {
        "operator": _draw_table(list_operator_rows()),
        "gateway": _draw_table(list_gateway_rows()),
        "replica": _draw_table(list_replica_rows()),
        "labels": _draw_labels({label for row in rows for label in row.labels}),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], text)


def list_operator_rows() -> list[MetricRow]:
    """Return the metrics of the operator in the order of the code."""
    found = (each for each in vars(Metrics()).values() if isinstance(each, Gauge | Counter | Histogram))  # fmt: skip
    return [
        MetricRow(
            _complete_name(family.name, family.type),
            family.type,
            tuple(each._labelnames),  # noqa: SLF001  # because prometheus_client has no other way to tell
            len(getattr(each, "_upper_bounds", ())),
            family.documentation,
        )
        for each in found
        for family in each.collect()
    ]


def list_gateway_rows() -> list[MetricRow]:
    """Return the metrics of a gateway's agent."""
    row = Row(statuses={200: 1}, cuts={"client": 1})
    row.groups.add_vote(0, 0)
    state = AgentState(
        ready=True,
        held=0,
        refused=0,
        steering_failures=0,
        kube_failures=0,
        services={"chat-1a2b3c4d": {"servers": 1, "up": 1}},
        rows={("main", "1"): row},
        spans={"exported": 0, "dropped": 0},
    )
    return _read_families(list_gateway_families(("team", "chat"), state))


def list_replica_rows() -> list[MetricRow]:
    """Return a replica's own metrics."""
    stats = RevisionStats()
    stats.requests["200"] += 1
    document = build_stats(
        "simulated",
        "chat",
        EngineSnapshot(0, 0, 0.0, 0, 0, {}),
        {"1": stats},
        self_test={"score": -1.0, "reference": -1.0},
    )
    document |= {"requestLog": {"written": 0, "dropped": {}}}
    document["spans"] = {"exported": 0, "dropped": 0}
    return _read_families(list_replica_families(document, Owner("team", "chat")))


def _read_families(families: Iterable[Metric]) -> list[MetricRow]:
    """Return rows; every family has a sample, which tells its labels."""
    return [
        MetricRow(
            _complete_name(family.name, family.type),
            family.type,
            tuple(label for label in family.samples[0].labels if label != "le"),
            sum("le" in sample.labels for sample in family.samples),
            family.documentation,
        )
        for family in families
    ]


def _complete_name(name: str, kind: str) -> str:
    return f"{name}_total" if kind == "counter" else name


def count_series(row: MetricRow) -> int:
    """Return how many series a metric has at most, for each LLMDeployment or pod.

    >>> count_series(MetricRow("x", "gauge", ("namespace", "name", "arm", "revision", "verdict"), 0, ""))
    48
    >>> count_series(MetricRow("x", "histogram", (), 13, ""))
    15
    """
    left, found = set(row.labels), 1
    for labels, bound in _TOGETHER.items():
        if labels <= left:
            left, found = left - labels, found * bound
    for label in left:
        found *= LABELS[label].bound
    # A histogram has a bucket for each bound and two sums.
    return found * {"histogram": row.buckets + 2, "summary": 2}.get(row.kind, 1)


def _find_unit(name: str) -> str:
    return _UNITS.get(name.removesuffix("_total").rpartition("_")[2], "")


def _draw_table(rows: Iterable[MetricRow]) -> str:
    lines = [
        "| metric | type | unit | labels | series | what it says |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        labels = ", ".join(f"`{label}`" for label in row.labels)
        unit = _find_unit(row.name)
        series = _UNLIKE.get(row.name) or str(count_series(row))
        cells = (f"`{row.name}`", row.kind, unit, labels, series, row.help)
        lines.append("|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|")
    return "\n".join(lines)


def _draw_labels(used: set[str]) -> str:
    if unknown := sorted(used - LABELS.keys()):
        raise ValueError(f"say in LABELS what these labels hold, and how many: {unknown}")
    lines = ["| label | values |", "|---|---|"]
    lines += [f"| `{name}` | {label.what} |" for name, label in LABELS.items() if name in used]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(draw(), encoding="utf-8")
