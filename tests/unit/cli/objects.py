"""LLMDeployments as the API server gives them, for the tables of this folder."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.status_document import dump_status
from llmdeployment_operator.costs.types import CostAccount, RecentCost, RevisionAccount, TokenCounts
from llmdeployment_operator.plan.base.conditions import Condition, build_accepted
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.cost.memory import build_cost_status
from llmdeployment_operator.plan.cost.report import check_budget

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

Object = dict[str, Any]

STEPS = [
    {"weight": 5, "pause": {"duration": "10m"}},
    {"weight": 25, "analysis": True},
    {"weight": 50, "pause": {}},
]


def condition(kind: str, status: str, reason: str, message: str = "") -> Object:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-24T11:30:00Z",
    }


_STATUSES = {True: "True", False: "False", None: "Unknown"}


def written(finding: Finding | None = None) -> list[Object]:
    """The conditions that the operator writes while every request is answered."""
    found = build_accepted(
        finding is None, finding, "Revision 3 serves. 4 of 4 replicas are ready.", NOW
    )
    serves = Condition(
        "Available", True, Reason.SERVING, "Requests are answered by 4 ready replicas."
    )
    return [condition(c.type, _STATUSES[c.status], c.reason, c.message) for c in (*found, serves)]


def revision(number: int, traffic: int = 0, ready: int = 0, replicas: int = 0) -> Object:
    return {
        "name": f"chat-r{number}",
        "number": number,
        "hash": f"{number:08x}",
        "runtime": f"{number * 7:08x}",
        "replicas": replicas,
        "ready": ready,
        "trafficPercent": traffic,
        "createdAt": f"2026-11-{20 + number}T09:15:00Z",
    }


def deployment(*arms: Object, **status: Any) -> Object:
    return {
        "apiVersion": "llmdeployment.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {
            "name": "chat",
            "namespace": "shop",
            "resourceVersion": "77",
            "creationTimestamp": "2026-11-22T09:15:00Z",
        },
        "spec": {
            "model": {"source": "pvc://models/chat"},
            "engine": {"name": "vllm"},
            "rollout": {"strategy": "Canary", "steps": STEPS},
        },
        "status": {
            "conditions": written(),
            "arms": list(arms) or [{"name": "main", "weight": 100, "stable": 3}],
            "revisions": [revision(2), revision(3, 100, 4, 4)],
            "traffic": "rev3 100%",
            "model": "chat",
            "endpoint": "http://chat.shop/v1",
            "replicas": 4,
            "readyReplicas": 4,
            "ready": "4/4",
            **status,
        },
    }


def on_its_way(step: int = 2, **arm: Any) -> Object:
    """Revision 4 is at a step of four, with 25 % of the requests."""
    message = (
        f"Revision 4 is at step {step} of 4 and gets 25 % of the requests. "
        "errorRate: canary 1 of 310, stable 4 of 940."
    )
    row = {
        "name": "main",
        "weight": 100,
        "stable": 3,
        "canary": 4,
        "canaryWeight": 25,
        "canaryReady": 1,
        "step": step,
        "attempt": 1,
        "stepStartedAt": "2026-11-24T11:47:26Z",
        "progressAt": "2026-11-24T11:47:20Z",
        **arm,
    }
    return deployment(
        row,
        conditions=written(Finding(Reason.ANALYZING, message)),
        ready="4/4",
        revisions=[revision(2), revision(3, 75, 4, 4), revision(4, 25, 1, 1)],
        traffic="rev3 75% rev4 25%",
    )


COSTS = {
    number: RevisionAccount(Decimal(cost), TokenCounts(requests, 0, tokens), recent)
    for number, cost, requests, tokens, recent in (
        (3, "640.125", 1_920_000, 410_000_000, 6.0),
        (4, "180.5", 310_000, 98_000_000, 2.25),
        (6, "0.0042", 1, 0, 0.0042),
    )
}
ACCOUNT = CostAccount(
    currency="EUR",
    at=NOW.timestamp(),
    since=(NOW - timedelta(days=20)).timestamp(),
    total=Decimal("871.25"),
    idle=Decimal("48.5"),
    revisions=COSTS,
    replicas_hour=Decimal("12.50"),
    recent=RecentCost(hours=1.0, idle=1.5),
)
"""The operator makes the row and the condition of it."""
COST = dump_status(
    Status(cost=build_cost_status(ACCOUNT, "1000", {3: ["control"], 4: ["terse"], 6: ["terse"]}))
)["cost"]


def write_budget(account: CostAccount) -> Object:
    found = check_budget(account, "1000")
    assert found is not None
    return condition(found.type, str(found.status), found.reason, found.message)


BUDGET = write_budget(ACCOUNT)
OVER = write_budget(replace(ACCOUNT, total=Decimal(1000)))


def priced() -> Object:
    """Two arms whose cost is near the budget."""
    arms = (
        {"name": "control", "weight": 90, "stable": 3},
        {"name": "terse", "weight": 10, "stable": 4},
    )
    return deployment(
        *arms,
        cost=COST,
        conditions=[*written(), BUDGET],
        revisions=[revision(3, 90, 4, 4), revision(4, 10, 1, 1)],
        traffic="control rev3 90% terse rev4 10%",
    )


def unseen() -> Object:
    """No operator has acted on it."""
    return {**deployment(), "status": {}}


def operator(name: str = "llm", namespace: str = "llm-system", **env: str) -> Object:
    """The Deployment of an operator, as the chart makes it."""
    values = {
        "LLMD_NAMESPACES": "",
        "LLMD_OWN_NAMESPACE": "false",
        "LLMD_OPERATOR_NAMESPACE": namespace,
        **{f"LLMD_{key}": value for key, value in env.items()},
    }
    container = {
        "name": "operator",
        "image": "example.test/llmdeployment/operator:0.1.0",
        "env": [{"name": key, "value": value} for key, value in values.items()],
    }
    labels = {
        "app.kubernetes.io/name": "llmdeployment-operator",
        "app.kubernetes.io/version": "0.1.0",
    }
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"template": {"spec": {"containers": [container]}}},
        "status": {"readyReplicas": 1},
    }


def annotated(obj: Object, **commands: str) -> Object:
    annotations = {f"llmdeployment.dev/{name}": value for name, value in commands.items()}
    return {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}


def analysis(result: str = "NeedMoreData", left: int | None = 240) -> Object:
    row = {
        "result": result,
        "message": "errorRate: the canary's share is between 0.1 % and 1.9 % [95 %]",
        "requestsLeft": left,
        "metrics": [
            {"name": "errorRate", "stable": 940, "stableBad": 4, "canary": 310, "canaryBad": 1},
            {"name": "ttft 500 ms", "stable": 900, "stableBad": 45, "canary": 0, "canaryBad": 0},
        ],
    }
    return {key: value for key, value in row.items() if value is not None}


def record(number: int, **template: Any) -> Object:
    return {
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"chat-r{number}",
            "creationTimestamp": f"2026-11-{20 + number}T09:15:00Z",
        },
        "revision": number,
        "data": {
            "template": {"model": {"source": "pvc://models/chat"}, **template},
            "rendering": {},
        },
    }


RECORDS = [
    record(2),
    record(3, engine={"args": {"max-model-len": 4096}}),
    record(
        4,
        engine={"args": {"max-model-len": 8192, "dtype": "bfloat16"}},
        prompt={"system": "Be kind."},
    ),
]
