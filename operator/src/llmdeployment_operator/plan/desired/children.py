"""Every object an LLMDeployment should have at this moment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from llmdeployment_operator.api.types import API_VERSION, KIND, LLMDeployment
from llmdeployment_operator.plan.base.drift import seal
from llmdeployment_operator.plan.base.external import is_external
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.output_patterns import build_patterns_config_map
from llmdeployment_operator.plan.base.request_log import RequestLogPlan
from llmdeployment_operator.plan.base.revisions import Revision, build_controller_revision
from llmdeployment_operator.plan.base.routes import Route, build_routes_config_map
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.base.telemetry import exports_traces, find_port
from llmdeployment_operator.plan.observed.model_pins import build_pin
from llmdeployment_operator.plan.resources.network_policies import build_runtime_policies
from llmdeployment_operator.plan.resources.runtime import build_runtime
from llmdeployment_operator.plan.traffic import front_door


@dataclass(frozen=True)
class RuntimeIntent:
    """A runtime that should exist.

    Attributes:
        born: the revision it was born with.
        token: of its Ray.
        pods: its number of worker pods.
        pin: what the source of its model held when the first of them downloaded it; empty: none has.
        request_log: what they log; None: nothing.
    """

    born: Revision
    token: str
    pods: int
    pin: str = ""
    request_log: RequestLogPlan | None = None


@dataclass(frozen=True)
class FrontDoorIntent:
    """What the front door needs: the key of ids for feedback, and the namespaces of Gateways that reach the replicas."""

    feedback_key: str
    gateways: frozenset[str]


def build_children(
    deployment: LLMDeployment,
    revisions: tuple[Revision, ...],
    runtimes: Mapping[str, RuntimeIntent],
    routes: tuple[Route, ...],
    settings: Settings,
    door: FrontDoorIntent,
    more: Iterable[Object] = (),
) -> list[Object]:
    """Return the children in the order they are written: the record of a revision before its pods.

    Args:
        deployment: the owner.
        revisions: those on record.
        runtimes: by hash.
        routes: who gets the requests.
        settings: what the operator was installed with.
        door: what the front door needs.
        more: what is written last.
    """
    name = deployment.metadata.name
    found = [build_controller_revision(deployment, revision) for revision in revisions]
    found += front_door.build_before_routes(deployment, settings, door.feedback_key)
    told = [intent.request_log for runtime, intent in runtimes.items() if is_external(runtime)]
    if told and (patterns := build_patterns_config_map(deployment, told[0])) is not None:
        found.append(patterns)
    traced = exports_traces(deployment, settings)
    for runtime, intent in runtimes.items():
        logged = intent.request_log is not None and bool(intent.request_log.endpoint)
        port = find_port(settings.otlp_endpoint) if traced or logged else None
        found += build_runtime_policies(
            name, runtime, intent.born.template, settings, door.gateways, port
        )
        if intent.pin:
            found.append(build_pin(name, runtime, intent.pin))
        found += build_runtime(
            deployment, runtime, intent.born.rendering, intent.token, intent.pods
        )
    # All arms answer to one name.
    stable = next(r for r in revisions if r.number == routes[-1].revision)
    served = stable.template["model"].get("servedName") or name
    found.append(build_routes_config_map(deployment, routes, served))
    found += front_door.build_after_routes(deployment, routes)
    return [seal(_set_owner(obj, deployment)) for obj in (*found, *more)]


def _set_owner(obj: Object, deployment: LLMDeployment) -> Object:
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": deployment.metadata.name,
        "uid": deployment.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    metadata = {
        **obj["metadata"],
        "namespace": deployment.metadata.namespace,
        "ownerReferences": [owner],
    }
    return {**obj, "metadata": metadata}
