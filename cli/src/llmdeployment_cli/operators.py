"""The operators of a cluster: which namespaces they watch, and why none has acted on an object."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmdeployment_cli import kube
from llmdeployment_cli.arms import Object
from llmdeployment_cli.errors import Forbidden, Refusal
from llmdeployment_cli.kube import OPERATOR, Cluster

_TRUE = {"1", "true", "yes", "on"}


@dataclass(frozen=True)
class Operator:
    """One installed operator.

    Attributes:
        name: its Deployment.
        namespace: the Deployment's namespace.
        version: its version, or `unknown`.
        namespaces: the namespaces that it watches; none listed means all.
        own: whether it acts on LLMDeployments in its own namespace.
        ready: whether a pod of it is ready.
    """

    name: str
    namespace: str
    version: str
    namespaces: tuple[str, ...]
    own: bool
    ready: bool

    def watches(self, namespace: str) -> bool:
        """Return whether it reads LLMDeployments of a namespace."""
        return not self.namespaces or namespace in self.namespaces


def read_operator(deployment: Object) -> Operator:
    """Return the operator of a Deployment that the chart made."""
    metadata = deployment["metadata"]
    containers = deployment["spec"]["template"]["spec"]["containers"]
    container = next((c for c in containers if c.get("name") == "operator"), containers[0])
    env = {each["name"]: each.get("value") or "" for each in container.get("env") or ()}
    watched = (each.strip() for each in env.get("LLMD_NAMESPACES", "").split(","))
    return Operator(
        name=str(metadata["name"]),
        namespace=env.get("LLMD_OPERATOR_NAMESPACE") or str(metadata["namespace"]),
        version=_read_version(metadata.get("labels") or {}, str(container.get("image", ""))),
        namespaces=tuple(each for each in watched if each),
        own=env.get("LLMD_OWN_NAMESPACE", "").lower() in _TRUE,
        ready=bool((deployment.get("status") or {}).get("readyReplicas")),
    )


def find_operators(cluster: Cluster) -> tuple[Operator, ...]:
    """Return the operators of a cluster, by namespace and name.

    Raises:
        Forbidden: the user may not list Deployments of all namespaces.
        Refusal: the API server does not answer.
    """
    found = (read_operator(each) for each in kube.list_operators(cluster))
    return tuple(sorted(found, key=lambda operator: (operator.namespace, operator.name)))


def describe_watch(operator: Operator) -> str:
    """Return which namespaces an operator watches."""
    if operator.namespaces:
        return f"watches: {', '.join(operator.namespaces)}"
    if operator.own:
        return "watches all namespaces"
    return "watches all namespaces except its own"


def explain_silence(cluster: Cluster) -> str:
    """Return why no operator has acted on an object of this namespace, and what to do about it."""
    try:
        return describe_silence(find_operators(cluster), cluster.namespace)
    except Forbidden:
        return (
            "No operator has acted on it yet. Whether one watches this namespace cannot be known, "
            "because you may not list Deployments of all namespaces. Ask who installed the operator."
        )
    except Refusal as error:
        return f"No operator has acted on it yet. Whether one watches this namespace cannot be known: {error}"


def describe_silence(operators: Sequence[Operator], namespace: str) -> str:
    """Return why none of these operators has acted on an object of a namespace, and what to do about it."""
    if not operators:
        return f"No operator is installed. Install the Helm chart {OPERATOR}."
    if watching := [each for each in operators if each.watches(namespace)]:
        return " ".join(_describe_delay(each) for each in watching)
    return f"No operator watches namespace {namespace}. {_list_watches(operators)} {_advise(operators, namespace)}"


def _read_version(labels: Mapping[str, Any], image: str) -> str:
    """Return the version in the label of the chart, else the image's tag.

    >>> _read_version({}, "registry.example:5000/llmdeployment/operator:0.1.0")
    '0.1.0'
    """
    if found := labels.get("app.kubernetes.io/version"):
        return str(found)
    _, colon, tag = image.split("@", maxsplit=1)[0].rpartition("/")[2].partition(":")
    return tag if colon else "unknown"


def _list_watches(operators: Iterable[Operator]) -> str:
    return " ".join(
        f"The operator {each.name} in namespace {each.namespace} {describe_watch(each)}."
        for each in operators
    )


def _advise(operators: Sequence[Operator], namespace: str) -> str:
    places = sorted({place for each in operators for place in each.namespaces})
    return (
        f"Create the object in {' or '.join(places)}, or add {namespace} to watch.namespaces "
        "in the values of the operator's chart."
    )


def _describe_delay(operator: Operator) -> str:
    place = f"{operator.name} in namespace {operator.namespace}"
    logs = f"kubectl logs -n {operator.namespace} deployment/{operator.name}"
    if not operator.ready:
        return (
            f"Operator {place} watches this namespace, but none of its pods is ready. "
            f"Its pods say more: kubectl describe pods -n {operator.namespace}; {logs}"
        )
    return (
        f"Operator {place} watches this namespace but has not acted yet. Its log says more: {logs}"
    )
