"""The handful of Kubernetes calls the operator makes, on the official asynchronous client.

Objects go in and out as plain JSON dictionaries: the operator compares them with its intent field by field, and
the client's model classes would cost ten times the CPU for nothing.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlencode

import aiohttp
import orjson
from kubernetes.aio.client import ApiClient
from yarl import URL

from llmdeployment_operator.kube.bodies import read_bounded
from llmdeployment_operator.kube.errors import (
    ApiConflict,
    ApiError,
    ApiRefused,
    ApiUnavailable,
    MalformedObject,
)
from llmdeployment_operator.kube.resources import BY_KIND, Resource

FIELD_MANAGER = "llmdeployment-operator"
TIMEOUT_SECONDS = 15.0
RETRIES = (0.2, 0.4)
"""Seconds before a read or a deletion is tried again that broke off, or that met a busy API server. Writes are not tried again
here: the work queue makes the whole pass again."""
_RETRIED = frozenset({"GET", "DELETE"})

PAGE = 500
"""Objects that a list asks for at a time."""
LARGEST, LARGEST_ERROR = 1 << 26, 1 << 20
"""Bytes: a page of the largest objects that etcd takes has less than the first."""

_TIMEOUT = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)

Object = dict[str, Any]

_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_REFUSED = frozenset({400, 401, 403, 405, 413, 415, 422})
_YAML = "application/apply-patch+yaml"
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""Characters that JSON may hold as they are and YAML may not, or reads as the end of a line. Source: YAML 1.1, 5.1 and 5.4."""
_MALFORMED = "failed to create typed patch object"
"""What server-side apply says, with status 500, of an object with a field, or a type of value, that its kind does not have."""


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
    answer = await _request(client, "GET", resource.path(namespace), query=_select(selector))
    return _complete(resource, answer)


async def list_versioned(
    client: ApiClient, resource: Resource, namespace: str | None, selector: Mapping[str, str]
) -> tuple[list[Object], str]:
    """Return all objects of a kind that carry all labels of the selector, page by page, and the list's resourceVersion."""
    found: list[Object] = []
    token = ""
    while True:
        query = [*_select(selector), ("limit", str(PAGE))]
        query += [("continue", token)] if token else []
        answer = await _request(client, "GET", resource.path(namespace), query=query)
        found += _complete(resource, answer)
        token = answer["metadata"].get("continue") or ""
        if not token:
            return found, str(answer["metadata"]["resourceVersion"])


async def watch(
    client: ApiClient,
    resource: Resource,
    namespace: str | None,
    selector: Mapping[str, str],
    version: str,
    seconds: int,
) -> AsyncIterator[Object]:
    """Yield the events of a kind after a resourceVersion, for about so many seconds.

    Raises:
        ApiError: the API server refused the watch.
        ApiUnavailable: it does not answer, or the connection broke.
    """
    query = [
        *_select(selector),
        ("watch", "1"),
        ("allowWatchBookmarks", "true"),
        ("resourceVersion", version),
        ("timeoutSeconds", str(seconds)),
    ]
    path = resource.path(namespace)
    silence = aiohttp.ClientTimeout(total=seconds + TIMEOUT_SECONDS, sock_connect=TIMEOUT_SECONDS)
    response = await _send(client, "GET", path, query=query, timeout=silence)
    try:
        await _check(response)
        async for line in response.content:
            yield orjson.loads(line)
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise ApiUnavailable(f"watch of {path}: {error or type(error).__name__}") from error
    finally:
        response.close()


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


async def delete(
    client: ApiClient, kind: str, namespace: str, name: str, uid: str
) -> Object | None:
    """Delete one object if it is still the one that was looked at; gone already is success.

    Returns:
        The object while it still ends, or None when it is gone.

    Raises:
        ApiError: the API server refused.
    """
    body = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": uid},
        "propagationPolicy": "Background",
    }
    try:
        answer = await _request(client, "DELETE", BY_KIND[kind].path(namespace, name), body=body)
    except ApiError as error:
        # 409: an object of that name exists, but not the one the plan was about; the next pass sees it.
        if error.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
            raise
        return None
    return None if answer.get("kind") == "Status" else answer


async def create_event(client: ApiClient, body: Object) -> None:
    """Post one Event."""
    await _request(client, "POST", BY_KIND["Event"].path(body["metadata"]["namespace"]), body=body)


async def _get(client: ApiClient, path: str, accept: str) -> Object | None:
    try:
        return await _request(client, "GET", path, accept=accept)
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise


async def _apply(client: ApiClient, body: Object, sub: str | None) -> Object:
    meta = body["metadata"]
    path = BY_KIND[body["kind"]].path(meta["namespace"], meta["name"], sub)
    query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
    return await _request(client, "PATCH", path, query=query, body=body, content_type=_YAML)


def _encode(body: Object, content_type: str) -> bytes:
    r"""Return a body as JSON, which as YAML says the same.

    >>> _encode({"text": "a\x7fb"}, _YAML)
    b'{"text":"a\\u007fb"}'
    """
    text = orjson.dumps(body)
    if content_type != _YAML:
        return text
    escaped = _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text.decode())
    return escaped.encode()


def _select(selector: Mapping[str, str]) -> list[tuple[str, str]]:
    text = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    return [("labelSelector", text)] if text else []


def _complete(resource: Resource, answer: Object) -> list[Object]:
    """Return the items of a list with the two fields that they come without, and that tell objects apart."""
    items = cast("list[Object]", answer.get("items") or [])
    return [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in items]


async def _request(client: ApiClient, method: str, path: str, **options: Any) -> Object:  # noqa: ANN401  # because _send, which gets them, is typed
    """Return the API server's answer to one request.

    Raises:
        ApiError: it refused.
        ApiUnavailable: it does not answer, cannot answer now, or says more than `LARGEST` bytes.
    """
    response = await _send(client, method, path, **options)
    try:
        await _check(response)
        return cast("Object", orjson.loads(await read_bounded(response.content, LARGEST)))
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise ApiUnavailable(f"{method} {path}: {error or type(error).__name__}") from error
    finally:
        response.release()


async def _send(  # noqa: PLR0913  # because each is a part of an HTTP request
    client: ApiClient,
    method: str,
    path: str,
    *,
    query: list[tuple[str, str]] | None = None,
    body: Object | None = None,
    content_type: str = "application/json",
    accept: str = "application/json",
    timeout: aiohttp.ClientTimeout = _TIMEOUT,  # noqa: ASYNC109  # because it is aiohttp's
) -> aiohttp.ClientResponse:
    """Send one request on the client's own connections and return what it was answered, its body still unread.

    The client's generated methods would copy every body field by field, and encode it once more.
    """
    configuration = client.configuration
    headers = {"Accept": accept, "Content-Type": content_type}
    await client.update_params_for_auth(headers, [], ["BearerToken"], "", method, None)
    url = f"{configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
    options: dict[str, Any] = {
        "headers": headers,
        "data": None if body is None else _encode(body, content_type),
        "timeout": timeout,
        "allow_redirects": False,
        "proxy": configuration.proxy,
        "server_hostname": configuration.tls_server_name,
    }
    session = client.rest_client.pool_manager
    if session is None:
        raise RuntimeError("make the client with kube.client.api_client")
    for delay in (*RETRIES, None) if method in _RETRIED else (None,):
        try:
            response = await session.request(method, URL(url, encoded=True), **options)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if delay is None:
                raise ApiUnavailable(f"{method} {path}: {error or type(error).__name__}") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiUnavailable(f"{method} {path}: {error or type(error).__name__}") from error
        else:
            if delay is None or response.status != HTTPStatus.TOO_MANY_REQUESTS:
                return response
            response.close()
        await asyncio.sleep(delay)  # why: an API server that is busy or restarts needs time
    raise AssertionError("the last try returns or raises")


async def _check(response: aiohttp.ClientResponse) -> None:
    """Do nothing if the API server did what it was asked.

    Raises:
        ApiError, ApiUnavailable: it did not; the message is its own.
    """
    if response.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    text = await read_bounded(response.content, LARGEST_ERROR)
    raise _translate_error(response.status, text.decode(errors="replace"))


def _translate_error(status: int, body: str) -> ApiError | ApiUnavailable:
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body[:500]
    if status == HTTPStatus.CONFLICT:
        return ApiConflict(status, message)
    if status in _REFUSED:
        return ApiRefused(status, message)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and _MALFORMED in message:
        return MalformedObject(HTTPStatus.UNPROCESSABLE_ENTITY, message)
    if status == HTTPStatus.NOT_FOUND:
        return ApiError(status, message)
    return ApiUnavailable(f"the API server answered {status}: {message}")
