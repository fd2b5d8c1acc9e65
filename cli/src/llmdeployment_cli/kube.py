"""Reads and writes of the API server, with the user's own kubeconfig."""

import json
import os
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import urllib3
from kubernetes import config
from kubernetes.client import (
    ApiClient,
    ApiException,
    Configuration,
    CustomObjectsApi,
)

from llmdeployment_cli.arms import Object
from llmdeployment_cli.errors import Conflict, Refusal
from llmdeployment_cli.gitops import MANAGER

GROUP, VERSION, PLURAL = "llmdeployment.dev", "v1alpha1", "llmdeployments"
_SECONDS = 30
"""How long a call may take, in seconds."""


@dataclass(frozen=True)
class Cluster:
    """A connection to one namespace of a cluster.

    Attributes:
        api: the client; closed with the process.
        namespace: the one that was given, else the context's.
        context: the one that was given, or None for the kubeconfig's current one.
    """

    api: ApiClient
    namespace: str
    context: str | None


def connect(context: str | None, namespace: str | None) -> Cluster:
    """Return a connection to the cluster that kubectl would use: $KUBECONFIG or ~/.kube/config, and its current context.

    Raises:
        Refusal: there is no kubeconfig, or it does not have this context.
    """
    path = os.environ.get("KUBECONFIG") or "~/.kube/config"
    configuration = Configuration()
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]  # because the client has no types here
            config_file=path, context=context, client_configuration=configuration
        )
        known, current = config.list_kube_config_contexts(config_file=path)  # type: ignore[no-untyped-call]  # because the client has no types here
    except (config.ConfigException, OSError) as error:
        raise Refusal(
            f"{path} leads to no cluster: {str(error).rstrip('.')}. Check $KUBECONFIG and --context."
        ) from error
    # A person waits at the terminal, so one retry is enough.
    configuration.retries = urllib3.Retry(1, redirect=0, backoff_factor=0.2)
    chosen = next((each for each in known if each["name"] == context), current)
    return Cluster(
        ApiClient(configuration=configuration),
        namespace or chosen["context"].get("namespace") or "default",
        context,
    )


def build_labels(name: str) -> dict[str, str]:
    """Return the labels of the objects that the operator creates for an LLMDeployment."""
    return {f"{GROUP}/name": name, "app.kubernetes.io/managed-by": "llmdeployment-operator"}


def get_deployment(cluster: Cluster, name: str) -> Object:
    """Return an LLMDeployment.

    Raises:
        Refusal: it does not exist, may not be read, or the API server does not answer.
    """
    api = CustomObjectsApi(cluster.api)
    try:
        found = api.get_namespaced_custom_object(
            GROUP, VERSION, cluster.namespace, PLURAL, name, _request_timeout=_SECONDS
        )
    except (ApiException, urllib3.exceptions.HTTPError) as error:
        raise _explain_refusal(error, cluster, name) from error
    return _require_object(found)


def list_revisions(cluster: Cluster, name: str) -> list[Object]:
    """Return the ControllerRevisions of an LLMDeployment, as JSON.

    Raises:
        Refusal: they may not be read, or the API server does not answer.
    """
    # The Ray head's StatefulSet has ControllerRevisions too, with its pods' labels: the manager's is not among them.
    # The client's own types rename fields, so `data` would not be the JSON that was stored.
    api = CustomObjectsApi(cluster.api)
    try:
        answer = api.list_namespaced_custom_object(
            "apps",
            "v1",
            cluster.namespace,
            "controllerrevisions",
            label_selector=",".join(f"{key}={value}" for key, value in build_labels(name).items()),
            _request_timeout=_SECONDS,
        )
    except (ApiException, urllib3.exceptions.HTTPError) as error:
        raise _explain_refusal(error, cluster, name) from error
    items: list[Object] = _require_object(answer)["items"]
    return items


def patch(cluster: Cluster, name: str, body: dict[str, Any]) -> Object:
    """Apply a JSON merge patch and return the patched object.

    Raises:
        Conflict: the object no longer has the resourceVersion that the patch names.
        Refusal: the API server refuses it, or does not answer.
    """
    api = CustomObjectsApi(cluster.api)
    try:
        found = api.patch_namespaced_custom_object(
            GROUP,
            VERSION,
            cluster.namespace,
            PLURAL,
            name,
            body,
            field_manager=MANAGER,
            field_validation="Strict",
            _request_timeout=_SECONDS,
            _content_type="application/merge-patch+json",
        )
    except (ApiException, urllib3.exceptions.HTTPError) as error:
        raise _explain_refusal(error, cluster, name) from error
    return _require_object(found)


def _require_object(found: object) -> Object:
    if not isinstance(found, dict):
        raise Refusal(
            "the API server's answer is not a JSON object. Check that the kubeconfig names an API server."
        )
    return found


def _explain_refusal(error: Exception, cluster: Cluster, name: str) -> Refusal:
    if not isinstance(error, ApiException):
        host = cluster.api.configuration.host
        return Refusal(
            f"the API server {host} does not answer ({error}). Check the kubeconfig and the network."
        )
    if error.status == HTTPStatus.CONFLICT:
        return Conflict(f"somebody else keeps changing {name}, so nothing was written. Try again.")
    message = _extract_message(error)
    if error.status == HTTPStatus.NOT_FOUND and f'"{name}"' in message:
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
