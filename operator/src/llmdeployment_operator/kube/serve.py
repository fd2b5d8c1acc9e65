"""Ray Serve's REST API, as far as the operator uses it.

Source: `ray/dashboard/modules/serve/serve_head.py` and `ServeDeploySchema` in `ray/serve/schema.py`, Ray 2.60.
"""

import json
from http import HTTPStatus
from typing import Any

import aiohttp

from llmdeployment_operator.kube.bodies import read_bounded
from llmdeployment_operator.kube.errors import ServeRefused, ServeUnavailable

DASHBOARD_PORT = 8265
SECONDS = 5.0
"""How long a head may take to say what it runs."""
STATS, STATS_WITH_USERS = "/stats", "/stats?users=true"
"""What gateways and replicas answer, and that with counts by group of users, which are ten times the rest."""
_LARGEST_STATS = 1 << 20
"""Bytes: some twenty times what a replica of many revisions says."""
_LARGEST_APPLICATIONS = 1 << 22
_LARGEST_REFUSAL = 1 << 16
_PUT_TIMEOUT = aiohttp.ClientTimeout(total=60)
"""The first PUT starts the Serve controller, which takes 5 to 7 s on two cores."""


async def get_applications(
    session: aiohttp.ClientSession, host: str, token: str, seconds: float = SECONDS
) -> dict[str, Any]:
    """Return what Serve knows of its applications.

    Raises:
        ServeUnavailable: the head does not answer within `seconds`, or with something else than a JSON object of 4 MiB at most.
    """
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with session.get(
            _url(host), headers=_auth(token), timeout=timeout, allow_redirects=False
        ) as response:
            if response.status != HTTPStatus.OK:
                raise ServeUnavailable(f"Ray Serve answers {response.status}")
            found = _object(await read_bounded(response.content, _LARGEST_APPLICATIONS))
            if found is None:
                raise ServeUnavailable("Ray Serve answers with something else than an object")
            return found
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
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
            _url(host),
            headers=_auth(token),
            json=body,
            timeout=_PUT_TIMEOUT,
            allow_redirects=False,
        ) as response:
            answer = await read_bounded(response.content, _LARGEST_REFUSAL)
            text = answer.decode(errors="replace")
            if response.status == HTTPStatus.BAD_REQUEST:
                raise ServeRefused(text[-500:])
            if response.status != HTTPStatus.OK:
                raise ServeUnavailable(f"Ray Serve answers {response.status}: {text[-200:]}")
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise ServeUnavailable(
            f"Ray Serve does not answer: {error or type(error).__name__}"
        ) from error


async def get_stats(
    session: aiohttp.ClientSession, host: str, port: int, seconds: float = 10.0, path: str = STATS
) -> dict[str, Any] | None:
    """Return the `/stats` of a gateway or of a replica; `path` is STATS or STATS_WITH_USERS.

    None when it does not answer within `seconds`, or with something else than a JSON object of 1 MiB at most.
    """
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        url = f"http://{_host(host)}:{port}{path}"
        async with session.get(url, timeout=timeout, allow_redirects=False) as response:
            if response.status != HTTPStatus.OK:
                return None
            return _object(await read_bounded(response.content, _LARGEST_STATS))
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError, RecursionError):
        # Python gives up on lists that are nested a thousand deep.
        return None


def _object(body: bytes) -> dict[str, Any] | None:
    found = json.loads(body)
    return found if isinstance(found, dict) else None


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _url(host: str) -> str:
    return f"http://{_host(host)}:{DASHBOARD_PORT}/api/serve/applications/"


def _auth(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
