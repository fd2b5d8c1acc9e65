"""Several runs of one trace side by side: scalers against each other, and one scaler over other targets."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from llmdeployment_operator.autoscaler.types import BOUNDS, ScalingPolicy, Target
from llmdeployment_operator.simulation import clairvoyant
from llmdeployment_operator.simulation.profile import Profile
from llmdeployment_operator.simulation.result import Result
from llmdeployment_operator.simulation.run import Scaler, simulate
from llmdeployment_operator.simulation.scalers import Heard, fixed, own_law
from llmdeployment_operator.simulation.trace import Request

Traffic = Callable[[], Iterable[Request]]
"""Begins the same trace again."""


@dataclass(frozen=True)
class Setting:
    """What all runs have in common."""

    traffic: Traffic
    profile: Profile
    policy: ScalingPolicy
    floor: Callable[[float], int] | None = None
    """Raises the law's minimum by the time since the start of the trace, as schedules do; other scalers have none."""

    def law(self, heard: Heard | None = None) -> Scaler:
        """Return the operator's law, which remembers nothing yet."""
        return own_law(self.policy, heard, self.floor)

    def run(self, scaler: Scaler, initial: int | None = None) -> Result:
        """Return what `scaler` makes of it; it begins with the policy's minimum."""
        return simulate(
            self.traffic(),
            self.profile,
            scaler,
            initial=self.policy.minimum if initial is None else initial,
            maximum=self.policy.maximum,
        )


@dataclass(frozen=True)
class Outcome:
    """What a run comes down to."""

    name: str
    targets: tuple[Target, ...]
    attainments: tuple[float, ...]
    """By target."""
    good: float
    """Share of the requests within all targets."""
    mean_replicas: float
    replica_hours: float
    output_tokens: int
    decisions: int
    failed: int

    @property
    def kept(self) -> bool:
        """Whether every target is met at its percentile."""
        pairs = zip(self.targets, self.attainments, strict=True)
        return all(share * 100 >= target.percentile for target, share in pairs)

    def per_1000_tokens(self, price_per_replica_hour: float) -> float | None:
        """Return the cost of 1,000 tokens of answers; None when there were none."""
        if not self.output_tokens:
            return None
        return self.replica_hours * price_per_replica_hour / self.output_tokens * 1000.0


def outcome(name: str, result: Result, targets: tuple[Target, ...]) -> Outcome:
    """Return what `result` comes down to."""
    return Outcome(
        name=name,
        targets=targets,
        attainments=tuple(map(result.attainment, targets)),
        good=result.within_all(targets) / result.requests if result.requests else 1.0,
        mean_replicas=result.mean_replicas,
        replica_hours=result.replica_hours,
        output_tokens=result.output_tokens,
        decisions=len(result.decisions),
        failed=result.failed,
    )


def compare(setting: Setting, own: Outcome, rivals: Mapping[str, Scaler]) -> Iterator[Outcome]:
    """Yield what others make of it: the fixed number that costs about the same, the smallest that keeps the targets, rivals, foresight."""
    policy = setting.policy
    same = max(1, min(policy.maximum, round(own.mean_replicas)))
    runs = {same: _fixed(setting, same)}
    yield runs[same]
    enough = cheapest(setting, runs)
    if enough is not None and enough != same:
        yield runs[enough]
    if enough is None and policy.maximum != same:
        yield runs[policy.maximum]
    for name, scaler in rivals.items():
        yield outcome(name, setting.run(scaler), policy.targets)
    best = foresee(setting, own)
    if best is not None:
        yield best


KNOWN_REQUESTS, KNOWN_REPLICAS = 200_000, 64
"""Up to how many requests, and which maximum, the clairvoyant plan is made: it takes a run for each number of replicas."""
_SLOT = 30.0
"""Seconds of its slots."""


def foresee(setting: Setting, own: Outcome) -> Outcome | None:
    """Return what one who knows the whole trace needs to be as good as `own`; None where that would take too long to compute."""
    policy, profile = setting.policy, setting.profile
    if policy.maximum > KNOWN_REPLICAS or not policy.targets:
        return None
    trace = list(islice(setting.traffic(), KNOWN_REQUESTS + 1))
    if len(trace) > KNOWN_REQUESTS:
        return None
    counts = range(1, policy.maximum + 1)
    table = clairvoyant.misses(trace, profile, policy.targets, counts, _SLOT)
    allowed = (1.0 - own.good) * len(trace) + 0.5
    plan = clairvoyant.plan(table, counts, allowed, _SLOT, profile.warm_up_seconds)
    followed = clairvoyant.run(plan, trace, profile, profile.warm_up_seconds)
    return outcome("clairvoyant", followed, policy.targets)


def cheapest(setting: Setting, runs: dict[int, Outcome]) -> int | None:
    """Return the smallest fixed number that keeps all targets, found by bisection, or None; `runs` gets what was tried."""

    def kept(replicas: int) -> bool:
        if replicas not in runs:
            runs[replicas] = _fixed(setting, replicas)
        return runs[replicas].kept

    low, high = 1, setting.policy.maximum
    if not kept(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if kept(middle):
            high = middle
        else:
            low = middle + 1
    return high


def sweep(setting: Setting, metric: str) -> Iterator[Outcome]:
    """Yield the operator's law with other values for the target on `metric`: its own, and the buckets' bounds around it."""
    targets = setting.policy.targets
    (at,) = (index for index, target in enumerate(targets) if target.metric == metric)
    for value in neighbours(targets[at].seconds):
        changed = (*targets[:at], replace(targets[at], seconds=value), *targets[at + 1 :])
        policy = replace(setting.policy, targets=changed)
        other = replace(setting, policy=policy)
        result = other.run(other.law())
        yield outcome(find_scaler(changed[at]), result, changed)


def neighbours(seconds: float) -> list[float]:
    """Return a value and the buckets' bounds from a third of it to three times it: at a bound a share is exact.

    >>> neighbours(0.4)
    [0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0]
    """
    slack = 1e-9
    near = [b for b in BOUNDS if seconds / 3 - slack <= b <= seconds * 3 + slack]
    return sorted({*near, seconds})


def find_scaler(target: Target) -> str:
    """Return a target as people write it.

    >>> find_scaler(Target("ttft", 90, 0.5))
    'ttft p90 500 ms'
    """
    return f"{target.metric} p{target.percentile} {target.seconds * 1000:g} ms"


def _fixed(setting: Setting, replicas: int) -> Outcome:
    result = setting.run(fixed(replicas), initial=replicas)
    return outcome(f"fixed {replicas}", result, setting.policy.targets)
