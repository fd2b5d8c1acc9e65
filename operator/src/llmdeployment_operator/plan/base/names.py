"""Every name and label the operator gives, in one place.

The API refuses LLMDeployment names over 38 characters, so that the longest name made from one (a head's
`controller-revision-hash` label: 38 + 1 + 8 + 5 + 11 = 63) still fits a label.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "llmdeployment-operator"
APPLICATION = "llmdeployment"
"""The value of `app.kubernetes.io/name`: not the operator's own, by which its pods are selected."""
OWNER = "llmdeployment.dev/name"
RUNTIME = "llmdeployment.dev/runtime"
COMPONENT = "llmdeployment.dev/component"
EVALUATION = "evaluation"
"""The component of everything that an evaluation on a golden set is made of."""
INTENT = "llmdeployment.dev/intent"
"""Annotation with the hash of the last applied intent: tells a removed field from one that was never there."""
MUTE = "llmdeployment.dev/mute"
"""Annotation of an LLMDeployment of which receivers of notifications are told nothing while it is `true`."""

REPLICA_PORT = 30000
DASHBOARD_PORT = 8265
GCS_PORT = 6379
GATEWAY_PORT = 8080
AGENT_PORT = 9090
METRICS_PORT = 30002
"""The port of a replica that has `/metrics` and nothing else. Ray Serve may take the one after REPLICA_PORT."""
RAY_METRICS_PORT = 8268
"""The port of the metrics agent that Ray starts in each pod, which has metrics and nothing else."""


@dataclass(frozen=True)
class RuntimeNames:
    """The names of one runtime's objects: `chat` and `1a2b3c4d` give `chat-1a2b3c4d`, `-head`, `-ray`."""

    name: str
    head: str
    token: str


def runtime_names(deployment: str, runtime: str) -> RuntimeNames:
    """Return the names of a runtime's objects."""
    base = f"{deployment}-{runtime}"
    return RuntimeNames(name=base, head=f"{base}-head", token=f"{base}-ray")


def revision_name(deployment: str, number: int) -> str:
    """Return the name of a revision's ControllerRevision."""
    return f"{deployment}-r{number}"


def gateway_name(deployment: str) -> str:
    """Return the name of the gateway's objects (its Service carries the deployment's own name)."""
    return f"{deployment}-gateway"


def feedback_name(deployment: str) -> str:
    """Return the name of the Secret with the key that the gateway signs ids for feedback with."""
    return f"{gateway_name(deployment)}-feedback"


def routes_name(deployment: str) -> str:
    """Return the name of the routes ConfigMap."""
    return f"{deployment}-routes"


def patterns_name(deployment: str) -> str:
    """Return the name of the ConfigMap with the patterns that pods of an API elsewhere look for."""
    return f"{deployment}-patterns"


def pin_name(deployment: str, runtime: str) -> str:
    """Return the name of the ConfigMap with what the source of a runtime's model held when its first replica downloaded it."""
    return f"{deployment}-{runtime}-model"


def labels(deployment: str, **more: str) -> dict[str, str]:
    """Return the labels of a child; `runtime` and `component` may be given by keyword.

    The recommended labels of Kubernetes are among them, by which dashboards group objects. Each child has an owner reference, so
    that Argo CD does not take it for one of an application that is called as `app.kubernetes.io/instance` says.
    """
    part = more.get("component") or ("runtime" if "runtime" in more else "gateway")
    recommended = {"name": APPLICATION, "instance": deployment, "component": part}
    return {
        **{f"app.kubernetes.io/{key}": value for key, value in recommended.items()},
        "app.kubernetes.io/part-of": deployment,
        MANAGED_BY: MANAGER,
        **selector(deployment, **more),
    }


def selector(deployment: str, **more: str) -> dict[str, str]:
    """Return the labels that select pods: immutable, so without anything that may change between versions."""
    known = {"runtime": RUNTIME, "component": COMPONENT}
    return {OWNER: deployment, **{known[key]: value for key, value in more.items()}}


def runtime_of(obj: Mapping[str, object]) -> str | None:
    """Return the runtime hash an object is labelled with."""
    metadata = obj.get("metadata")
    found = metadata.get("labels", {}).get(RUNTIME) if isinstance(metadata, dict) else None
    return found if isinstance(found, str) else None
