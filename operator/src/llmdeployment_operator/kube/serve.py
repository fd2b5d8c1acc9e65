"""Ray Serve's REST API, as far as the operator uses it.

Source: `ray/dashboard/modules/serve/serve_head.py` and `ServeDeploySchema` in `ray/serve/schema.py`, Ray 2.60.
"""

import json
from typing import Any, cast

import aiohttp

from llmdeployment_operator.kube.errors import ServeRefused, ServeUnavailable

DASHBOARD_PORT = 8265
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_LARGEST_STATS = 1 << 20
"""Bytes: some twenty times what a replica of many revisions says."""
_PUT_TIMEOUT = aiohttp.ClientTimeout(total=60)
"""The first PUT starts the Serve controller, which takes 5 to 7 s on two cores."""


async def get_applications(session: aiohttp.ClientSession, host: str, token: str) -> dict[str, Any]:
    """Return what Serve knows of its applications.

    Raises:
        ServeUnavailable: the head does not answer, or not yet.
    """
    try:
        async with session.get(_url(host), headers=_auth(token), timeout=_TIMEOUT) as response:
            if response.status != 200:  # noqa: PLR2004  reason=an HTTP status is its own name
                raise ServeUnavailable(f"Ray Serve answers {response.status}")
            return cast("dict[str, Any]", await response.json())
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise ServeUnavailable(
            f"Ray Serve does not answer: {error or type(error).__name__}"
        ) from error


async def put_applications(
    session: aiohttp.ClientSession, host: str, token: str, body: dict[str, Any]
) -> None:
    """Declare the applications. The declaration is total: what it leaves out, Serve deletes.

    Raises:
        ServeRefused: the body is not what Serve accepts.
        ServeUnavailable: the head does not answer.
    """
    try:
        async with session.put(
            _url(host), headers=_auth(token), json=body, timeout=_PUT_TIMEOUT
        ) as response:
            text = await response.text()
            if response.status == 400:  # noqa: PLR2004  reason=an HTTP status is its own name
                raise ServeRefused(text[-500:])
            if response.status != 200:  # noqa: PLR2004  reason=an HTTP status is its own name
                raise ServeUnavailable(f"Ray Serve answers {response.status}: {text[-200:]}")
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise ServeUnavailable(
            f"Ray Serve does not answer: {error or type(error).__name__}"
        ) from error


async def get_stats(
    session: aiohttp.ClientSession, host: str, port: int, seconds: float = 10.0
) -> dict[str, Any] | None:
    """Return the `/stats` of a gateway or of a replica.

    None when it does not answer within `seconds`, or with something else than a JSON object of 1 MiB at most.
    """
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with session.get(f"http://{_host(host)}:{port}/stats", timeout=timeout) as response:
            if response.status != 200:  # noqa: PLR2004  reason=an HTTP status is its own name
                return None
            return _object(await _bounded(response.content))
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError, RecursionError):
        # Python gives up on lists that are nested a thousand deep.
        return None


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = b""
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > _LARGEST_STATS:
            raise ValueError("the answer is too long")
    return body


def _object(body: bytes) -> dict[str, Any] | None:
    found = json.loads(body)
    return found if isinstance(found, dict) else None


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _url(host: str) -> str:
    return f"http://{_host(host)}:{DASHBOARD_PORT}/api/serve/applications/"


def _auth(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
