"""What the operator shows Prometheus of arms, revisions and verdicts."""

from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import version
from typing import Any, cast

import pytest
from prometheus_client import generate_latest

from llmdeployment_operator.api.status_document import read_status
from llmdeployment_operator.autoscaler.types import ScalingReason
from llmdeployment_operator.costs.figures import read_cost_figures
from llmdeployment_operator.costs.types import CostAccount, RecentCost, RevisionAccount
from llmdeployment_operator.handlers.run import REPORTED_FAILURES, Reconciler
from llmdeployment_operator.metrics import Metrics
from llmdeployment_operator.plan.experiment.figures import (
    ExperimentFigures,
    read_experiment_figures,
)
from llmdeployment_operator.reconcile import DeploymentKey, Operator, PassResult
from llmdeployment_operator.status_metrics import (
    read_conditions,
    read_desired,
    read_reasons,
    read_scores,
    read_traffic,
    read_verdicts,
)

CANARY = {"canary": 4, "canaryWeight": 10, "analysis": {"result": "Fail"}}


@pytest.mark.parametrize(
    ("arms", "traffic", "verdicts"),
    [
        ([], {}, {}),
        ([{"name": "main", "weight": 100, "stable": 1}], {("main", "1"): 1}, {}),
        (
            [{"name": "a", "weight": 90, "stable": 1}, {"name": "b", "weight": 10, "stable": 3} | CANARY],
            {("a", "1"): 0.9, ("b", "3"): 0.09, ("b", "4"): 0.01},
            {("b", "4", "Pass"): 0, ("b", "4", "Fail"): 1, ("b", "4", "NeedMoreData"): 0},
        ),
        (
            [{"name": "b", "weight": 100, "stable": 3, "canary": 4, "analysis": {"result": "Later"}}],
            {("b", "3"): 1, ("b", "4"): 0},
            {("b", "4", "Pass"): 0, ("b", "4", "Fail"): 0, ("b", "4", "NeedMoreData"): 1},
        ),
        ([{"name": "new", "weight": 0, "stable": 2}], {}, {}),
    ],
)  # fmt: skip
def test_shares_of_arms_and_revisions(
    arms: list[Any], traffic: dict[Any, Any], verdicts: dict[Any, Any]
) -> None:
    status = read_status({"arms": arms})
    assert read_traffic(status) == pytest.approx(traffic)
    assert read_verdicts(status) == verdicts


CONDITIONS = [
    {"type": kind, "status": status, "reason": reason, "lastTransitionTime": "2026-01-02T03:04:05Z"}
    for kind, status, reason in (("Ready", "False", "WaitingForGPU"), ("Degraded", "Unknown", "X"))
]


def test_a_condition_is_a_set_of_states_with_one_that_holds() -> None:
    status = read_status({"conditions": CONDITIONS})
    rows = read_conditions(status)
    assert rows == {
        ("Ready", "True"): 0,
        ("Ready", "False"): 1,
        ("Ready", "Unknown"): 0,
        ("Degraded", "True"): 0,
        ("Degraded", "False"): 0,
        ("Degraded", "Unknown"): 1,
    }
    assert read_reasons(status) == {
        ("Ready", "False", "WaitingForGPU"): 1,
        ("Degraded", "Unknown", "X"): 1,
    }


async def test_conditions_of_an_object_that_is_gone_are_shown_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status = read_status({"conditions": CONDITIONS})
    healthy = read_status({"conditions": [CONDITIONS[0] | {"status": "True", "reason": "Serving"}]})
    outcomes = iter(
        [
            PassResult(None, "ready", conditions=read_conditions(each), reasons=read_reasons(each))
            for each in (status, healthy)
        ]
        + [PassResult(None, None)]
    )
    metrics, passes = made(monkeypatch, outcomes)
    shown = []
    for _ in range(3):
        await passes.one(DeploymentKey("team", "chat"))
        rows = [
            sample.labels
            for gauge in (metrics.condition, metrics.condition_reason)
            for sample in gauge.collect()[0].samples
            if sample.value == 1
        ]
        assert all((row["namespace"], row["name"]) == ("team", "chat") for row in rows)
        shown.append([(row["condition"], row["status"], row.get("reason")) for row in rows])
    assert shown == [
        [
            ("Ready", "False", None),
            ("Degraded", "Unknown", None),
            ("Ready", "False", "WaitingForGPU"),
            ("Degraded", "Unknown", "X"),
        ],
        [("Ready", "True", None), ("Ready", "True", "Serving")],
        [],
    ]


async def test_conditions_show_that_passes_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    async def report(*_: object) -> PassResult:
        status = read_status({"conditions": CONDITIONS})
        return PassResult(None, None, conditions=read_conditions(status))

    monkeypatch.setattr("llmdeployment_operator.handlers.run.report_failure", report)
    metrics, passes = made(monkeypatch, iter([]))
    shown = []
    for failures in (1, REPORTED_FAILURES):
        await passes.failed(DeploymentKey("team", "chat"), TimeoutError(), failures)
        shown.append(len(metrics.condition.collect()[0].samples))
    assert shown == [0, 6]


def test_the_operator_says_its_version_and_what_it_takes() -> None:
    names = {family.name for family in Metrics().registry.collect()}
    (build,) = Metrics().build_info.collect()[0].samples
    assert build.labels["version"] == version("llmdeployment-operator")
    assert build.value == 1
    assert {"process_resident_memory_bytes", "process_cpu_seconds", "python_info"} <= names


def test_a_counter_is_one_series() -> None:
    metrics = Metrics()
    metrics.begin("team", "chat", scales=False)
    page = generate_latest(metrics.registry).decode()
    assert 'llmdeployment_self_tests_failed_total{name="chat",namespace="team"} 0.0' in page
    assert "_created" not in page


def made(
    monkeypatch: pytest.MonkeyPatch, outcomes: Iterator[PassResult]
) -> tuple[Metrics, Reconciler]:
    """Metrics, and passes that come out like this one after the other."""

    async def passed(_operator: Operator, _key: DeploymentKey) -> PassResult:
        return next(outcomes)

    monkeypatch.setattr("llmdeployment_operator.handlers.run.reconcile", passed)
    metrics = Metrics()
    return metrics, Reconciler(Operator(cast("Any", None), cast("Any", None), metrics))


async def test_what_is_gone_is_shown_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = iter(
        [
            PassResult(
                None, "ready", {("a", "1"): 0.9, ("b", "2"): 0.1}, {("b", "2", "NeedMoreData"): 1}
            ),
            PassResult(None, "ready", {("a", "1"): 1.0}),
            PassResult(None, None),
        ]
    )

    metrics, passes = made(monkeypatch, outcomes)
    shown = []
    for _ in range(3):
        await passes.one(DeploymentKey("team", "chat"))
        shown.append(
            {
                (sample.labels["arm"], sample.labels.get("verdict")): sample.value
                for metric in (*metrics.traffic.collect(), *metrics.verdict.collect())
                for sample in metric.samples
            }
        )
    assert shown == [
        {("a", None): 0.9, ("b", None): 0.1, ("b", "NeedMoreData"): 1},
        {("a", None): 1},
        {},
    ]


async def test_cost_is_a_rate_and_a_counter_until_the_object_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, idle = ("1", "EUR"), ("idle", "EUR")
    outcomes = iter(
        [
            PassResult(15.0, "ready", cost_per_hour={one: 2.5}, cost={one: 1.0, idle: 0.5}),
            PassResult(15.0, "ready", cost_per_hour={idle: 2.5}, cost={one: 1.25, idle: 0.5}),
            # A pass that only refuses charges nothing and knows nothing.
            PassResult(15.0, "refused"),
            # The account began anew: what it has is new.
            PassResult(15.0, "ready", cost={one: 0.25, idle: 0.5}),
            # The revision is gone.
            PassResult(15.0, "ready", cost={idle: 0.75}),
            PassResult(None, None),
        ]
    )

    metrics, passes = made(monkeypatch, outcomes)
    rates, totals = [], []
    for _ in range(6):
        await passes.one(DeploymentKey("team", "chat"))
        rates.append(
            {
                s.labels["revision"]: s.value
                for s in next(iter(metrics.cost_per_hour.collect())).samples
            }
        )
        totals.append(
            {
                s.labels["revision"]: s.value
                for s in next(iter(metrics.cost.collect())).samples
                if s.name == "llmdeployment_cost_total"
            }
        )

    assert rates == [{"1": 2.5}, {"idle": 2.5}, {}, {}, {}, {}]
    assert totals == [
        {"1": 1.0, "idle": 0.5},
        {"1": 1.25, "idle": 0.5},
        {"1": 1.25, "idle": 0.5},
        {"1": 1.5, "idle": 0.5},
        {"idle": 0.75},
        {},
    ]


def test_cost_is_shown_by_revision_and_idle() -> None:
    account = CostAccount(
        "EUR",
        at=0.0,
        since=0.0,
        revisions={3: RevisionAccount(recent=0.5)},
        recent=RecentCost(hours=0.25, idle=0.125),
        ever={"3": Decimal("7.50"), "idle": Decimal(1)},
    )

    assert read_cost_figures(account) == (
        {("3", "EUR"): 2.0, ("idle", "EUR"): 0.5},
        {("3", "EUR"): 7.5, ("idle", "EUR"): 1.0},
    )
    assert read_cost_figures(None) == ({}, {})


async def test_what_autoscaling_wants_is_shown_while_it_scales(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtimes = [{"runtime": "a", "desired": 3}, {"runtime": "b", "desired": 0}]
    wanted = read_desired(read_status({"scaling": {"runtimes": runtimes}}))
    outcomes = iter([PassResult(2.0, "ready", desired=wanted), PassResult(None, "ready")])

    metrics, passes = made(monkeypatch, outcomes)
    shown = []
    for _ in range(2):
        await passes.one(DeploymentKey("team", "chat"))
        (family,) = metrics.desired.collect()
        shown.append({one.labels["runtime"]: one.value for one in family.samples})
    assert shown == [{"a": 3.0, "b": 0.0}, {}]


async def test_the_last_score_of_a_revision_with_replicas_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = {"name": "x", "hash": "x", "runtime": "x", "replicas": 1}
    first = {"golden": "g", "at": "2026-01-02T03:04:05Z", "passed": 95, "total": 100}
    again = {"dueAt": "2026-01-03T03:00:00Z", "result": {**first, "passed": 80}}
    rows = [
        {**row, "number": 1, "name": "a", "evaluation": first, "recheck": again},
        {**row, "number": 2, "name": "b", "evaluation": first},
        {**row, "number": 3, "name": "c", "evaluation": first, "replicas": 0},
        {**row, "number": 4, "name": "d", "evaluation": {"golden": "g", "at": first["at"]}},
    ]
    scores = read_scores(read_status({"revisions": rows}))
    outcomes = iter([PassResult(None, "ready", scores=scores), PassResult(None, "ready")])
    metrics, passes = made(monkeypatch, outcomes)
    shown = []
    for _ in range(2):
        await passes.one(DeploymentKey("team", "chat"))
        (family,) = metrics.score.collect()
        shown.append({one.labels["revision"]: one.value for one in family.samples})
    assert shown == [{"1": 0.8, "2": 0.95}, {}]


async def test_counts_begin_at_zero_and_end_with_the_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics, passes = made(monkeypatch, iter([PassResult(None, None)]))
    for name, scales in (("chat", True), ("idle", False)):
        metrics.begin("team", name, scales=scales)

    def count(name: str) -> tuple[list[float], int]:
        failed, decided = (
            [
                sample.value
                for sample in counter.collect()[0].samples
                if sample.name.endswith("_total") and sample.labels["name"] == name
            ]
            for counter in (metrics.self_tests_failed, metrics.scaling_decisions)
        )
        return failed, len(decided)

    assert count("chat") == ([0.0], len(ScalingReason))
    assert count("idle") == ([0.0], 0)
    await passes.one(DeploymentKey("team", "chat"))
    assert count("chat") == ([], 0)
    assert count("idle") == ([0.0], 0)


async def test_the_difference_to_the_first_window_is_shown_while_it_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown, drift = [], {("3", "refusal"): 0.29, ("3", "empty"): -0.01}
    outcomes = iter([PassResult(None, "ready", drift=drift), PassResult(None, "ready")])
    metrics, passes = made(monkeypatch, outcomes)
    for _ in range(2):
        await passes.one(DeploymentKey("team", "chat"))
        (family,) = metrics.drift.collect()
        shown.append({one.labels["metric"]: one.value for one in family.samples})
    assert family.name == "llmdeployment_drift_difference"
    assert shown == [{"refusal": 0.29, "empty": -0.01}, {}]


EXPERIMENT = {
    "startedAt": "2026-01-02T03:04:05Z",
    "writtenAt": "2026-01-02T03:04:05Z",
    "outcome": "Winner",
    "arms": [
        {
            "name": "terse",
            "users": 318,
            "controlUsers": 640,
            "requests": 15000,
            "controlRequests": 30000,
            "metrics": [
                {"name": "e2e>3000ms", "difference": "-5.3", "low": "-6.7", "high": "-3.9"},
                {"name": "errorRate", "difference": "0.10"},
            ],
            "cost": {"requestsDifferencePercent": "-30.3", "tokensDifferencePercent": "+2.0"},
        },
        {"name": "kind"},
    ],
}


def test_the_numbers_of_an_experiment() -> None:
    figures = read_experiment_figures(read_status({"experiment": EXPERIMENT}).experiment)

    assert figures == ExperimentFigures(
        outcomes={
            ("Running",): 0,
            ("Winner",): 1,
            ("ControlWins",): 0,
            ("NoDifference",): 0,
            ("TimedOut",): 0,
        },
        differences={
            ("terse", "e2e>3000ms", "estimate"): -0.053,
            ("terse", "e2e>3000ms", "lower"): -0.067,
            ("terse", "e2e>3000ms", "upper"): -0.039,
            ("terse", "errorRate", "estimate"): 0.001,
        },
        requests={
            ("terse", "arm"): 15000,
            ("terse", "control"): 30000,
            ("kind", "arm"): 0,
            ("kind", "control"): 0,
        },
        users={
            ("terse", "arm"): 318,
            ("terse", "control"): 640,
            ("kind", "arm"): 0,
            ("kind", "control"): 0,
        },
        costs={("terse", "requests"): -0.303, ("terse", "tokens"): 0.02},
    )


async def test_an_experiment_that_is_gone_is_shown_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figures = read_experiment_figures(read_status({"experiment": EXPERIMENT}).experiment)
    outcomes = iter([PassResult(30.0, "ready", experiment=figures), PassResult(30.0, "ready")])
    metrics, passes = made(monkeypatch, outcomes)
    shown = []
    for _ in range(2):
        await passes.one(DeploymentKey("team", "chat"))
        shown.append(
            {
                family.name: len(family.samples)
                for family in metrics.registry.collect()
                if family.name.startswith("llmdeployment_experiment") and family.samples
            }
        )

    assert shown == [
        {
            "llmdeployment_experiment_state": 5,
            "llmdeployment_experiment_difference": 4,
            "llmdeployment_experiment_requests": 4,
            "llmdeployment_experiment_users": 4,
            "llmdeployment_experiment_cost_difference": 2,
        },
        {},
    ]
