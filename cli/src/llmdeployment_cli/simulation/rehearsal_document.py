"""What a rehearsal comes down to, for programs, and the sentences that say what was assumed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmdeployment_cli.times import format_span
from llmdeployment_operator.rehearsal.harms import SAME
from llmdeployment_operator.rehearsal.report import Case, Chance, Spread
from llmdeployment_operator.rehearsal.run import Outcome, World

HOUR = 3600.0


@dataclass(frozen=True)
class Rehearsal:
    """Runs of one rollout with several kinds of canaries, the one that does no harm among them."""

    world: World
    cases: Sequence[Case]
    trace: str
    speed: float
    runs: int
    seed: int

    @property
    def same(self) -> Case:
        """The runs of a canary that does no harm."""
        return next(case for case in self.cases if case.harm.name == SAME)

    @property
    def source(self) -> str:
        """The trace without its folder."""
        return Path(self.trace).name

    @property
    def most(self) -> int:
        """Replicas that existed at the same time, at most."""
        return max(ending.most for case in self.cases for ending in case.endings)

    @property
    def rounds(self) -> float:
        """How many times the longest run went through the trace."""
        longest = max(ending.until for case in self.cases for ending in case.endings)
        return longest / self.world.traffic.seconds

    def spread_hours(self, accelerators: int = 1) -> Spread:
        """Return the replica-hours, or accelerator-hours, that a rollout of the same canary costs beyond the usual."""
        seconds = self.same.spread(lambda ending: ending.extra_seconds)
        return Spread(*(each * accelerators / HOUR for each in seconds))


def summarize_rehearsal(found: Rehearsal) -> dict[str, Any]:
    """Return the document that `-o` prints. The keys are always there; times are in seconds, shares from 0 to 1."""
    world, change = found.world, found.world.change
    return {
        "name": change.name,
        "strategy": change.policy.strategy,
        "trace": {
            "name": found.source,
            "requests": len(world.traffic.times),
            "seconds": round(world.traffic.seconds, 1),
            "requestsPerSecond": round(world.traffic.rate, 3),
            "rounds": round(found.rounds, 2),
        },
        "assumed": {
            "users": world.users,
            "correlation": world.correlation,
            "warmUpSeconds": world.warm_up,
            "replicas": change.replicas,
            "stablePercent": _as_percent(world.stable),
            "limitSeconds": world.limit,
        },
        "runs": found.runs,
        "seed": found.seed,
        "replicas": {"most": found.most, "extraHours": _as_spread(found.spread_hours(), 3)},
        "accelerators": {
            name: {
                "most": found.most * each,
                "extraHours": _as_spread(found.spread_hours(each), 3),
            }
            for name, each in change.accelerators.items()
        },
        "canaries": [_summarize_case(case) for case in found.cases],
        "notes": list(write_notes(found)),
    }


def _summarize_case(case: Case) -> dict[str, Any]:
    counts = {outcome.value: case.count(outcome) for outcome in Outcome}
    return {
        "harm": case.harm.name,
        "compared": case.compared or case.harm.name == SAME,
        "runs": counts,
        "falseAlarm": _as_chance(case.wrong) if case.harm.name == SAME else None,
        "missed": _as_chance(case.wrong) if case.harm.name != SAME else None,
        "secondsToPromotion": _as_spread(case.spread_time(Outcome.PROMOTED)),
        "secondsToRollback": _as_spread(case.spread_time(Outcome.ROLLED_BACK)),
        "usersExposed": _as_spread(case.spread(lambda ending: ending.users)),
        "requestsExposed": _as_spread(case.spread(lambda ending: ending.requests)),
        "steps": [
            {"percent": weight, "runs": runs, "seconds": _as_spread(times)}
            for weight, times, runs in case.spread_steps()
        ],
        "lastMessage": case.endings[-1].message,
    }


def _as_spread(spread: Spread | None, digits: int = 0) -> dict[str, float] | None:
    if spread is None:
        return None
    return {name: round(value, digits) for name, value in spread._asdict().items()}


def _as_chance(chance: Chance) -> dict[str, float]:
    return {name: round(value, 4) for name, value in chance._asdict().items()}


def _as_percent(shares: Mapping[str, float]) -> dict[str, float]:
    return {metric: round(100 * share, 3) for metric, share in shares.items()}


def write_notes(found: Rehearsal) -> Iterator[str]:
    """Yield the sentences that say what was assumed, and what this rehearsal cannot say."""
    world, policy = found.world, found.world.change.policy
    yield (
        f"{world.users:,} users by Zipf's law; two requests of one user are correlated by {world.correlation:g}. "
        "Each run has other users in the canary's buckets."
    )
    if world.stable:
        shares = ", ".join(f"{key} {100 * each:.3g} %" for key, each in world.stable.items())
        yield (
            f"Bad requests of the stable revision: {shares}. A latency is lognormal with sigma 1. "
            "Prompts of all lengths are compared as one."
        )
    yield (
        f"{world.change.replicas} replicas carry all requests, and the change needs replicas of its own, "
        f"which are ready after {format_span(world.warm_up)}."
    )
    if policy.analysis is None and policy.strategy == "Canary":
        yield (
            "spec.rollout.analysis is missing, so no harm would be noticed. Only the steps are rehearsed."
        )
    elif policy.analysis is None:
        yield "BlueGreen moves all requests at once and compares nothing, so no harm would be noticed."
    elif not policy.steps or not any(step.analysis for step in policy.steps):
        yield "No step has analysis: true, so a canary without a verdict is promoted as well."
    yield from _write_limits(found)


def _write_limits(found: Rehearsal) -> Iterator[str]:
    world, policy = found.world, found.world.change.policy
    for case in found.cases:
        if world.stable and not case.compared and case.harm.name != SAME:
            missing = ", ".join(sorted(case.harm.metrics))
            yield f"{case.harm.name}: spec.rollout.analysis does not compare {missing}, or it is no worse, so nothing notices it."
    if found.rounds > 1:
        yield (
            f"The trace lasts {format_span(world.traffic.seconds)} and was repeated: "
            f"the longest run took {found.rounds:.1f} times as long."
        )
    if world.traffic.cut:
        yield f"Only the first {len(world.traffic.times):,} requests of the trace were used."
    if any(step.pause is not None and step.pause.duration is None for step in policy.steps):
        yield "A step that waits for a person is promoted as soon as its analysis passes, or at once without one."
    if not world.change.keeps_users:
        yield "With an HTTPRoute users do not stay with a revision. They are rehearsed as if they did."
    gates = {"golden set": policy.evaluation, "shadow": policy.shadow}
    for gate in (name for name, asked in gates.items() if asked is not None):
        yield f"The {gate} is taken for passed at once."
    if any(case.count(Outcome.UNDECIDED) for case in found.cases):
        yield f"A rollout that has no end after {format_span(world.limit)} counts as undecided."
    window = world.change.warm_window
    if window and policy.max_surge is None:
        yield f"The hours include {format_span(window)} in which the previous revision is kept warm (rollbackWindow)."
