"""The CRD on a control plane, and LLMDeployments to try on it."""

import json
import ssl
import time
import urllib.error
import urllib.request
from typing import Any

import yaml
from dev.cluster import api
from dev.cluster.control_plane import ControlPlane

from llmdeployment_operator.api.crd import build_crd
from llmdeployment_operator.api.types import API_VERSION, KIND

Object = dict[str, Any]


def install(plane: ControlPlane) -> None:
    """Apply the CRD and return once LLMDeployments are served; doing it again changes nothing."""
    path = (
        f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{build_crd()['metadata']['name']}"
    )
    api.apply(plane.access, path, build_crd())
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            api.call(plane.access, "GET", f"/apis/{API_VERSION}/llmdeployments")
        except api.ApiError:
            time.sleep(0.1)  # why: polling, with the deadline above
        else:
            return
    raise TimeoutError("the CRD is not served after 20 s")


def collection(namespace: str) -> str:
    """Return the path of a namespace's LLMDeployments."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/llmdeployments"


def request(
    plane: ControlPlane, path: str, body: Object | None = None, accept: str = "application/json"
) -> tuple[int, Object]:
    """GET, or POST a body; returns the status and the whole answer, of a refusal too."""
    asked = urllib.request.Request(  # noqa: S310  # because it is our own https address
        plane.url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {plane.token}",
            "Content-Type": "application/json",
            "Accept": accept,
        },
    )
    context = ssl.create_default_context(cafile=str(plane.ca))
    try:
        with urllib.request.urlopen(asked, timeout=10, context=context) as answer:  # noqa: S310  # because see above
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def dry_run(plane: ControlPlane, namespace: str, body: Object) -> tuple[int, Object]:
    """Create an LLMDeployment as `kubectl create --dry-run=server` does."""
    return request(plane, f"{collection(namespace)}?dryRun=All&fieldValidation=Strict", body)


def deployment(patch: str = "{}") -> Object:
    """Return the smallest LLMDeployment with a patch, in YAML, merged into it."""
    base = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "chat"},
        "spec": {"model": {"source": "hf://organisation/name"}},
    }
    return merged(base, yaml.safe_load(patch))


def merged(base: Object, patch: Object) -> Object:
    """Return a JSON merge of two objects."""
    result = dict(base)
    for key, value in patch.items():
        mine = result.get(key)
        both = isinstance(mine, dict) and isinstance(value, dict)
        result[key] = merged(mine or {}, value) if both else value
    return result
