"""The autoscalers of others, with their documented constants, as scalers for `simulate`.

Written from their documents, not from their code:

- HPA: kubernetes.io, "Horizontal Pod Autoscaling" (algorithm details, default behavior): sync every 15 s, tolerance 0.1, up at most to
  double or by 4 pods each 15 s, down after 300 s of lower recommendations; pods that are not ready count as idle when scaling up.
- KPA: knative.dev, "Configuring the autoscaler" and the config-autoscaler map: stable window 60 s, panic window 10 % of it, panic
threshold
  200 %, target utilization 70 %, rates 1000 up and 2 down, a decision every 2 s.
- llm-d: guides/workload-autoscaling/README.slo-aware.md of llm-d/llm-d: s = max(P90 TTFT / target, P90 ITL / target) over 1 minute,
  clamped at 2.0, averaged over 45 s; up above 0.55 with the credit ready/provisioned, down below 0.40; its HPA doubles or adds 4 each
  60 s
  after 30 s, takes 1 each 120 s after 180 s. Fed with measured latencies, as the guide allows; the published run had a trained predictor.
- APA: AIBrix, docs "APA" and pkg/controller/podautoscaler of vllm-project/aibrix: tolerances 0.1 up and 0.2 down, rates 2 and 2,
window 60 s.

HPA, KPA and APA look at the requests in flight per replica. Each has one knob that is a user's to set, the target; a caller may tune it.
"""

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from math import ceil, floor

from llmdeployment_operator.autoscaler.types import BOUNDS, Observation, ScalingPolicy
from llmdeployment_operator.simulation.run import Scaler

Tuned = Callable[[float, ScalingPolicy], Scaler]
"""Makes a scaler from the value of its knob and the bounds."""

TARGETS = {"hpa": 100.0, "kpa": 100.0, "apa": 100.0, "llm-d": 1.0}
"""The knobs as documented: requests in flight per replica (Knative's container-concurrency-target-default); llm-d's thresholds times
1."""


def find_rival(policy: ScalingPolicy) -> dict[str, Scaler]:
    """Returns each rival with its documented constants."""
    return {name: make(TARGETS[name], policy) for name, make in MAKERS.items()}


def _in_flight(observation: Observation) -> float:
    """Returns the requests in all engines; of an engine that did not answer, the mean of the others."""
    if not observation.samples:
        return 0.0
    seen = sum(sample.running + sample.waiting for sample in observation.samples.values())
    return seen * max(1.0, observation.ready / len(observation.samples))


def _clip(policy: ScalingPolicy, replicas: float) -> int:
    return max(policy.minimum, min(policy.maximum, int(replicas)))


class _Window:
    """Values of the last `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._rows: deque[tuple[float, float]] = deque()

    def add(self, at: float, value: float) -> None:
        self._rows.append((at, value))
        while self._rows[0][0] <= at - self._seconds:
            self._rows.popleft()

    def values(self) -> list[float]:
        return [value for _, value in self._rows]

    def mean(self) -> float:
        return sum(self.values()) / len(self._rows)


class _Every:
    """Says once in `seconds` that it is time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    def due(self, now: float) -> bool:
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


def hpa(target: float, policy: ScalingPolicy) -> Scaler:
    """Returns a HorizontalPodAutoscaler on the requests in flight per pod."""
    every, lower = _Every(15.0), _Window(300.0)

    def scaler(observation: Observation, now: float) -> int:
        current = observation.ready + observation.pending
        if not every.due(now):
            return current
        if not lower.values():
            # Without a history the number that is there is the first recommendation.
            lower.add(now, current)
        total = _in_flight(observation)
        wanted = current
        if observation.ready:
            ratio = total / (target * observation.ready)
            if ratio > 1.1:  # noqa: PLR2004  # because the tolerance is documented as 0.1
                ratio = total / (target * current)
                wanted = ceil(total / target) if ratio > 1.1 else current  # noqa: PLR2004  # because of the same
            elif ratio < 0.9:  # noqa: PLR2004  # because of the same
                wanted = ceil(total / target)
        wanted = min(wanted, max(2 * current, current + 4))
        lower.add(now, wanted)
        if wanted < current:
            wanted = min(current, int(max(lower.values())))
        return _clip(policy, wanted)

    return scaler


def kpa(target: float, policy: ScalingPolicy) -> Scaler:
    """Returns Knative's autoscaler on concurrency."""
    every, stable, panic = _Every(2.0), _Window(60.0), _Window(6.0)
    # It begins in panic, so that a history that is missing takes nothing away.
    since = [0.0]
    most = [0]

    def scaler(observation: Observation, now: float) -> int:
        current = observation.ready + observation.pending
        total = _in_flight(observation) + observation.held
        stable.add(now, total)
        panic.add(now, total)
        if not every.due(now):
            return current
        ready = max(1, observation.ready)
        up, down = 1000 * ready, floor(ready / 2)
        aim = 0.7 * target
        calm = min(up, max(down, ceil(stable.mean() / aim)))
        fast = min(up, max(down, ceil(panic.mean() / aim)))
        if fast / ready >= 2.0:  # noqa: PLR2004  # because the panic threshold is documented as 200 %
            since[:] = [now]
        elif since and now - since[0] > 60.0:  # noqa: PLR2004  # because it calms down after a stable window
            since.clear()
            most[0] = 0
        if not since:
            return _clip(policy, calm)
        most[0] = max(most[0], fast, calm, current)
        return _clip(policy, most[0])

    return scaler


def apa(target: float, policy: ScalingPolicy) -> Scaler:
    """Returns AIBrix' autoscaler on the requests in flight per pod."""
    every, window = _Every(10.0), _Window(60.0)

    def scaler(observation: Observation, now: float) -> int:
        current = observation.ready + observation.pending
        window.add(now, _in_flight(observation))
        if not every.due(now) or now < 60.0:  # noqa: PLR2004  # because before, the window is not full
            return current
        ratio = window.mean() / max(1, observation.ready) / target
        if ratio > 1.1:  # noqa: PLR2004  # because the tolerance up is documented as 0.1
            return _clip(policy, min(2 * current, ceil(observation.ready * ratio)))
        if ratio < 0.8:  # noqa: PLR2004  # because the tolerance down is documented as 0.2
            return _clip(policy, max(ceil(current / 2), ceil(observation.ready * ratio)))
        return _clip(policy, current)

    return scaler


class _Latencies:
    """Bucket counts of the last minute, over all replicas, from increases of each."""

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._last: dict[str, tuple[int, ...]] = {}
        self._rows: deque[tuple[float, list[int]]] = deque()

    def add(self, observation: Observation, now: float) -> None:
        total = [0] * (len(BOUNDS) + 1)
        for uid, sample in observation.samples.items():
            counts = sample.histograms[self._metric]
            before = self._last.get(uid)
            self._last[uid] = counts
            if before is not None and before[-1] <= counts[-1]:
                total = [t + c - b for t, c, b in zip(total, counts, before, strict=True)]
        self._rows.append((now, total))
        while self._rows[0][0] <= now - 60.0:
            self._rows.popleft()

    def quantile(self, share: float) -> float:
        """Returns a quantile as Prometheus' histogram_quantile does, 0 without values."""
        counts: list[int] = [
            sum(column) for column in zip(*(row for _, row in self._rows), strict=True)
        ]
        rank = share * counts[-1]
        if not counts[-1]:
            return 0.0
        below = 0
        for (low, high), count in zip(pairwise((0.0, *BOUNDS)), counts, strict=False):
            if count >= rank:
                return low + (high - low) * (rank - below) / max(1, count - below)
            below = count
        return BOUNDS[-1]


def llmd(scale: float, policy: ScalingPolicy) -> Scaler:
    """Returns llm-d's law on latency; `scale` multiplies its thresholds 0.55 and 0.40."""
    every, smooth = _Every(15.0), _Window(45.0)
    raise_after, lower_after = _Window(30.0), _Window(180.0)
    ups: deque[tuple[float, int]] = deque()
    down_at = [-1e9]
    rows = [
        (_Latencies(target.metric), target.seconds)
        for target in policy.targets
        if target.metric in ("ttft", "itl")
    ]

    def scaler(observation: Observation, now: float) -> int:
        for latencies, _ in rows:
            latencies.add(observation, now)
        current = observation.ready + observation.pending
        if not every.due(now):
            return current
        if not lower_after.values():
            lower_after.add(now, current)
        raw = max((row.quantile(0.9) / seconds for row, seconds in rows), default=0.0)
        smooth.add(now, min(raw, 2.0))
        wanted = _wanted(smooth.mean(), observation, current, scale)
        raise_after.add(now, wanted)
        lower_after.add(now, wanted)
        while ups and ups[0][0] <= now - 60.0:
            ups.popleft()
        begun = current - sum(step for _, step in ups)
        up = min(int(min(raise_after.values())), max(2 * begun, begun + 4))
        if up > current:
            to = _clip(policy, up)
            ups.append((now, to - current))
            return to
        if max(lower_after.values()) < current and now - down_at[0] >= 120.0:  # noqa: PLR2004  # because that is documented
            down_at[0] = now
            return _clip(policy, current - 1)
        return _clip(policy, current)

    return scaler


def _wanted(signal: float, observation: Observation, current: int, scale: float) -> float:
    credit = observation.ready / current if 0 < observation.ready < current else 1.0
    if signal > 0.55 * scale:
        return max(current, current + ceil(current * (signal * credit / (0.55 * scale) - 1)))
    if signal < 0.40 * scale:
        return current - floor(current * (1 - signal / (0.40 * scale)))
    return current


MAKERS: dict[str, Tuned] = {"hpa": hpa, "kpa": kpa, "apa": apa, "llm-d": llmd}
"""Each rival by name."""
