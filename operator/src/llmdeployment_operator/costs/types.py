"""What the account of an LLMDeployment's cost is given, and what it keeps; no arithmetic here.

Amounts of money are `Decimal`, of one currency. Times are seconds since 1970 by the operator's clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(frozen=True)
class TokenCounts:
    """Answered requests and their tokens: cumulative since a replica began, or the difference of two such counts."""

    requests: int = 0
    prompt_tokens: int = 0
    """Of the answers that report them."""
    output_tokens: int = 0


@dataclass(frozen=True)
class ReplicaUsage:
    """What one replica says of its work.

    Attributes:
        in_flight: requests that it has not answered in full.
        engine_tokens: tokens of prompts and answers that its engine has handled since it began, unfinished answers included.
        revisions: cumulative counts, by revision.
    """

    in_flight: int
    engine_tokens: int
    revisions: Mapping[int, TokenCounts] = field(default_factory=dict)


@dataclass(frozen=True)
class Price:
    """What the replicas of one runtime cost.

    Attributes:
        replica_hour: of one replica for one hour.
        prompt_million: of 1,000,000 tokens of prompts, beside the time.
        output_million: of 1,000,000 tokens of answers, beside the time.
    """

    replica_hour: Decimal = ZERO
    prompt_million: Decimal = ZERO
    output_million: Decimal = ZERO


@dataclass(frozen=True)
class Replica:
    """One pod that occupies its resources.

    Attributes:
        runtime: hash of its runtime.
        price: what it costs.
        since: when it began to occupy them; None if that is not known.
        usage: what it says; None while it says nothing.
    """

    runtime: str
    price: Price
    since: float | None = None
    usage: ReplicaUsage | None = None


@dataclass(frozen=True)
class CostObservation:
    """The replicas at one moment, by uid of the pod."""

    at: float
    currency: str
    replicas: Mapping[str, Replica]


@dataclass(frozen=True)
class RevisionAccount:
    """What a revision has cost this month, and for what."""

    cost: Decimal = ZERO
    counts: TokenCounts = TokenCounts()
    recent: float = 0.0
    """Cost, fading by `rates.FADING_SECONDS`."""


@dataclass(frozen=True)
class RecentCost:
    """What the last minutes cost, fading by `rates.FADING_SECONDS`; in memory alone.

    Attributes:
        hours: the time it is about.
        idle: cost of idle replicas.
        tokens: cost of tokens.
    """

    hours: float = 0.0
    idle: float = 0.0
    tokens: float = 0.0


@dataclass(frozen=True)
class CostAccount:
    """What one LLMDeployment has cost since its month began.

    `total` is `idle`, the revisions' costs, and the rest, which no revision can be asked for.

    Attributes:
        currency: of all amounts.
        at: up to when everything is counted.
        since: when this account began.
        total: all of it.
        idle: cost of ready replicas without a request.
        revisions: by number.
        replicas_hour: what the replicas that exist cost per hour.
        recent: what the last minutes cost.
        pending: cost of busy replicas that no finished answer has taken yet, by runtime; in memory alone.
        baselines: the last usage of each replica, by uid of its pod; in memory alone.
        ever: cost since the operator started, by revision; under IDLE and REST what no revision has; in memory alone.
    """

    currency: str
    at: float
    since: float
    total: Decimal = ZERO
    idle: Decimal = ZERO
    revisions: Mapping[int, RevisionAccount] = field(default_factory=dict)
    replicas_hour: Decimal = ZERO
    recent: RecentCost = RecentCost()
    pending: Mapping[str, Decimal] = field(default_factory=dict)
    baselines: Mapping[str, ReplicaUsage] = field(default_factory=dict)
    ever: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def rest(self) -> Decimal:
        """What no revision has and is not idle, never below 0: amounts that were written are rounded."""
        return max(ZERO, self.total - self.idle - sum(r.cost for r in self.revisions.values()))


IDLE, REST = "idle", "unattributed"
"""In the place of a revision: time without a request, and what nobody can be asked for."""
