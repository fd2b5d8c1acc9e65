"""Stories of LLMDeployments with `spec.cost`: what pods cost, what people are told, and what survives a restart."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.support.stories import conditions, message
from tests.support.world import World, pod, sample

from llmdeployment_operator.api.cost import CostSpec
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.status_document import dump_status, read_status
from llmdeployment_operator.costs.types import CostAccount, ReplicaUsage, TokenCounts
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.cost.charge import charge_pass, find_price
from llmdeployment_operator.plan.cost.memory import build_cost_status, read_account
from llmdeployment_operator.plan.plan import Plan

COST = {"currency": "EUR", "perReplicaHour": "3.60", "monthlyBudget": "1.00"}
"""0.001 a second."""


class Story:
    """One replica, or more, whose work a test sets."""

    def __init__(self, cost: Any = COST, **spec: Any) -> None:
        body = sample("simulated")
        body["spec"] = {**body["spec"], "replicas": 1, "cost": cost, **spec}
        self.world = World(body)
        self.world.settle()
        self.world.obey()
        self.world.settle()
        self.answers = 0

    def work(self, answers: int) -> None:
        """Let every replica have answered so many requests more, of 10 tokens each."""
        self.answers += answers
        counts = TokenCounts(self.answers, 0, 10 * self.answers)
        use = ReplicaUsage(0, counts.output_tokens, {1: counts})
        workers = (
            p
            for p in self.world.cluster.pods
            if p["metadata"]["labels"][names.COMPONENT] == "worker"
        )
        self.world.observe(usage={p["metadata"]["name"]: use for p in workers})

    def pass_by(self, seconds: float, answers: int = 0) -> Plan:
        """Let time pass and make one pass at its end."""
        self.work(answers)
        self.world.now += timedelta(seconds=seconds)
        plan = self.world.step()
        if plan.cost is not None:
            self.world.observe(cost=plan.cost)
        return plan

    def restart(self) -> None:
        self.world.observe(cost=None)

    @property
    def status(self) -> Any:
        return self.world.status.get("cost") or {}


def begun(**spec: Any) -> Story:
    story = Story(**spec)
    story.pass_by(60)
    return story


def test_without_prices_nothing_is_said() -> None:
    story = Story(cost=None)

    assert story.pass_by(60).cost is None
    assert "cost" not in story.world.status
    assert "BudgetExceeded" not in conditions(story.world)


def test_cost_is_told_by_revision_and_idle_apart() -> None:
    story = begun()
    before = story.status
    story.pass_by(60, answers=6)
    story.pass_by(60)
    row = story.status

    assert (row["currency"], row["month"], row["perHour"]) == ("EUR", "2026-01", "3.60")
    assert Decimal(row["monthToDate"]) - Decimal(before["monthToDate"]) == Decimal("0.12")
    assert Decimal(row["idle"]) - Decimal(before["idle"]) == Decimal("0.06")
    (revision,) = row["revisions"]
    assert revision == {
        "revision": 1,
        "arms": ["main"],
        "perHour": revision["perHour"],
        "monthToDate": "0.06",
        "perThousandRequests": "10.00",
        "perMillionOutputTokens": "1000.00",
        "requests": 6,
        "promptTokens": 0,
        "outputTokens": 60,
    }
    assert 0 < Decimal(revision["perHour"]) < Decimal("3.60")


def test_the_status_is_written_once_a_minute() -> None:
    story = begun(cost={**COST, "monthlyBudget": "1000"})
    plans = [story.pass_by(15, answers=1) for _ in range(40)]

    assert sum(plan.status is not None for plan in plans) == 10
    assert all(plan.requeue_after == 15 for plan in plans)
    assert not any(plan.apply or plan.serve or plan.remove or plan.events for plan in plans)


def test_a_budget_is_told_near_its_end_and_at_its_end_and_the_next_month_is_free() -> None:
    story = begun()
    seen, events = [], []
    for _ in range(20):
        events += story.pass_by(60, answers=1).events
        found = conditions(story.world)["BudgetExceeded"]
        if found not in seen:
            seen.append(found)
            assert story.world.cluster.pods

    assert seen == [("False", "WithinBudget"), ("False", "NearBudget"), ("True", "OverBudget")]
    assert [(e.type, e.reason) for e in events] == [
        ("Normal", "NearBudget"),
        ("Warning", "OverBudget"),
    ]
    assert "Requests are still served. Raise spec.cost.monthlyBudget" in events[1].message
    assert conditions(story.world)["Ready"] == ("True", "Serving")
    story.world.now = story.world.now.replace(month=2, day=1, hour=0, minute=0, second=30)
    story.pass_by(0)
    assert story.status["monthToDate"] == "0.03"
    assert (story.status["month"], story.status["since"]) == ("2026-02", "2026-02-01T00:00:00Z")
    assert conditions(story.world)["BudgetExceeded"] == ("False", "WithinBudget")


def test_the_message_has_the_amounts_and_how_long_the_rest_lasts() -> None:
    story = begun(cost={**COST, "monthlyBudget": "10.00"})
    story.pass_by(3600)

    said = message(story.world, "BudgetExceeded")
    spent = Decimal(story.status["monthToDate"])
    assert said.startswith(
        f"EUR {spent:.2f} of 10.00 ({int(10 * spent)} %) is spent in 2026-01. At EUR 3.60 per hour"
    )
    assert story.status["budgetPercent"] == int(10 * spent)


def test_a_restart_loses_no_money_and_only_answers_that_were_not_written() -> None:
    story = begun()
    story.pass_by(60, answers=5)
    written = story.status
    story.restart()
    story.pass_by(600, answers=7)
    after = story.status

    assert Decimal(after["monthToDate"]) - Decimal(written["monthToDate"]) == Decimal("0.6")
    assert after["revisions"][0]["requests"] == 5
    assert Decimal(after["unattributed"]) - Decimal(written["unattributed"]) == Decimal("0.6")
    assert after["since"] == written["since"]


def test_another_price_is_for_the_time_from_then_on() -> None:
    story = begun(cost={**COST, "monthlyBudget": "1000"})
    before = Decimal(story.status["monthToDate"])
    story.world.edit(cost={**COST, "perReplicaHour": "36.00"})
    story.pass_by(10)

    assert Decimal(story.status["monthToDate"]) - before == Decimal("0.1")


def test_prices_that_are_removed_take_the_status_with_them() -> None:
    story = begun()
    story.world.edit(cost=None)
    story.pass_by(10)

    assert "cost" not in story.world.status
    assert "BudgetExceeded" not in conditions(story.world)


def test_a_paused_object_still_costs() -> None:
    story = begun()
    story.world.edit(paused=True)
    before = Decimal(story.status["monthToDate"])
    story.pass_by(60)

    assert Decimal(story.status["monthToDate"]) > before


def test_a_revision_that_has_no_requests_any_more_keeps_the_name_of_its_arm() -> None:
    story = begun()
    story.pass_by(60, answers=1)
    row = story.world.cluster.status.cost
    assert row is not None
    (revision,) = row.revisions
    moved = row.model_copy(
        update={
            "revisions": (revision, revision.model_copy(update={"revision": 7, "arms": ("old",)}))
        }
    )
    story.world.observe(status=story.world.cluster.status.model_copy(update={"cost": moved}))
    story.restart()
    story.pass_by(60)

    assert [(r["revision"], r["arms"]) for r in story.status["revisions"]] == [
        (1, ["main"]),
        (7, ["old"]),
    ]


@pytest.mark.parametrize(
    ("change", "costs"),
    [
        ({"phase": "Running"}, True),
        ({"phase": "Pending"}, False),
        ({"phase": "Pending", "startTime": "2026-01-02T03:00:00Z"}, True),
        ({"phase": "Succeeded", "startTime": "2026-01-02T03:00:00Z"}, False),
        ({"phase": "Failed", "startTime": "2026-01-02T03:00:00Z"}, False),
        ({}, True),
    ],
)
def test_a_pod_costs_while_it_has_a_node(change: dict[str, Any], *, costs: bool) -> None:
    story = begun()
    made = pod("worker", "w", story.world.runtimes()[0], **change)
    story.world.pods(made)
    account = charge_pass(story.world.deployment, story.world.cluster, story.world.now)

    assert account is not None
    assert account.replicas_hour == (Decimal("3.60") if costs else 0)


def test_a_pod_that_is_bound_costs_before_its_node_has_seen_it() -> None:
    story = begun()
    made = pod("worker", "w", story.world.runtimes()[0], phase="Pending")
    made["spec"]["nodeName"] = "node-1"
    story.world.pods(made)
    account = charge_pass(story.world.deployment, story.world.cluster, story.world.now)

    assert account is not None
    assert account.replicas_hour == Decimal("3.60")


def asks(**limits: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"resources": {"limits": limits}}, {"name": "side"}]}}


def test_the_price_of_a_replica_is_that_of_its_accelerators() -> None:
    spec = CostSpec(currency="EUR", per_accelerator_hour="2.50")
    price = find_price(
        spec, asks(**{"nvidia.com/gpu": "4", "rdma/hca": "1", "cpu": "32"}), external=False
    )

    assert price.replica_hour == Decimal("10.00")
    assert find_price(spec, asks(cpu="4"), external=False).replica_hour == 0


@pytest.mark.parametrize(("external", "tokens"), [(True, ("0.15", "0.60")), (False, ("0", "0"))])
def test_only_an_api_is_paid_by_the_token(tokens: tuple[str, str], *, external: bool) -> None:
    prices = {"promptPerMillionTokens": "0.15", "outputPerMillionTokens": "0.60"}
    spec = CostSpec.model_validate({"currency": "EUR", "perReplicaHour": "1", "external": prices})
    price = find_price(spec, asks(), external=external)

    assert (price.prompt_million, price.output_million) == tuple(map(Decimal, tokens))
    assert price.replica_hour == 1


@pytest.mark.parametrize(
    "row",
    [
        None,
        {"monthToDate": "5"},
        {"currency": "EUR", "writtenAt": "yesterday"},
        {"currency": "EUR", "writtenAt": "2026-01-02T03:04:05"},
        {"writtenAt": "2026-01-02T03:04:05Z"},
    ],
)
def test_a_status_that_cannot_be_read_is_no_account(row: Any) -> None:
    assert read_account(read_status({"cost": row})) is None


def test_a_status_by_hand_makes_no_negative_cost() -> None:
    row = {
        "currency": "EUR",
        "writtenAt": "2026-01-02T03:04:05Z",
        "monthToDate": "-5",
        "idle": "NaN",
        "revisions": [{"revision": 1, "requests": -3, "monthToDate": "x"}, {"revision": "y"}],
    }
    account = read_account(read_status({"cost": row}))

    assert account is not None
    assert (account.total, account.idle, account.revisions[1].cost) == (0, 0, 0)
    assert account.revisions[1].counts == TokenCounts()


def test_a_tiny_budget_makes_a_status_that_the_api_server_takes() -> None:
    account = CostAccount("EUR", at=0.0, since=0.0, total=Decimal(10) ** 15)
    row = dump_status(Status(cost=build_cost_status(account, "0.000001", {})))["cost"]

    assert row["budgetPercent"] == 1_000_000
    assert row["monthToDate"] == "1000000000000000.00"
