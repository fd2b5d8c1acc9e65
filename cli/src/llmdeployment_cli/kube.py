"""Reads and writes of the API server, with the user's own kubeconfig."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import urllib3
from kubernetes import config
from kubernetes.client import (
    ApiClient,
    ApiException,
    ApisApi,
    Configuration,
    CustomObjectsApi,
)
from kubernetes.client.rest import RESTResponse
from typing_extensions import override

from llmdeployment_cli.arms import Object
from llmdeployment_cli.errors import Conflict, Forbidden, Refusal, Unreachable
from llmdeployment_cli.flags import Flags
from llmdeployment_cli.gitops import MANAGER

GROUP, VERSION, PLURAL = "llmdeployment.dev", "v1alpha1", "llmdeployments"
KIND = "LLMDeployment"
_MOST_EVENTS = 500
OPERATOR = "llmdeployment-operator"
"""The value of the label app.kubernetes.io/name of every operator, and the name of its Helm chart."""
JSON = "application/json"
TABLE = f"{JSON};as=Table;v=v1;g=meta.k8s.io,{JSON}"
"""What `kubectl get` accepts: the API server makes the columns."""


@dataclass(frozen=True)
class Cluster:
    """A connection to one namespace of a cluster.

    Attributes:
        api: the client; closed with the process.
        namespace: the one that was given, else the context's.
        seconds: how long one call may take, in seconds; None is for ever.
    """

    api: ApiClient
    namespace: str
    seconds: float | None


class _Client(ApiClient):
    """A client that adds headers to each request, several of one name among them: a dict has room for one."""

    def __init__(self, configuration: Configuration, headers: Sequence[tuple[str, str]]) -> None:
        super().__init__(configuration=configuration)
        self._headers = headers

    @override
    def call_api(
        self, method: str, url: str, header_params: Any = None, *rest: Any, **named: Any
    ) -> RESTResponse:
        headers = urllib3.HTTPHeaderDict(header_params or {})
        for name, value in self._headers:
            headers.add(name, value)
        return super().call_api(method, url, headers, *rest, **named)


def connect(flags: Flags) -> Cluster:
    """Return a connection to the cluster that kubectl would use with these flags.

    Raises:
        Refusal: there is no kubeconfig, or it does not have this context.
    """
    path = flags.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    configuration = Configuration()
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]  # because the client has no types here
            config_file=path, context=flags.context, client_configuration=configuration
        )
        known, current = config.list_kube_config_contexts(config_file=path)  # type: ignore[no-untyped-call]  # because the client has no types here
    except (config.ConfigException, OSError) as error:
        raise Refusal(
            f"{path} leads to no cluster: {str(error).rstrip('.')}. Check $KUBECONFIG, --kubeconfig and --context."
        ) from error
    # A person waits at the terminal, so one retry is enough.
    configuration.retries = urllib3.Retry(1, redirect=0, backoff_factor=0.2)
    chosen = next((each for each in known if each["name"] == flags.context), current)
    return Cluster(
        _Client(configuration, list_impersonation_headers(flags)),
        flags.namespace or chosen["context"].get("namespace") or "default",
        flags.call_seconds,
    )


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
    api = CustomObjectsApi(cluster.api)
    with _explain_errors(cluster, name):
        return _require_object(
            api.get_namespaced_custom_object(
                GROUP,
                VERSION,
                cluster.namespace,
                PLURAL,
                name,
                _request_timeout=cluster.seconds,
                _headers={"Accept": accept},
            )
        )


def list_deployments(cluster: Cluster, namespace: str | None, accept: str = JSON) -> Object:
    """Return the list of the LLMDeployments in a namespace, in all of them for None; or with `TABLE` their table.

    Raises:
        Refusal: they may not be read, or the API server does not answer.
    """
    api = CustomObjectsApi(cluster.api)
    with _explain_errors(cluster):
        if namespace is None:
            return _require_object(
                api.list_cluster_custom_object(
                    GROUP,
                    VERSION,
                    PLURAL,
                    _request_timeout=cluster.seconds,
                    _headers={"Accept": accept},
                )
            )
        return _require_object(
            api.list_namespaced_custom_object(
                GROUP,
                VERSION,
                namespace,
                PLURAL,
                _request_timeout=cluster.seconds,
                _headers={"Accept": accept},
            )
        )


def list_revisions(cluster: Cluster, name: str) -> list[Object]:
    """Return the ControllerRevisions of an LLMDeployment, as JSON.

    Raises:
        Refusal: they may not be read, or the API server does not answer.
    """
    # The Ray head's StatefulSet has ControllerRevisions too, with its pods' labels: the manager's is not among them.
    # The client's own types rename fields, so `data` would not be the JSON that was stored.
    api = CustomObjectsApi(cluster.api)
    with _explain_errors(cluster, name):
        answer = api.list_namespaced_custom_object(
            "apps",
            "v1",
            cluster.namespace,
            "controllerrevisions",
            label_selector=",".join(f"{key}={value}" for key, value in build_labels(name).items()),
            _request_timeout=cluster.seconds,
        )
    items: list[Object] = _require_object(answer)["items"]
    return items


def list_events(cluster: Cluster, namespace: str | None) -> list[Object]:
    """Return the last Events about LLMDeployments of a namespace, of all of them for None, as JSON.

    Raises:
        Forbidden: the user may not list Events.
        Refusal: the API server does not answer.
    """
    place = f"/namespaces/{namespace}" if namespace is not None else ""
    with _explain_errors(cluster):
        found = _get_object(
            cluster,
            f"/api/v1{place}/events",
            ("fieldSelector", f"involvedObject.kind={KIND}"),
            ("limit", str(_MOST_EVENTS)),
        )
    items: list[Object] = found.get("items") or []
    return items


def read_config_map_key(cluster: Cluster, name: str, key: str) -> str:
    """Return the text of a key of a ConfigMap. A ConfigMap has 1 MiB at most.

    Raises:
        Forbidden: the user may not read it.
        Refusal: it or its key does not exist, or the API server does not answer.
    """
    with _explain_errors(cluster):
        try:
            found = _get_object(
                cluster, f"/api/v1/namespaces/{cluster.namespace}/configmaps/{name}"
            )
        except ApiException as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            raise Refusal(
                f"ConfigMap {name} does not exist in namespace {cluster.namespace}. Create it."
            ) from error
    data = found.get("data") or {}
    if key not in data:
        raise Refusal(f"ConfigMap {name} has no key {key}. Add it, or name another.")
    return str(data[key])


def _get_object(cluster: Cluster, path: str, *query: tuple[str, str]) -> Object:
    """Return the JSON at a path. Not through CoreV1Api, whose types rename fields."""
    answer = cluster.api.call_api(
        *cluster.api.param_serialize(
            "GET",
            path,
            query_params=list(query),
            header_params={"Accept": JSON},
            auth_settings=["BearerToken"],
        ),
        _request_timeout=cluster.seconds,
    )
    body = answer.read()  # type: ignore[no-untyped-call]  # because the client has no types here
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise ApiException(status=answer.status, reason=answer.reason, body=body.decode())
    return _require_object(json.loads(body))


def list_operators(cluster: Cluster) -> list[Object]:
    """Return the Deployments of the operators in all namespaces, as JSON.

    Raises:
        Forbidden: the user may not list Deployments of all namespaces.
        Refusal: the API server does not answer.
    """
    api = CustomObjectsApi(cluster.api)
    with _explain_errors(cluster):
        answer = api.list_cluster_custom_object(
            "apps",
            "v1",
            "deployments",
            label_selector=f"app.kubernetes.io/name={OPERATOR}",
            _request_timeout=cluster.seconds,
        )
    items: list[Object] = _require_object(answer)["items"]
    return items


def list_served_versions(cluster: Cluster) -> list[str]:
    """Return the versions of our API that the API server serves; none where the CRD is not installed.

    Raises:
        Forbidden: the user may not see which APIs there are.
        Refusal: the API server does not answer.
    """
    with _explain_errors(cluster):
        found = ApisApi(cluster.api).get_api_versions(_request_timeout=cluster.seconds)
    return [
        version.version
        for group in found.groups
        if group.name == GROUP
        for version in group.versions
    ]


def patch(cluster: Cluster, name: str, body: dict[str, Any]) -> Object:
    """Apply a JSON merge patch and return the patched object.

    Raises:
        Conflict: the object no longer has the resourceVersion that the patch names.
        Refusal: the API server refuses it, or does not answer.
    """
    api = CustomObjectsApi(cluster.api)
    with _explain_errors(cluster, name):
        return _require_object(
            api.patch_namespaced_custom_object(
                GROUP,
                VERSION,
                cluster.namespace,
                PLURAL,
                name,
                body,
                field_manager=MANAGER,
                field_validation="Strict",
                _request_timeout=cluster.seconds,
                _content_type="application/merge-patch+json",
            )
        )


@contextmanager
def _explain_errors(cluster: Cluster, name: str = "") -> Iterator[None]:
    try:
        yield
    except (ApiException, urllib3.exceptions.HTTPError) as error:
        raise _explain_refusal(error, cluster, name) from error


def _require_object(found: object) -> Object:
    if not isinstance(found, dict):
        raise Refusal(
            "the API server's answer is not a JSON object. Check that the kubeconfig names an API server."
        )
    return found


def _explain_refusal(error: Exception, cluster: Cluster, name: str) -> Refusal:
    if not isinstance(error, ApiException):
        host = cluster.api.configuration.host
        return Unreachable(
            f"the API server {host} does not answer ({error}). Check the kubeconfig and the network."
        )
    message = _extract_message(error)
    if error.status == HTTPStatus.CONFLICT:
        return Conflict(f"somebody else keeps changing {name}, so nothing was written. Try again.")
    if error.status == HTTPStatus.FORBIDDEN:
        return Forbidden(f"the API server refused the request: {message}")
    if error.status == HTTPStatus.NOT_FOUND and name and f'"{name}"' in message:
        return Refusal(
            f"no LLMDeployment {name} in namespace {cluster.namespace}. Choose another namespace with -n."
        )
    if error.status == HTTPStatus.NOT_FOUND:
        return Refusal(
            f"the cluster does not know LLMDeployments ({message}). Install the operator's CRD first."
        )
    return Refusal(f"the API server refused the request: {message}")


def _extract_message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason or error.status)
