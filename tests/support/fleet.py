"""A `World` whose replicas say how they fare: an LLMDeployment with `spec.scaling`, two seconds at a time."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.support.world import Object, World, sample

from llmdeployment_operator.autoscaler.types import BOUNDS
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.pods import is_ready
from llmdeployment_operator.plan.base.routes import hash_routes
from llmdeployment_operator.plan.observed.cluster_state import GatewayState
from llmdeployment_operator.plan.observed.stats import read_sample

SCALING = {"minReplicas": 1, "maxReplicas": 4, "targets": {"ttft": {"milliseconds": 500}}}
SECONDS = 2.0


def histogram(fast: int, slow: int) -> Object:
    """Counts of which some took 0.2 s and some 5 s."""
    rows = [[b, (fast if b >= 0.2 else 0) + (slow if b >= 5 else 0)] for b in BOUNDS]
    return {"buckets": [*rows, ["+Inf", fast + slow]], "sum": 0.0, "count": fast + slow}


@dataclass
class Counts:
    """What one replica has answered since it began: in time, and too late."""

    fast: float = 0.0
    slow: float = 0.0

    def stats(self, running: int, waiting: int) -> Object:
        times = histogram(int(self.fast), int(self.slow))
        answers = times["count"]
        return {
            "running": running,
            "waiting": waiting,
            "kvCacheUsage": 0.1,
            "promptTokens": 10 * answers,
            "generationTokens": 20 * answers,
            "revisions": {"1": {"ttft": times, "itl": times, "e2e": times}},
        }


@dataclass
class Fleet:
    """Replicas that share a load, second by second.

    Attributes:
        world: around them.
        load: requests a second, of 20 tokens each; a replica answers four of them in time, with one in flight for each a second.
        silent: whether no replica says anything.
        held: requests that the gateway holds.
        starts: whether pods that are ordered come up.
        waiting: pods that do not.
    """

    world: World
    load: float = 0.0
    silent: bool = False
    held: int = 0
    starts: bool = True
    waiting: tuple[Object, ...] = ()
    counts: dict[str, Counts] = field(default_factory=dict)
    forwarded: dict[str, float] = field(default_factory=dict)

    def pass_by(self, seconds: float) -> None:
        """Let time pass, with a look every two seconds."""
        for _ in range(max(1, round(seconds / SECONDS))):
            self.world.now += timedelta(seconds=SECONDS)
            self._see()
            self.world.step()

    def until(self, replicas: int, seconds: float = 900) -> None:
        """Let time pass until the workers' Deployments ask for so many pods."""
        for _ in range(round(seconds / SECONDS)):
            if self.replicas == replicas:
                return
            self.pass_by(SECONDS)
        raise AssertionError(
            f"{self.replicas} and not {replicas} replicas: {self.status.get('decisions')}"
        )

    def restart(self) -> None:
        """Let the operator start again: it knows what the status says."""
        self.world.observe(scaling=None)

    @property
    def status(self) -> Any:
        return self.world.status.get("scaling") or {}

    @property
    def replicas(self) -> int:
        return sum(self.by_runtime.values())

    @property
    def by_runtime(self) -> dict[str, int]:
        """Pods that the workers' Deployments ask for."""
        found = self.world.cluster.children.items()
        return {
            str(names.runtime_of(obj)): obj["spec"]["replicas"]
            for (kind, _), obj in found
            if kind == "Deployment" and names.runtime_of(obj) is not None
        }

    def _see(self) -> None:
        before = {pod["metadata"]["name"] for pod in self.world.cluster.pods}
        self.world.obey()
        if not self.starts:
            old = (p for p in self.world.cluster.pods if p["metadata"]["name"] in before)
            self.world.pods(*old, *self.waiting)
        workers = [
            pod
            for pod in self.world.cluster.pods
            if pod["metadata"]["labels"][names.COMPONENT] == "worker" and is_ready(pod)
        ]
        at, samples = self.world.now.timestamp(), {}
        each = self.load / len(workers) if workers else 0.0
        for pod in workers:
            name = pod["metadata"]["name"]
            service = f"simulated-{names.runtime_of(pod)}"
            self.forwarded[service] = self.forwarded.get(service, 0.0) + each * SECONDS
            counts = self.counts.setdefault(name, Counts())
            answered = min(each, 4.0) * SECONDS
            waits = max(0, round((each - 4.0) * 20))
            counts.slow += answered if waits else 0
            counts.fast += 0 if waits else answered
            made = read_sample(counts.stats(round(min(each, 4.0)), waits), at)
            if made is not None and not self.silent:
                samples[name] = made
        config_map = next(
            o for (k, _), o in self.world.cluster.children.items() if k == "ConfigMap"
        )
        services = {f"simulated-{r}": n for r, n in self.by_runtime.items()}
        forwarded = {service: int(requests) for service, requests in self.forwarded.items()}
        gateway = GatewayState(
            "gateway-0", hash_routes(config_map), services, held=self.held, requests=forwarded
        )
        self.world.observe(samples=samples, gateways=(gateway,))


def fleet(scaling: Any = SCALING, **spec: Any) -> Fleet:
    """A fleet whose first revision answers."""
    body = sample("simulated")
    body["spec"] = {**body["spec"], "replicas": 1, "scaling": scaling, **spec}
    made = Fleet(World(body))
    made.world.step()
    made.pass_by(10)
    return made
