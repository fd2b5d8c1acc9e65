"""The account of cost: hours and tokens in, amounts out, to the last digit."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_operator.costs.account import MOST_REVISIONS, advance
from llmdeployment_operator.costs.rates import MILLION, cost_per, rate_per_hour, token_rate
from llmdeployment_operator.costs.types import (
    IDLE,
    REST,
    CostAccount,
    CostObservation,
    Price,
    Replica,
    ReplicaUsage,
    TokenCounts,
)

PAGE = Path(__file__).parents[4] / "docs/concepts/cost.md"
START = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
GPU = Price(replica_hour=Decimal("3.60"))
"""0.001 a second."""
API = Price(prompt_million=Decimal("0.15"), output_million=Decimal("0.60"))


def usage(in_flight: int = 0, engine: int = 0, **revisions: tuple[int, int, int]) -> ReplicaUsage:
    rows = {int(name[1:]): TokenCounts(*counts) for name, counts in revisions.items()}
    return ReplicaUsage(in_flight, engine, rows)


def look(seconds: float, currency: str = "EUR", **replicas: Replica) -> CostObservation:
    return CostObservation(START + seconds, currency, replicas)


def gpu(
    use: ReplicaUsage | None = None, since: float | None = -1000, runtime: str = "a"
) -> Replica:
    return Replica(runtime, GPU, None if since is None else START + since, use)


def run(*looks: CostObservation) -> CostAccount:
    account = None
    for each in looks:
        account = advance(account, each)
    assert account is not None
    return account


def costs(account: CostAccount) -> dict[int, Decimal]:
    return {number: row.cost for number, row in account.revisions.items()}


def test_an_account_begins_with_the_prices_and_charges_nothing_of_before() -> None:
    account = run(look(0, a=gpu(usage(r1=(9, 90, 900)))))

    assert (account.total, account.since, account.revisions) == (0, START, {})
    assert account.replicas_hour == Decimal("3.60")


def test_a_replica_without_a_request_is_idle() -> None:
    same = gpu(usage(engine=50, r1=(9, 90, 900)))
    account = run(look(0, a=same), look(100, a=same))

    assert (account.total, account.idle, account.rest) == (Decimal("0.1"), Decimal("0.1"), 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (usage(in_flight=1), usage()),
        (usage(), usage(in_flight=1)),
        (usage(engine=1), usage(engine=2)),
        (usage(r1=(1, 0, 5)), usage(r1=(2, 0, 9))),
    ],
    ids=["in flight before", "in flight now", "tokens of the engine", "answers"],
)
def test_a_replica_that_works_is_not_idle(before: ReplicaUsage, after: ReplicaUsage) -> None:
    account = run(look(0, a=gpu(before)), look(100, a=gpu(after)))

    assert (account.total, account.idle) == (Decimal("0.1"), 0)


def test_revisions_on_one_runtime_share_by_output_tokens_and_another_runtime_does_not() -> None:
    account = run(
        look(0, a=gpu(usage()), b=gpu(usage()), c=gpu(usage(), runtime="other")),
        look(
            100,
            a=gpu(usage(r1=(10, 0, 300))),
            b=gpu(usage(r1=(1, 0, 300), r2=(1, 0, 200))),
            c=gpu(usage(r3=(1, 0, 1)), runtime="other"),
        ),
    )

    # 200 replica-seconds of runtime a are 0.2, of which revision 1 has 600 of 800 tokens.
    assert costs(account) == {1: Decimal("0.15"), 2: Decimal("0.05"), 3: Decimal("0.1")}
    assert account.revisions[1].counts == TokenCounts(11, 0, 600)
    assert account.rest == 0


def test_what_no_answer_was_finished_in_waits_for_the_next_answer() -> None:
    looks = [
        look(0, a=gpu(usage())),
        look(50, a=gpu(usage(in_flight=1, engine=40))),
        look(100, a=gpu(usage(engine=90, r1=(1, 0, 90)))),
    ]

    assert (run(*looks[:2]).rest, costs(run(*looks[:2]))) == (Decimal("0.05"), {})
    assert (run(*looks).rest, costs(run(*looks))) == (0, {1: Decimal("0.1")})


def test_a_replica_that_is_starting_or_silent_is_nobody_s() -> None:
    account = run(look(0, a=gpu(None)), look(10, a=gpu(None)), look(20, a=gpu(usage())))

    assert (account.total, account.idle, account.rest) == (Decimal("0.02"), 0, Decimal("0.02"))
    assert account.ever == {IDLE: 0, REST: Decimal("0.02")}


def test_a_replica_counts_from_its_start_and_all_that_it_has_answered_since() -> None:
    account = run(look(0), look(100, a=gpu(usage(r1=(2, 0, 10)), since=60)))

    assert costs(account) == {1: Decimal("0.04")}
    assert account.revisions[1].counts.requests == 2


def test_a_replica_of_unknown_start_counts_for_all_of_the_time() -> None:
    assert run(look(0), look(100, a=gpu(since=None))).total == Decimal("0.1")


def test_a_silent_moment_loses_no_answers() -> None:
    account = run(
        look(0, a=gpu(usage(r1=(1, 0, 10)))),
        look(10, a=gpu(None)),
        look(20, a=gpu(usage(r1=(4, 0, 40)))),
    )

    assert account.revisions[1].counts == TokenCounts(3, 0, 30)
    assert (costs(account), account.rest) == ({1: Decimal("0.01")}, Decimal("0.01"))


def test_a_container_that_began_anew_counts_from_0() -> None:
    account = run(look(0, a=gpu(usage(r1=(9, 0, 90)))), look(10, a=gpu(usage(r1=(2, 0, 20)))))

    assert account.revisions[1].counts == TokenCounts(2, 0, 20)


def test_tokens_of_an_api_are_charged_beside_the_time() -> None:
    before, after = usage(), usage(r1=(2000, 1_000_000, 200_000))
    price = replace(API, replica_hour=Decimal("3.60"))
    account = run(
        look(0, a=Replica("x", price, START, before)), look(10, a=Replica("x", price, START, after))
    )

    # 0.15 + 0.12 for the tokens, 0.01 for the time.
    assert costs(account) == {1: Decimal("0.28")}
    assert account.total == Decimal("0.28")
    assert token_rate(account.recent) == pytest.approx(Decimal("97.2"))


def test_requests_of_an_unknown_revision_are_in_the_total_alone() -> None:
    account = run(
        look(0, a=Replica("x", API, START, usage())),
        look(10, a=Replica("x", API, START, usage(r0=(1, 0, 1_000_000)))),
    )

    assert (account.total, account.rest, account.revisions) == (Decimal("0.6"), Decimal("0.6"), {})
    assert account.ever == {IDLE: 0, REST: Decimal("0.6")}


def test_a_clock_that_is_put_back_charges_nothing_and_then_goes_on() -> None:
    same = gpu(usage())
    account = run(look(0, a=same), look(100, a=same), look(-200, a=same))
    assert account.total == Decimal("0.1")
    assert advance(account, look(-190, a=same)).total == Decimal("0.11")


def test_a_pause_of_the_operator_is_charged_to_who_is_there_at_its_end() -> None:
    account = run(
        look(0, a=gpu(usage()), b=gpu(usage())),
        look(7200, a=gpu(usage()), c=gpu(usage(), since=7100)),
    )

    assert account.total == Decimal("7.2") + Decimal("0.1")


def test_a_month_begins_at_0_and_charges_only_what_is_its_own() -> None:
    december = datetime(2026, 12, 1, tzinfo=UTC).timestamp() - START
    same = gpu(usage(r1=(1, 0, 1)), since=-1e6)
    november = run(look(0, a=same), look(december - 30, a=same))
    account = advance(november, look(december + 10, a=same))

    assert november.total == Decimal("561.57")
    assert (account.total, account.since) == (Decimal("0.01"), START + december)
    assert account.ever[IDLE] == november.ever[IDLE] + Decimal("0.01")
    back = advance(account, look(december - 5, a=same))
    assert (back.total, back.since) == (0, START + december - 5)


def test_another_currency_begins_anew() -> None:
    account = run(
        look(0, a=gpu(usage())), look(10, a=gpu(usage())), look(20, "USD", a=gpu(usage()))
    )

    assert (account.currency, account.total, account.since) == ("USD", 0, START + 20)


def test_the_oldest_of_too_many_revisions_stay_in_the_total() -> None:
    rows = {f"r{number}": (1, 0, 10) for number in range(1, MOST_REVISIONS + 3)}
    account = run(look(0, a=gpu(usage())), look(34, a=gpu(usage(**rows))))

    assert sorted(account.revisions) == list(range(3, MOST_REVISIONS + 3))
    assert account.total == Decimal("0.034")
    assert account.rest == Decimal("0.002")
    # There is a counter for each row, and what has none is nobody's: together they are all that was spent.
    assert account.ever.keys() == {IDLE, REST, *map(str, account.revisions)}
    assert (account.ever[REST], sum(account.ever.values())) == (Decimal("0.002"), account.total)
    newer = usage(**rows, r99=(1, 0, 10))
    later = advance(account, look(35, a=gpu(newer)))
    assert account.ever.keys() - later.ever.keys() == {"3"}
    assert later.ever["4"] == account.ever["4"]


def test_rates_say_the_last_ten_minutes() -> None:
    busy = [look(n * 15, a=gpu(usage(r1=(n, 0, n)))) for n in range(41)]
    account = run(*busy)
    hours = account.recent.hours
    assert rate_per_hour(account.revisions[1].recent, hours) == pytest.approx(Decimal("3.6"))
    assert rate_per_hour(account.recent.idle, hours) == 0
    for n in range(41, 81):
        account = advance(account, look(n * 15, a=gpu(usage(r1=(40, 0, 40)))))
    # Ten minutes without a request: 1/e of the hours before are left in both parts of the rate.
    hours = account.recent.hours
    assert 0.9 < rate_per_hour(account.revisions[1].recent, hours) < 1.0
    assert 2.6 < rate_per_hour(account.recent.idle, hours) < 2.7


COUNTS = st.tuples(st.integers(0, 50), st.integers(0, 5000), st.integers(0, 5000))
USAGE = st.none() | st.builds(
    lambda flight, engine, one, two: usage(flight, engine, r0=one, r1=two, r2=one),
    st.integers(0, 3),
    st.integers(0, 100),
    COUNTS,
    COUNTS,
)
REPLICA = st.builds(
    lambda use, since, runtime, price: Replica(runtime, price, since and START + since, use),
    USAGE,
    st.none() | st.floats(-5000, 5000),
    st.sampled_from(["a", "x"]),
    st.sampled_from([GPU, API, Price()]),
)
LOOKS = st.lists(
    st.builds(
        lambda at, replicas: look(at, **replicas),
        st.floats(-4e6, 4e6),
        st.dictionaries(st.sampled_from("abcd"), REPLICA),
    ),
    min_size=2,
    max_size=12,
)


@given(LOOKS)
def test_nothing_is_negative_lost_or_charged_twice(looks: list[CostObservation]) -> None:
    account, ever = None, {}
    for each in looks:
        account = advance(account, each)
        parts = (account.idle, account.rest, *costs(account).values(), *account.pending.values())
        assert min(parts) >= 0
        assert account.idle + account.rest + sum(costs(account).values()) == pytest.approx(
            account.total, abs=Decimal("1e-15")
        )
        assert all(cost >= ever.get(name, 0) for name, cost in account.ever.items())
        ever = dict(account.ever)


def write(amount: Decimal | None) -> str:
    return f"{amount:f}".rstrip("0")


def test_the_worked_example_of_the_page() -> None:
    """docs/concepts/cost.md: two replicas at 2.50, one of them idle for half an hour, two prompts on both."""
    price = Price(replica_hour=Decimal("2.50"))
    first, second = usage(), usage()
    account = advance(
        None, look(0, a=Replica("a", price, START, first), b=Replica("a", price, START, second))
    )
    # Three to one at any time: 225,000 and 75,000 tokens, then 75,000 and 25,000 by the first replica alone.
    second = usage(engine=1, r1=(400, 0, 100_000), r2=(400, 0, 40_000))
    for half, one, two in (
        (1, (400, 0, 125_000), (400, 0, 35_000)),
        (2, (600, 0, 200_000), (600, 0, 60_000)),
    ):
        busy, other = usage(engine=half, r1=one, r2=two), Replica("a", price, START, second)
        account = advance(account, look(1800 * half, a=Replica("a", price, START, busy), b=other))

    assert (account.total, account.idle, account.rest) == (Decimal(5), Decimal("1.25"), 0)
    counts = {number: row.counts for number, row in account.revisions.items()}
    assert counts == {1: TokenCounts(1000, 0, 300_000), 2: TokenCounts(1000, 0, 100_000)}
    page = PAGE.read_text(encoding="utf-8")
    for number, row in account.revisions.items():
        thousand = cost_per(row.cost, row.counts.requests, 1000)
        million = cost_per(row.cost, row.counts.output_tokens, MILLION)
        tokens = f"{row.counts.output_tokens:,}"
        assert (
            f"| {number} | 1,000 | {tokens} | {write(row.cost)} | {write(thousand)} | {write(million)} |"
            in page
        )
