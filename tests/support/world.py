"""A world for the plan: what a plan writes is there at the next look. Pure, so that properties can run thousands of them.

It is no API server: it keeps what it is given, gives uids, and makes the pods that a test asks for.
"""

import base64
import copy
import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from llmdeployment_operator.api.status_document import dump_status, read_status
from llmdeployment_operator.api.types import LLMDeployment, parse
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.objects import Object, Ref
from llmdeployment_operator.plan.base.routes import hash_routes
from llmdeployment_operator.plan.base.settings import ServingImages, Settings
from llmdeployment_operator.plan.build import build_plan
from llmdeployment_operator.plan.observed.cluster_state import ClusterState, GatewayState
from llmdeployment_operator.plan.observed.ray_serve import ServeState
from llmdeployment_operator.plan.plan import Plan

SAMPLES = Path(__file__).parents[2] / "manifests/samples"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SETTINGS = Settings(
    serving_images=ServingImages(
        gpu="serving:1-gpu", cpu="serving:1-cpu", simulated="serving:1-simulated"
    ),
    gateway_image="gateway:1",
    operator_namespace="llm-system",
    operator_labels={"app": "operator"},
)


def sample(name: str) -> Object:
    """Return a sample as the API server would hand it out."""
    body: Object = yaml.safe_load((SAMPLES / f"{name}.yaml").read_text())
    return admitted(body)


def admitted(body: Object) -> Object:
    """Return an object with what the API server adds."""
    meta = {"namespace": "team", "uid": "uid-of-the-owner", "generation": 1, **body["metadata"]}
    return {**body, "metadata": meta}


@dataclass
class World:
    """One LLMDeployment and everything around it."""

    raw: Object
    settings: Settings = SETTINGS
    now: datetime = NOW
    cluster: ClusterState = field(default_factory=lambda: ClusterState(new_token="f" * 64))
    _uids: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def status(self) -> Object:
        """The status as the API server has it."""
        return dump_status(self.cluster.status)

    @property
    def deployment(self) -> LLMDeployment:
        return parse(self.raw)

    def plan(self) -> Plan:
        """Return the plan, looked-up names included."""
        plan = build_plan(self.deployment, self.cluster, self.settings, self.now)
        if plan.lookups:
            self.observe(looked_up=self.cluster.looked_up | plan.lookups)
            plan = build_plan(self.deployment, self.cluster, self.settings, self.now)
        return plan

    def step(self) -> Plan:
        """Make one pass and let everything it wrote come true."""
        plan = self.plan()
        self._write(plan, len(plan.apply) + len(plan.serve) + len(plan.remove))
        if plan.status is not None:
            # The API server keeps what was written, not the value.
            self.observe(status=read_status(dump_status(plan.status)))
        if plan.scaling is not None:
            self.observe(scaling=plan.scaling)
        return plan

    def crash(self, writes: int) -> None:
        """Make one pass that ends after so many writes: its status is never written."""
        self._write(self.plan(), writes)

    def _write(self, plan: Plan, writes: int) -> None:
        children: dict[Ref, Object] = dict(self.cluster.children)
        tokens, feedback_key = dict(self.cluster.tokens), self.cluster.feedback_key
        for intent in plan.apply[:writes]:
            obj = copy.deepcopy(intent)
            ref = (obj["kind"], obj["metadata"]["name"])
            obj["metadata"].setdefault("uid", f"uid-{next(self._uids)}")
            children[ref] = obj
            if obj["kind"] == "Secret":
                feedback_key = self._read_secret(obj, tokens) or feedback_key
        writes -= len(plan.apply)
        for put in plan.serve[: max(0, writes)]:
            self.serve(put.runtime, config=put.body["applications"][0], status="RUNNING")
        writes -= len(plan.serve)
        for gone in plan.remove[: max(0, writes)]:
            children.pop((gone.kind, gone.name), None)
        self.observe(children=children, tokens=tokens, feedback_key=feedback_key)

    def _read_secret(self, secret: Object, tokens: dict[str, str]) -> str:
        """Add the token of a runtime to `tokens`, or return the key for feedback."""
        found = {name: base64.b64decode(text).decode() for name, text in secret["data"].items()}
        runtime = names.runtime_of(secret)
        if runtime is None:
            return found["key"]
        tokens[runtime] = found["token"]
        return ""

    def obey(self) -> None:
        """Let Kubernetes, Ray and the gateways do all they are asked to: pods run, replicas answer, routes are applied."""
        found = [pod("gateway", "gateway-0")]
        for runtime in self.runtimes():
            workers = self.cluster.children["Deployment", f"{self._name}-{runtime}"]
            count = workers["spec"]["replicas"]
            found.append(pod("head", f"{runtime}-head", runtime))
            found += [pod("worker", f"{runtime}-{n}", runtime) for n in range(count)]
            told = (self.cluster.serve.get(runtime, ServeState()).config or {}).get("deployments")
            self.serve(runtime, replicas=min(count, told[0]["num_replicas"]) if told else count)
        self.pods(*found)
        self.gateway_applies()

    @property
    def _name(self) -> str:
        return str(self.raw["metadata"]["name"])

    def settle(self, passes: int = 10) -> Plan:
        """Make passes until one has nothing to write, and return that one."""
        for _ in range(passes):
            plan = self.step()
            if plan.quiet:
                return plan
        raise AssertionError(f"still writing after {passes} passes: {plan.details}")

    def observe(self, **changes: Any) -> None:
        """Change what is seen."""
        self.cluster = replace(self.cluster, **changes)

    def edit(self, **spec: Any) -> None:
        """Change the spec as a user would."""
        self.raw = copy.deepcopy(self.raw)
        self.raw["spec"].update(spec)
        self.raw["metadata"]["generation"] += 1

    def serve(self, runtime: str, **state: Any) -> None:
        """Let a runtime's Ray Serve answer."""
        before = self.cluster.serve.get(runtime, ServeState())
        self.observe(serve={**self.cluster.serve, runtime: replace(before, **state)})

    def runtimes(self) -> list[str]:
        """The runtimes that have worker Deployments."""
        found = (
            names.runtime_of(o) for (k, _), o in self.cluster.children.items() if k == "Deployment"
        )
        return [runtime for runtime in found if runtime is not None]

    def pods(self, *pods: Object) -> None:
        """Let exactly these pods exist."""
        self.observe(pods=pods)

    def gateway_applies(self, up: int = 1) -> None:
        """Let every gateway pod apply the routes as they are now."""
        routes = names.routes_name(self.raw["metadata"]["name"])
        config_map = self.cluster.children["ConfigMap", routes]
        services = {f"{self.raw['metadata']['name']}-{runtime}": up for runtime in self.runtimes()}
        ready = (
            p for p in self.cluster.pods if p["metadata"]["labels"][names.COMPONENT] == "gateway"
        )
        states = tuple(
            GatewayState(p["metadata"]["name"], hash_routes(config_map), services) for p in ready
        )
        self.observe(gateways=states)

    def route_answers(self, *conditions: Object, generation: int = 1) -> None:
        """Let the controllers of all Gateways say this of the HTTPRoute as it is now; without conditions: that they took it up."""
        ref = ("HTTPRoute", self._name)
        live = copy.deepcopy(self.cluster.children[ref])
        good = ({"type": kind, "status": "True"} for kind in ("Accepted", "ResolvedRefs"))
        told = [{"observedGeneration": generation, **c} for c in conditions or good]
        live["metadata"]["generation"] = generation
        parents = live["spec"]["parentRefs"]
        live["status"] = {"parents": [{"parentRef": p, "conditions": told} for p in parents]}
        self.observe(children={**self.cluster.children, ref: live})


def pod(component: str, name: str, runtime: str | None = None, **status: Any) -> Object:
    """Return a pod that is ready, unless a status says otherwise."""
    labels = {names.OWNER: "simulated", names.COMPONENT: component}
    if runtime is not None:
        labels[names.RUNTIME] = runtime
    ready = {
        "phase": "Running",
        "podIP": "198.18.0.9",
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": "True"},
        ],
        "containerStatuses": [{"name": "ray", "ready": True, "state": {"running": {}}}],
    }
    return {
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels, "creationTimestamp": "2026-01-02T03:00:00Z"},
        "spec": {"containers": [{"name": "ray", "resources": {}}]},
        "status": status or ready,
    }
