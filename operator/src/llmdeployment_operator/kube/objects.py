"""The handful of Kubernetes calls the operator makes, on the official asynchronous client.

Objects go in and out as plain JSON dictionaries: the operator compares them with its intent field by field, and
the client's model classes would cost ten times the CPU for nothing.
"""

import json
from collections.abc import Mapping
from typing import Any, cast

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import ApiException

from llmdeployment_operator.kube.errors import ApiConflict, ApiError, ApiRefused, ApiUnavailable
from llmdeployment_operator.kube.resources import BY_KIND, Resource

FIELD_MANAGER = "llmdeployment-operator"
TIMEOUT_SECONDS = 15.0

Object = dict[str, Any]

_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_REFUSED = frozenset({400, 401, 403, 405, 413, 415, 422})


async def get(
    client: ApiClient, resource: Resource, namespace: str | None, name: str
) -> Object | None:
    """Return the object, or None where there is none of this name."""
    return await _get(client, resource.path(namespace, name), "application/json")


async def exists(client: ApiClient, resource: Resource, namespace: str, name: str) -> bool:
    """Say whether an object exists, reading its metadata only: a Secret's content stays where it is."""
    return await _get(client, resource.path(namespace, name), _METADATA_ONLY) is not None


async def list_by_label(
    client: ApiClient, resource: Resource, namespace: str | None, selector: Mapping[str, str]
) -> list[Object]:
    """Return the objects of a kind that carry all labels of the selector (empty: every object)."""
    query = [("labelSelector", ",".join(f"{k}={v}" for k, v in sorted(selector.items())))]
    answer = await _request(
        client, "GET", resource.path(namespace), query=query if selector else []
    )
    items = cast("list[Object]", answer.get("items") or [])
    # The items of a list come without these two, and everything downstream tells objects apart by them.
    return [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in items]


async def apply(client: ApiClient, body: Object) -> Object:
    """Write the whole intent of one object by server-side apply and return what the server made of it.

    Raises:
        ApiConflict: `metadata.uid` is given and the object of that name is another one.
    """
    return await _apply(client, body, None)


async def apply_status(client: ApiClient, body: Object) -> Object:
    """Write the whole status of one object by server-side apply to its `/status`."""
    return await _apply(client, body, "status")


async def create(client: ApiClient, body: Object) -> Object:
    """Make an object.

    Raises:
        ApiConflict: there is one of that name.
    """
    path = BY_KIND[body["kind"]].path(body["metadata"]["namespace"])
    return await _request(client, "POST", path, body=body)


async def replace(client: ApiClient, body: Object) -> Object:
    """Write an object over the one that was read.

    Raises:
        ApiConflict: it was changed since, or is another one: `metadata` holds the version and uid that were read.
    """
    meta = body["metadata"]
    path = BY_KIND[body["kind"]].path(meta["namespace"], meta["name"])
    return await _request(client, "PUT", path, body=body)


async def delete(client: ApiClient, kind: str, namespace: str, name: str, uid: str) -> None:
    """Delete one object if it is still the one that was looked at; gone already is success."""
    body = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": uid},
        "propagationPolicy": "Background",
    }
    try:
        await _request(client, "DELETE", BY_KIND[kind].path(namespace, name), body=body)
    except ApiError as error:
        # 409: an object of that name exists, but not the one the plan was about; the next pass sees it.
        if error.status not in {404, 409}:
            raise


async def create_event(client: ApiClient, body: Object) -> None:
    """Post one Event."""
    await _request(client, "POST", BY_KIND["Event"].path(body["metadata"]["namespace"]), body=body)


async def _get(client: ApiClient, path: str, accept: str) -> Object | None:
    try:
        return await _request(client, "GET", path, accept=accept)
    except ApiError as error:
        if error.status == 404:  # noqa: PLR2004  reason=an HTTP status is its own name
            return None
        raise


async def _apply(client: ApiClient, body: Object, sub: str | None) -> Object:
    meta = body["metadata"]
    path = BY_KIND[body["kind"]].path(meta["namespace"], meta["name"], sub)
    query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
    return await _request(
        client, "PATCH", path, query=query, body=body, content_type="application/apply-patch+yaml"
    )


async def _request(client: ApiClient, method: str, path: str, **options: Any) -> Object:  # noqa: ANN401  reason=passed through to _raw, which is typed
    answer = json.loads(await _raw(client, method, path, **options))
    return cast("Object", answer)


async def _raw(
    client: ApiClient,
    method: str,
    path: str,
    *,
    query: list[tuple[str, str]] | None = None,
    body: Object | None = None,
    content_type: str = "application/json",
    accept: str = "application/json",
) -> bytes:
    headers = {"Accept": accept, "Content-Type": content_type}
    try:
        prepared = await client.param_serialize(
            method,
            path,
            query_params=query,
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        response = await client.call_api(*prepared, _request_timeout=TIMEOUT_SECONDS)
        data = cast("bytes", await response.read())  # type: ignore[no-untyped-call]  # because the client has no types here
    except ApiException as error:
        raise _translate_error(error.status or 0, str(error.body or error.reason)) from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise ApiUnavailable(f"{method} {path}: {error or type(error).__name__}") from error
    if response.status >= 400:  # noqa: PLR2004  reason=an HTTP status is its own name
        raise _translate_error(response.status, data.decode(errors="replace"))
    return data


def _translate_error(status: int, body: str) -> ApiError | ApiUnavailable:
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body[:500]
    if status == 409:  # noqa: PLR2004  reason=an HTTP status is its own name
        return ApiConflict(status, message)
    if status in _REFUSED:
        return ApiRefused(status, message)
    if status == 404:  # noqa: PLR2004  reason=an HTTP status is its own name
        return ApiError(status, message)
    return ApiUnavailable(f"the API server answered {status}: {message}")
