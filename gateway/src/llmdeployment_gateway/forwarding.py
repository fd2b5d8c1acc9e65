"""A vote on its way from the gateway pod that it came to, to the one that takes it.

The other pod's agent cannot ask for the voter's API key. So the vote carries a seal, which only holders of the feedback's key can make:
the SHA-256 HMAC of the voter's owner and the body.
"""

import hmac
from http import HTTPStatus

import aiohttp
from yarl import URL

from llmdeployment_gateway.voting import OWNER_HEADER, PATH

SEAL_HEADER = "x-llm-seal"
_SECONDS = 5.0
"""Seconds that the other pod may take: less than HAProxy waits for this one."""


class ForwardError(Exception):
    """The other pod did not answer."""


class Forwarder:
    """Sends votes to other pods.

    Args:
        session: the HTTP client.
        port: of all agents.
        key: what ids for feedback are signed with.
    """

    def __init__(self, session: aiohttp.ClientSession, port: int, key: bytes) -> None:
        self._session = session
        self._port = port
        self._key = key

    async def send(self, host: str, body: bytes, owner: str) -> tuple[int, bytes]:
        """Return status and body of the other pod's answer.

        Raises:
            ForwardError: it did not answer.
        """
        url = URL.build(scheme="http", host=host, port=self._port, path=PATH)
        headers = {OWNER_HEADER: owner, SEAL_HEADER: seal(body, owner, self._key)}
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                found = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ForwardError(str(error) or type(error).__name__) from error
        if answer.status == HTTPStatus.NOT_FOUND and answer.content_type != "application/json":
            # An agent of an earlier release does not have the path.
            raise ForwardError("it takes no votes from other pods")
        return answer.status, found


def seal(body: bytes, owner: str, key: bytes) -> str:
    """Return the seal of a vote.

    >>> seal(b"{}", "", bytes(32)) == seal(b"{}", "a", bytes(32))
    False
    """
    # The owner is hexadecimal or empty, so no owner and body can be read as others.
    return hmac.digest(key, b"vote|" + owner.encode(errors="replace") + b"|" + body, "sha256").hex()


def has_seal(found: str, body: bytes, owner: str, key: bytes) -> bool:
    """Say whether a seal is that of this vote."""
    return hmac.compare_digest(found.encode(errors="replace"), seal(body, owner, key).encode())
