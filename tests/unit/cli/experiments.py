"""LLMDeployments with an experiment, as the operator itself writes its status."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.unit.cli.objects import NOW, Object, deployment, revision

from llmdeployment_operator.analysis.comparison import Analysis
from llmdeployment_operator.analysis.counts import CountKey, Counts
from llmdeployment_operator.analysis.design_effect import Users
from llmdeployment_operator.analysis.e_values import Stratum
from llmdeployment_operator.analysis.power_plan import UserGrowth, plan_power
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.status_document import dump_status
from llmdeployment_operator.api.types import parse
from llmdeployment_operator.costs.spending import PairSpending, Spending
from llmdeployment_operator.plan.experiment.counting import ArmCounts
from llmdeployment_operator.plan.experiment.report import _build_row
from llmdeployment_operator.plan.experiment.sentences import describe_plan

SPEC: dict[str, Any] = {
    "arms": [
        {"name": "control", "weight": 50},
        {"name": "terse", "weight": 25, "overrides": {"prompt": {"system": "One sentence."}}},
        {"name": "kind", "weight": 25, "overrides": {"prompt": {"system": "Be kind."}}},
    ],
    "experiment": {
        "control": "control",
        "metrics": [{"name": "e2e", "milliseconds": 3000}, {"name": "errorRate"}],
        "minimumEffectPercent": 3,
        "maxDuration": "14d",
    },
}
ARMS: list[dict[str, Any]] = [
    {"name": "control", "weight": 50, "stable": 3},
    {"name": "terse", "weight": 25, "stable": 4},
    {"name": "kind", "weight": 25, "stable": 5},
]
REVISIONS = [revision(3, 50, 4, 4), revision(4, 25, 4, 4), revision(5, 25, 4, 4)]
Bad = tuple[int, int]
"""Bad requests of each metric."""


def counted(name: str, number: int, control: Bad, arm: Bad, requests: int, **changes: Any) -> Any:
    """What was counted in four days of an arm that has half of the control's requests."""
    counts: dict[CountKey, Stratum] = {}
    for metric, own, other in zip(("e2e>3000ms", "errorRate"), arm, control, strict=True):
        whole = Stratum(Counts(2 * requests, other), Counts(requests, own))
        counts[CountKey(metric, "8192" if metric.startswith("e2e") else "")] = whole
        counts |= {CountKey(metric, group=g): _divide(whole) for g in range(64)}
    evidence = Analysis(counts, {}, Users(640, 318), 4 * 86400)
    fields: dict[str, Any] = {"counting": True, "growth": UserGrowth(900, 3 * 86400, 0.2)}
    since = NOW - timedelta(days=4)
    return ArmCounts(name, since, number, 3, evidence=evidence, **{**fields, **changes})


def _divide(whole: Stratum) -> Stratum:
    sides = (Counts(side.total / 64, side.bad / 64) for side in (whole.stable, whole.canary))
    return Stratum(*sides)


def experiment(*arms: Any, days: int = 4, **changes: Any) -> Object:
    """An LLMDeployment whose experiment has counted this."""
    found = deployment(*ARMS, revisions=REVISIONS, traffic="control rev3 50% terse rev4 25%")
    found["spec"] = {"model": {"source": "pvc://models/chat"}, **SPEC, **changes}
    parsed = parse({**found, "metadata": {**found["metadata"], "uid": "u"}, "status": {}})
    assert parsed.spec.experiment is not None
    began = NOW - timedelta(days=days)
    evidence = {arm.name: arm.evidence for arm in arms}
    growth = {arm.name: arm.growth for arm in arms}
    spec = parsed.spec.experiment
    plan = describe_plan(spec, evidence, plan_power(spec, evidence, growth))
    row = _build_row(parsed, spec, arms, began, NOW, "", plan)
    found["status"]["experiment"] = dump_status(Status(experiment=row))["experiment"]
    return found


def running() -> Object:
    """Too little is known of one arm, and another has a canary."""
    return experiment(
        counted("terse", 4, (1240, 11), (580, 6), 6000),
        counted(
            "kind", 5, (410, 4), (220, 2), 2000, counting=False, message="Arm kind has a canary."
        ),
    )


def won() -> Object:
    """Terse wins."""
    return experiment(
        counted("terse", 4, (3120, 31), (760, 14), 15000),
        counted("kind", 5, (3120, 31), (1620, 15), 15000),
    )


def priced() -> Object:
    """Terse wins and is cheaper, since its answers are shorter; kind costs what the control does."""
    control = Spending(Decimal("9.90"), 30_000, 6_600_000)
    kind = Spending(Decimal("4.95"), 15_000, 3_300_000)
    terse = Spending(Decimal("3.45"), 15_000, 2_300_000)
    metrics = [{"name": "cost"}, *SPEC["experiment"]["metrics"]]
    return experiment(
        _add_lengths(
            counted("terse", 4, (3120, 31), (1530, 14), 15000, cost=_pair(terse, control)), 2300
        ),
        _add_lengths(
            counted("kind", 5, (3120, 31), (1620, 15), 15000, cost=_pair(kind, control)), 3300
        ),
        experiment={**SPEC["experiment"], "metrics": metrics, "minimumEffectPercent": 15},
        cost={"currency": "EUR", "perReplicaHour": "2.50"},
    )


def _add_lengths(arm: ArmCounts, longest: int) -> ArmCounts:
    """Let an arm's answers have been worth so many of the longest, and the control's 6,600."""
    whole = Stratum(Counts(30_000, 6_600), Counts(15_000, longest))
    counts = dict(arm.evidence.counts)
    counts[CountKey("cost<=1000", "8192")] = whole
    counts |= {CountKey("cost<=1000", group=g): _divide(whole) for g in range(64)}
    return replace(arm, evidence=replace(arm.evidence, counts=counts))


def _pair(arm: Spending, control: Spending) -> PairSpending:
    return PairSpending("EUR", "2026-11", arm, control)


def shifted() -> Object:
    """Terse wins, and the operator has moved all users to it."""
    found = won()
    spec = {**SPEC, "experiment": {**SPEC["experiment"], "onEnd": "ShiftToWinner"}}
    rows = [{**row, "weight": 100 if row["name"] == "terse" else 0} for row in ARMS]
    rows = [{k: v for k, v in row.items() if row["weight"] or k != "stable"} for row in rows]
    found["spec"] = {**found["spec"], **spec}
    found["status"] = {**found["status"], "arms": sorted(rows, key=lambda row: -row["weight"])}
    found["status"]["traffic"] = "terse rev4 100%"
    return found


def timed_out() -> Object:
    """Fourteen days were not enough."""
    return experiment(
        counted("terse", 4, (120, 2), (55, 1), 600),
        counted("kind", 5, (120, 2), (62, 1), 600),
        days=14,
    )
