"""Which requests of an experiment are compared: those of revisions that have an arm for themselves, under the weights of the spec."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from llmdeployment_operator.analysis.comparison import Analysis, collect_counts
from llmdeployment_operator.analysis.counts import CACHED, RevisionCounts
from llmdeployment_operator.analysis.power_plan import UserGrowth
from llmdeployment_operator.api.experiment import ExperimentSpec
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.costs.spending import PairSpending, continue_spending
from llmdeployment_operator.costs.types import CostAccount
from llmdeployment_operator.plan.base.routes import Route, sum_weights

WRITE_SECONDS = 30.0
"""How often counts are written: an operator that starts again has missed no more."""


@dataclass(frozen=True)
class Situation:
    """Whose requests an arm and the control have now.

    Attributes:
        revision: the arm's, None while it cannot be told apart.
        control: the control's, None while it cannot be told apart.
        pause: why nothing is counted, or nothing.
    """

    revision: int | None
    control: int | None
    pause: str = ""


@dataclass(frozen=True)
class ArmCounts:
    """What was counted of an arm and of the control meanwhile.

    Attributes:
        name: of the arm.
        since: when counting began.
        revision: the arm's revision whose requests these are.
        control: the control's.
        counting: whether the requests since the last look count.
        message: why they do not, or why counting began anew.
        evidence: the counts.
        growth: whether users come back.
        cost: what both spent meanwhile, with `spec.cost`.
    """

    name: str
    since: datetime
    revision: int | None = None
    control: int | None = None
    counting: bool = False
    message: str = ""
    evidence: Analysis = field(default_factory=Analysis)
    growth: UserGrowth = field(default_factory=UserGrowth)
    cost: PairSpending | None = None

    def is_in(self, now: Situation) -> bool:
        """Say whether these are counts of this situation, and nothing of it is new."""
        if now.pause:
            return not self.counting and self.message == now.pause
        return self.counting and (self.revision, self.control) == (now.revision, now.control)


def find_situations(
    deployment: LLMDeployment,
    spec: ExperimentSpec,
    routes: tuple[Route, ...],
    applied: bool,  # noqa: FBT001  # because it is a fact about the routes, not a choice of the caller
) -> dict[str, Situation]:
    """Return the situation of every other arm, by name and in the order of the spec.

    Args:
        deployment: has the arms.
        spec: names the control.
        routes: as the routes ConfigMap has them.
        applied: whether every gateway routes by them.
    """
    weights = {arm.name: arm.weight for arm in deployment.spec.arms}
    waits = ""
    if not applied:
        waits = "The gateways have not applied the routes yet."
    elif list(sum_weights(routes).items()) != list(weights.items()):
        waits = "The arms do not have the weights of the spec yet."
    control, lacks = _find_revision(routes, spec.control)
    found = {}
    for name in weights:
        if name == spec.control:
            continue
        revision, lack = _find_revision(routes, name)
        pause = waits or lacks or lack
        if not pause and revision == control:
            pause = f"Arm {name} and the control have the same revision, so nobody can tell their requests apart."
        found[name] = Situation(revision, control, pause)
    return found


def _find_revision(routes: tuple[Route, ...], arm: str) -> tuple[int | None, str]:
    """Return the revision that has an arm's requests, or why it cannot be told."""
    rows = [route for route in routes if route.arm == arm]
    if len(rows) > 1:
        return None, f"Arm {arm} has a canary."
    if not rows:
        return None, f"Arm {arm} has no requests yet."
    number = rows[0].revision
    others = [route.arm for route in routes if route.revision == number and route.arm != arm]
    if others:
        return (
            None,
            f"Arms {arm} and {others[0]} share revision {number}, so nobody can tell their requests apart.",
        )
    return number, ""


def count(
    before: ArmCounts,
    situation: Situation,
    fresh: RevisionCounts,
    users: Mapping[int, int],
    seconds: float,
    now: datetime,
) -> ArmCounts:
    """Return the counts of an arm after a look.

    Requests since the last look are added only if the situation was the same then: a mixture of two is never counted.

    Args:
        before: what was counted so far.
        situation: that of now.
        fresh: requests since the last look, by revision.
        users: how many users had requests so far, by revision.
        seconds: since the last look.
        now: the current time, UTC.
    """
    if situation.pause or situation.revision is None or situation.control is None:
        return replace(before, counting=False, message=situation.pause)
    pair = (situation.control, situation.revision)
    if (before.control, before.revision) != pair:
        return ArmCounts(
            before.name,
            now,
            situation.revision,
            situation.control,
            counting=True,
            message=_explain_restart(before, situation),
        )
    if not before.counting:
        return replace(before, counting=True, message="")
    # The clock may have been put back.
    elapsed = before.evidence.seconds + int(max(0.0, seconds))
    evidence = collect_counts(before.evidence, fresh, pair, users, elapsed, past={})
    growth = before.growth.extend(sum(evidence.users), elapsed)
    return replace(before, evidence=evidence, growth=growth)


def count_cost(before: ArmCounts, counted: ArmCounts, account: CostAccount | None) -> ArmCounts:
    """Return what was counted with what was spent meanwhile: of the time whose requests were counted, and of no other.

    Args:
        before: up to the last look.
        counted: up to now.
        account: up to now, None without `spec.cost`.
    """
    if account is None or counted.control is None or counted.revision is None:
        return replace(counted, cost=None)
    same = (before.control, before.revision) == (counted.control, counted.revision)
    spent = continue_spending(
        before.cost if same else None,
        account,
        counted.control,
        counted.revision,
        counts=before.counting and counted.counting,
    )
    return replace(counted, cost=spent)


def find_price_ratios(counted: Iterable[ArmCounts]) -> dict[str, float]:
    """Return the price of each arm's tokens, divided by that of the control's, as both were while requests were counted."""
    found = {}
    for arm in counted:
        own = arm.cost.arm.per_million_tokens if arm.cost is not None else None
        other = arm.cost.control.per_million_tokens if arm.cost is not None else None
        if own and other:
            found[arm.name] = float(own / other)
    return found


def has_requests(counts: ArmCounts, fresh: RevisionCounts) -> bool:
    """Say whether an arm or its control had requests since the last look."""
    return any(
        found.total
        for number in (counts.control, counts.revision)
        for key, found in fresh.get(number or 0, {}).items()
        if key.metric != CACHED
    )


def _explain_restart(before: ArmCounts, now: Situation) -> str:
    if before.revision is None:
        return ""
    who, old, new = "Arm " + before.name, before.revision, now.revision
    if old == new:
        who, old, new = "The control", before.control or 0, now.control
    return f"{who} now has revision {new} instead of {old}, so counting began anew."
