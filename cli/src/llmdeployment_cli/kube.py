"""Reads and writes of the API server, with the user's own kubeconfig."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import urllib3

from llmdeployment_cli.arms import Object
from llmdeployment_cli.errors import Conflict, Forbidden, Missing, Refusal, Unreachable
from llmdeployment_cli.flags import Flags
from llmdeployment_cli.gitops import MANAGER
from llmdeployment_cli.transport import JSON, ApiAnswer, ApiRequest, Transport

GROUP, VERSION, PLURAL = "llmdeployment.dev", "v1alpha1", "llmdeployments"
KIND = "LLMDeployment"
_MOST_EVENTS = 500
OPERATOR = "llmdeployment-operator"
"""The value of the label app.kubernetes.io/name of every operator, and the name of its Helm chart."""
TABLE = f"{JSON};as=Table;v=v1;g=meta.k8s.io,{JSON}"
"""What `kubectl get` accepts: the API server makes the columns."""


@dataclass(frozen=True)
class Cluster:
    """A connection to one namespace of a cluster.

    Attributes:
        transport: the way to the API server.
        namespace: the one that was given, else the context's.
        seconds: how long one call may take, in seconds; None is for ever.
    """

    transport: Transport
    namespace: str
    seconds: float | None


def connect(flags: Flags) -> Cluster:
    """Return a connection to the cluster that kubectl would use with these flags.

    Raises:
        Refusal: there is no kubeconfig, or it does not have this context.
    """
    from llmdeployment_cli.kubeconfig import open_transport  # noqa: PLC0415  # because it takes 22 MB, and a pod has no kubeconfig

    transport, namespace = open_transport(flags, list_impersonation_headers(flags))
    return Cluster(transport, flags.namespace or namespace, flags.call_seconds)


def list_impersonation_headers(flags: Flags) -> list[tuple[str, str]]:
    """Return the headers by which the API server acts as somebody else.

    Raises:
        Refusal: there are groups without a user, which the API server does not take.

    >>> list_impersonation_headers(Flags(as_user="ada", as_group=("dev", "ops")))
    [('Impersonate-User', 'ada'), ('Impersonate-Group', 'dev'), ('Impersonate-Group', 'ops')]
    """
    if flags.as_user is None:
        if flags.as_group:
            raise Refusal("--as-group needs --as. Say which user to impersonate.")
        return []
    groups = [("Impersonate-Group", group) for group in flags.as_group]
    return [("Impersonate-User", flags.as_user), *groups]


def build_labels(name: str) -> dict[str, str]:
    """Return the labels of the objects that the operator creates for an LLMDeployment."""
    return {f"{GROUP}/name": name, "app.kubernetes.io/managed-by": OPERATOR}


def get_deployment(cluster: Cluster, name: str, accept: str = JSON) -> Object:
    """Return an LLMDeployment, or with `TABLE` the table of it.

    Raises:
        Refusal: it does not exist, may not be read, or the API server does not answer.
    """
    return send(cluster, ApiRequest("GET", _locate(cluster.namespace, name), accept=accept), name)


def list_deployments(cluster: Cluster, namespace: str | None, accept: str = JSON) -> Object:
    """Return the list of the LLMDeployments in a namespace, in all of them for None; or with `TABLE` their table.

    Raises:
        Refusal: they may not be read, or the API server does not answer.
    """
    return send(cluster, ApiRequest("GET", _locate(namespace), accept=accept))


def list_revisions(cluster: Cluster, name: str) -> list[Object]:
    """Return the ControllerRevisions of an LLMDeployment, as JSON.

    Raises:
        Refusal: they may not be read, or the API server does not answer.
    """
    # The Ray head's StatefulSet has ControllerRevisions too, with its pods' labels: the manager's is not among them.
    labels = ",".join(f"{key}={value}" for key, value in build_labels(name).items())
    path = f"/apis/apps/v1{_enter(cluster.namespace)}/controllerrevisions"
    found = send(cluster, ApiRequest("GET", path, [("labelSelector", labels)]), name)
    items: list[Object] = found["items"]
    return items


def list_events(cluster: Cluster, namespace: str | None) -> list[Object]:
    """Return the last Events about LLMDeployments of a namespace, of all of them for None, as JSON.

    Raises:
        Forbidden: the user may not list Events.
        Refusal: the API server does not answer.
    """
    query = [("fieldSelector", f"involvedObject.kind={KIND}"), ("limit", str(_MOST_EVENTS))]
    found = send(cluster, ApiRequest("GET", f"/api/v1{_enter(namespace)}/events", query))
    items: list[Object] = found.get("items") or []
    return items


def read_config_map_key(cluster: Cluster, name: str, key: str) -> str:
    """Return the text of a key of a ConfigMap. A ConfigMap has 1 MiB at most.

    Raises:
        Forbidden: the user may not read it.
        Refusal: it or its key does not exist, or the API server does not answer.
    """
    path = f"/api/v1{_enter(cluster.namespace)}/configmaps/{quote(name, safe='')}"
    try:
        found = send(cluster, ApiRequest("GET", path))
    except Missing as error:
        raise Refusal(
            f"ConfigMap {name} does not exist in namespace {cluster.namespace}. Create it."
        ) from error
    data = found.get("data") or {}
    if key not in data:
        raise Refusal(f"ConfigMap {name} has no key {key}. Add it, or name another.")
    return str(data[key])


def list_operators(cluster: Cluster) -> list[Object]:
    """Return the Deployments of the operators in all namespaces, as JSON.

    Raises:
        Forbidden: the user may not list Deployments of all namespaces.
        Refusal: the API server does not answer.
    """
    query = [("labelSelector", f"app.kubernetes.io/name={OPERATOR}")]
    items: list[Object] = send(cluster, ApiRequest("GET", "/apis/apps/v1/deployments", query))[
        "items"
    ]
    return items


def list_served_versions(cluster: Cluster) -> list[str]:
    """Return the versions of our API that the API server serves; none where the CRD is not installed.

    Raises:
        Forbidden: the user may not see which APIs there are.
        Refusal: the API server does not answer.
    """
    found = send(cluster, ApiRequest("GET", "/apis/"))
    return [
        version["version"]
        for group in found["groups"]
        if group["name"] == GROUP
        for version in group["versions"]
    ]


def patch(cluster: Cluster, name: str, body: dict[str, Any]) -> Object:
    """Apply a JSON merge patch and return the patched object.

    Raises:
        Conflict: the object no longer has the resourceVersion that the patch names.
        Refusal: the API server refuses it, or does not answer.
    """
    request = ApiRequest(
        "PATCH",
        _locate(cluster.namespace, name),
        [("fieldManager", MANAGER), ("fieldValidation", "Strict")],
        body=body,
        content_type="application/merge-patch+json",
    )
    return send(cluster, request, name)


def send(cluster: Cluster, request: ApiRequest, name: str = "") -> Object:
    """Send any request and return the API server's JSON object.

    Args:
        cluster: the connection.
        request: what is asked.
        name: the LLMDeployment that it is about, for messages.

    Raises:
        Refusal: the API server refuses it, or does not answer.
    """
    try:
        answer = cluster.transport.send(request, cluster.seconds)
    except urllib3.exceptions.HTTPError as error:
        raise Unreachable(
            f"the API server {cluster.transport.host} does not answer ({error}). Check the kubeconfig and the network."
        ) from error
    if answer.refused:
        raise _explain_refusal(answer, cluster, name)
    try:
        found = json.loads(answer.body)
    except ValueError:
        found = None
    return _require_object(found)


def _locate(namespace: str | None, name: str = "") -> str:
    """Return the path of an LLMDeployment, or of the list of them."""
    place = f"/apis/{GROUP}/{VERSION}{_enter(namespace)}/{PLURAL}"
    return f"{place}/{quote(name, safe='')}" if name else place


def _enter(namespace: str | None) -> str:
    return f"/namespaces/{quote(namespace, safe='')}" if namespace is not None else ""


def _require_object(found: object) -> Object:
    if not isinstance(found, dict):
        raise Refusal(
            "the API server's answer is not a JSON object. Check that the kubeconfig names an API server."
        )
    return found


def _explain_refusal(answer: ApiAnswer, cluster: Cluster, name: str) -> Refusal:
    message = _extract_message(answer)
    if answer.status == HTTPStatus.CONFLICT:
        return Conflict(f"somebody else keeps changing {name}, so nothing was written. Try again.")
    if answer.status == HTTPStatus.FORBIDDEN:
        return Forbidden(f"the API server refused the request: {message}")
    if answer.status == HTTPStatus.NOT_FOUND and name and f'"{name}"' in message:
        return Missing(
            f"no LLMDeployment {name} in namespace {cluster.namespace}. Choose another namespace with -n."
        )
    if answer.status == HTTPStatus.NOT_FOUND:
        return Missing(
            f"the cluster does not know LLMDeployments ({message}). Install the operator's CRD first."
        )
    return Refusal(f"the API server refused the request: {message}")


def _extract_message(answer: ApiAnswer) -> str:
    try:
        return str(json.loads(answer.body)["message"])
    except (ValueError, KeyError, TypeError):
        return str(answer.reason or answer.status)
