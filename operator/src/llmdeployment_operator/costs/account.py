"""Charges what happened between two observations to an account.

For each replica, with the time in which it occupied its resources between the two:

    cost = price per replica and hour * seconds / 3600

- It said nothing at one of both ends: the cost is nobody's (`CostAccount.rest`).
- No token, no answer, and no request in flight at either end: the cost is idle.
- Else it was busy. What the busy replicas of a runtime cost goes to the revisions whose answers were finished in that time, by their
  shares of the output tokens. Without a finished answer it waits for the next ones.

Tokens of an API elsewhere are charged to the revision that they are counted for. The account begins anew with each calendar month (UTC).
A clock that is put back charges nothing, and a pause of the operator is charged to the replicas that are there at its end, each from its
own start.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from llmdeployment_operator.costs.rates import (
    HOUR_SECONDS,
    fade,
    price_time,
    price_tokens,
    split_by_tokens,
    start_of_month,
)
from llmdeployment_operator.costs.types import (
    IDLE,
    REST,
    ZERO,
    CostAccount,
    CostObservation,
    RecentCost,
    Replica,
    ReplicaUsage,
    RevisionAccount,
    TokenCounts,
)

MOST_REVISIONS = 32
"""Revisions that an account has rows and counters for. Of more, the oldest are dropped: their cost stays in the total."""


@dataclass
class _Charges:
    """What one interval cost, while it is added up."""

    total: Decimal = ZERO
    idle: Decimal = ZERO
    rest: Decimal = ZERO
    tokens: Decimal = ZERO
    busy: dict[str, Decimal] = field(default_factory=dict)
    """By runtime."""
    counts: dict[str, dict[int, TokenCounts]] = field(default_factory=dict)
    """By runtime and revision."""
    revisions: dict[int, Decimal] = field(default_factory=dict)


def open_account(observation: CostObservation) -> CostAccount:
    """Return the account that begins with an observation: what was before costs nothing."""
    account = CostAccount(observation.currency, observation.at, observation.at)
    return _remember(account, observation)


def advance(account: CostAccount | None, observation: CostObservation) -> CostAccount:
    """Return the account after an observation; a new one without any, or in another currency."""
    if account is None or account.currency != observation.currency:
        return open_account(observation)
    month = start_of_month(observation.at)
    if start_of_month(account.at) != month:
        account = _begin_month(account, observation.at, month)
    begin = max(account.at, month)
    charges = _Charges(busy=dict(account.pending))
    for uid, each in observation.replicas.items():
        _charge_replica(charges, account, each, account.baselines.get(uid), begin, observation.at)
    _share_busy(charges)
    return _remember(_add_charges(account, charges, observation.at - begin), observation)


def _begin_month(account: CostAccount, at: float, month: float) -> CostAccount:
    """Return the account of a new month. What a clock that was put back leaves begins at that clock's time."""
    return replace(
        account,
        at=min(account.at, at),
        since=month if account.at < month else at,
        total=ZERO,
        idle=ZERO,
        pending={},
        revisions={
            number: RevisionAccount(recent=row.recent) for number, row in account.revisions.items()
        },
    )


def _charge_replica(
    charges: _Charges,
    account: CostAccount,
    each: Replica,
    before: ReplicaUsage | None,
    begin: float,
    now: float,
) -> None:
    begin = begin if each.since is None else max(begin, each.since)
    cost = price_time(each.price, max(0.0, now - begin))
    charges.total += cost
    if before is None and each.since is not None and each.since >= account.at:
        # It began after the last observation: all that it has counted is new.
        before = ReplicaUsage(0, 0)
    if each.usage is None or before is None:
        charges.rest += cost
        return
    counts = count_new(before, each.usage)
    in_flight = before.in_flight + each.usage.in_flight
    if not in_flight and each.usage.engine_tokens == before.engine_tokens and not counts:
        charges.idle += cost
        return
    charges.busy[each.runtime] = charges.busy.get(each.runtime, ZERO) + cost
    row = charges.counts.setdefault(each.runtime, {})
    for number, new in counts.items():
        row[number] = _add_counts(row.get(number, TokenCounts()), new)
        spent = price_tokens(each.price, new)
        charges.total += spent
        charges.tokens += spent
        charges.revisions[number] = charges.revisions.get(number, ZERO) + spent


def count_new(before: ReplicaUsage, now: ReplicaUsage) -> dict[int, TokenCounts]:
    """Return what a replica has counted since, by revision; of counts that went down everything, because they began anew.

    >>> one, two = TokenCounts(2, 20, 30), TokenCounts(5, 50, 90)
    >>> count_new(ReplicaUsage(0, 0, {1: one}), ReplicaUsage(0, 0, {1: two, 2: one}))[1]
    TokenCounts(requests=3, prompt_tokens=30, output_tokens=60)
    >>> count_new(ReplicaUsage(0, 0, {1: two}), ReplicaUsage(0, 0, {1: one})) == {1: one}
    True
    >>> count_new(ReplicaUsage(0, 0, {1: two}), ReplicaUsage(0, 0, {1: two}))
    {}
    """
    found = {}
    for number, counts in now.revisions.items():
        old = before.revisions.get(number, TokenCounts())
        new = TokenCounts(
            counts.requests - old.requests,
            counts.prompt_tokens - old.prompt_tokens,
            counts.output_tokens - old.output_tokens,
        )
        if min(new.requests, new.prompt_tokens, new.output_tokens) < 0:
            new = counts
        if new != TokenCounts():
            found[number] = new
    return found


def _share_busy(charges: _Charges) -> None:
    """Give what busy replicas cost to the revisions that answered; what nobody has answered for stays pending."""
    for runtime, cost in list(charges.busy.items()):
        shares = split_by_tokens(cost, charges.counts.get(runtime, {}))
        if shares:
            del charges.busy[runtime]
        for number, share in shares.items():
            charges.revisions[number] = charges.revisions.get(number, ZERO) + share


def _add_charges(account: CostAccount, charges: _Charges, seconds: float) -> CostAccount:
    rows = dict(account.revisions)
    for number, row in rows.items():
        rows[number] = replace(row, recent=fade(row.recent, seconds))
    for counts in charges.counts.values():
        for number, new in counts.items():
            row = rows.get(number, RevisionAccount())
            rows[number] = replace(row, counts=_add_counts(row.counts, new))
    for number, cost in charges.revisions.items():
        row = rows.get(number, RevisionAccount())
        rows[number] = replace(row, cost=row.cost + cost, recent=row.recent + float(cost))
    # Requests of a revision that the replica does not know are counted for revision 0.
    kept = sorted(number for number in rows if number > 0)[-MOST_REVISIONS:]
    recent = account.recent
    return replace(
        account,
        total=account.total + charges.total,
        idle=account.idle + charges.idle,
        revisions={number: rows[number] for number in kept},
        pending=charges.busy,
        recent=RecentCost(
            fade(recent.hours, seconds) + max(0.0, seconds) / HOUR_SECONDS,
            fade(recent.idle, seconds) + float(charges.idle),
            fade(recent.tokens, seconds) + float(charges.tokens),
        ),
        ever=_add_ever(account.ever, charges, kept),
    )


def _add_ever(
    before: Mapping[str, Decimal], charges: _Charges, kept: Iterable[int]
) -> dict[str, Decimal]:
    """Return the counters. They only grow: a cost that waits for an answer is counted when it has one.

    A revision without a row has no counter either, so that there are not more and more of them. What it still costs is nobody's.
    """
    rows = {str(number) for number in kept}
    charged = {str(number): cost for number, cost in charges.revisions.items()}
    lost = sum((cost for name, cost in charged.items() if name not in rows), ZERO)
    new = {name: cost for name, cost in charged.items() if name in rows}
    new |= {IDLE: charges.idle, REST: charges.rest + lost}
    names = (before.keys() & rows) | new.keys()
    return {name: before.get(name, ZERO) + new.get(name, ZERO) for name in names}


def _remember(account: CostAccount, observation: CostObservation) -> CostAccount:
    """Return the account with what the next observation is compared with."""
    baselines = {
        uid: usage
        for uid, each in observation.replicas.items()
        if (usage := each.usage or account.baselines.get(uid)) is not None
    }
    whole = sum((each.price.replica_hour for each in observation.replicas.values()), ZERO)
    return replace(account, at=observation.at, baselines=baselines, replicas_hour=whole)


def _add_counts(one: TokenCounts, other: TokenCounts) -> TokenCounts:
    return TokenCounts(
        one.requests + other.requests,
        one.prompt_tokens + other.prompt_tokens,
        one.output_tokens + other.output_tokens,
    )
