"""What an arm and the control spent between looks at an account."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_operator.costs.spending import (
    PairSpending,
    Spending,
    begin_spending,
    continue_spending,
)
from llmdeployment_operator.costs.types import CostAccount, RevisionAccount, TokenCounts

NOVEMBER, DECEMBER = 1_764_000_000.0, 1_764_600_000.0
CONTROL, ARM = 1, 2


def account(
    control: Spending, arm: Spending, at: float = NOVEMBER, currency: str = "EUR"
) -> CostAccount:
    rows = {
        number: RevisionAccount(each.cost, TokenCounts(each.requests, 0, each.output_tokens))
        for number, each in ((CONTROL, control), (ARM, arm))
    }
    return CostAccount(currency, at=at, since=0.0, revisions=rows)


def spend(cost: str, requests: int, tokens: int) -> Spending:
    return Spending(Decimal(cost), requests, tokens)


def look(before: PairSpending | None, found: CostAccount, *, counts: bool = True) -> PairSpending:
    return continue_spending(before, found, CONTROL, ARM, counts=counts)


BEGUN = begin_spending(account(spend("10", 100, 900), spend("20", 50, 400)), CONTROL, ARM)


def test_what_was_before_does_not_count() -> None:
    assert BEGUN.arm == BEGUN.control == Spending()
    now = look(BEGUN, account(spend("13", 160, 1500), spend("21", 90, 500)))
    assert (now.control, now.arm) == (spend("3", 60, 600), spend("1", 40, 100))
    assert now.control.per_thousand_requests == 50
    assert now.control.per_million_tokens == 5000
    assert now.arm.per_thousand_requests == 25
    assert now.arm.per_million_tokens == 10_000


def test_a_pause_is_left_out() -> None:
    paused = look(BEGUN, account(spend("13", 160, 1500), spend("21", 90, 500)), counts=False)
    assert paused.arm == paused.control == Spending()
    now = look(paused, account(spend("14", 170, 1600), spend("22", 91, 510)))
    assert (now.control, now.arm) == (spend("1", 10, 100), spend("1", 1, 10))


def test_a_month_that_begins_loses_no_sum() -> None:
    before = look(BEGUN, account(spend("13", 160, 1500), spend("21", 90, 500)))
    now = look(before, account(spend("2", 5, 50), spend("1", 3, 30), at=DECEMBER))
    assert (BEGUN.month, now.month) == ("2025-11", "2025-12")
    assert (now.control, now.arm) == (spend("5", 65, 650), spend("2", 43, 130))


def test_an_account_of_a_minute_ago_is_not_counted_twice() -> None:
    before = look(BEGUN, account(spend("13", 160, 1500), spend("21", 90, 500)))
    restarted = look(before, account(spend("12.5", 150, 1400), spend("20.9", 88, 490)))
    assert (restarted.control, restarted.arm) == (before.control, before.arm)
    now = look(restarted, account(spend("13.5", 170, 1600), spend("21", 90, 500)))
    assert now.control == spend("4", 80, 800)


def test_another_currency_begins_anew() -> None:
    before = look(BEGUN, account(spend("13", 160, 1500), spend("21", 90, 500)))
    now = look(before, account(spend("1", 10, 100), spend("1", 10, 100), currency="USD"))
    assert (now.currency, now.arm, now.control) == ("USD", Spending(), Spending())


def test_a_revision_without_a_row_has_spent_nothing() -> None:
    empty = CostAccount("EUR", at=NOVEMBER, since=0.0)
    assert look(None, empty).arm_seen == Spending()
    assert Spending().per_thousand_requests is Spending().per_million_tokens is None


steps = st.tuples(
    st.decimals("0", "5", places=9), st.integers(0, 1000), st.integers(0, 10**6), st.booleans()
)


@given(st.lists(steps, max_size=12))
def test_sums_are_those_of_the_looks_that_count(
    found: list[tuple[Decimal, int, int, bool]],
) -> None:
    whole, counted = Spending(), Spending()
    now = look(None, account(whole, whole))
    for cost, requests, tokens, counts in found:
        step = Spending(cost, requests, tokens)
        whole = whole.plus(step)
        counted = counted.plus(step) if counts else counted
        now = look(now, account(whole, whole), counts=counts)
    assert now.arm == now.control
    assert now.arm.requests == counted.requests
    assert now.arm.output_tokens == counted.output_tokens
    assert float(now.arm.cost) == pytest.approx(float(counted.cost), abs=1e-5)
