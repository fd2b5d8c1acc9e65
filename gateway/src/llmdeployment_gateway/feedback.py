"""`POST /v1/feedback`: what users think of an answer. HAProxy leads votes to a socket of the agent.

Of several gateway pods one takes the vote for an answer (`peers`). A pod that another is to take the vote of sends it there.
"""

import logging
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from llmdeployment_gateway.forwarding import SEAL_HEADER, Forwarder, ForwardError, has_seal
from llmdeployment_gateway.logs import FeedbackLog
from llmdeployment_gateway.peers import Peers, UnknownPeersError
from llmdeployment_gateway.signed_ids import SignedId, read_id
from llmdeployment_gateway.tally import Tally
from llmdeployment_gateway.votes import (
    BODY_BYTES,
    MAX_AGE_SECONDS,
    SKEW_SECONDS,
    Refusal,
    Vote,
    VoteError,
    VoteMemory,
    parse_vote,
)
from llmdeployment_gateway.voting import OWNER_HEADER, PATH

_log = logging.getLogger(__name__)


class FeedbackServer:
    """Takes votes, and counts each once in all of the gateway's pods.

    Args:
        key: what ids are signed with.
        tally: where votes are counted.
        read_time: seconds since 1970, the clock of the ids.
        log: where votes are written.
        peers: the gateway's pods.
        forwarder: what sends votes to them.
    """

    def __init__(
        self,
        key: bytes,
        tally: Tally,
        read_time: Callable[[], float],
        log: FeedbackLog,
        peers: Peers,
        forwarder: Forwarder,
    ) -> None:
        self._key = key
        self._tally = tally
        self._read_time = read_time
        self._log = log
        self._peers = peers
        self._forwarder = forwarder
        self._memory = VoteMemory(int(read_time()))

    def build_app(self) -> web.Application:
        """Return the application for HAProxy."""
        app = web.Application(client_max_size=BODY_BYTES)
        app.router.add_post(PATH, self._post)
        return app

    def add_forwarded(self, app: web.Application) -> None:
        """Let an application take votes that other pods send."""
        app.router.add_post(PATH, self._post_forwarded)

    async def _post(self, request: web.Request) -> web.Response:
        owner = request.headers.get(OWNER_HEADER, "")
        try:
            body = await _read_body(request)
            if (host := self.find_host(body, owner)) is None:
                return _confirm(self.take(body, owner))
            status, answer = await self._forwarder.send(host, body, owner)
        except VoteError as refused:
            return _refuse(refused.refusal)
        except ForwardError as error:
            _log.warning("the gateway pod at %s did not take a vote: %s", host, error)
            return _refuse(_PEER_AWAY)
        headers = _headers_of(status)
        return web.Response(
            status=status, body=answer, content_type="application/json", headers=headers
        )

    async def _post_forwarded(self, request: web.Request) -> web.Response:
        owner, seal = (request.headers.get(name, "") for name in (OWNER_HEADER, SEAL_HEADER))
        try:
            return _confirm(self.take_forwarded(await _read_body(request), owner, seal))
        except VoteError as refused:
            return _refuse(refused.refusal)

    def take_forwarded(self, body: bytes, owner: str, seal: str) -> Vote:
        """Count a vote that another pod sent.

        Raises:
            VoteError: as in `take`; or no pod of this gateway sent it, or this pod is not the one that takes it.
        """
        if not has_seal(seal, body, owner, self._key):
            raise VoteError(_UNKNOWN)
        if self.find_host(body, owner) is not None:
            # For a moment, the pods do not know of the same pods. Sent on, a vote might go round in circles.
            raise VoteError(_PEER_AWAY)
        return self.take(body, owner)

    def find_host(self, body: bytes, owner: str) -> str | None:
        """Return the address of the pod that takes a vote, or None if it is this one.

        Raises:
            VoteError: the vote is none, or the pods are not known yet.
        """
        voted = self._read(parse_vote(body), owner)
        try:
            return self._peers.find_host(voted.signature)
        except UnknownPeersError:
            raise VoteError(_PEER_AWAY) from None

    def take(self, body: bytes, owner: str) -> Vote:
        """Count a vote that this pod takes.

        Args:
            body: of the request.
            owner: the sha256 of the voter's API key, or empty.

        Raises:
            VoteError: it is not counted. The status, code and message are for the client.
        """
        vote = parse_vote(body)
        voted = self._read(vote, owner)
        self._check_time(voted)
        if not self._memory.add(voted.signature, voted.at):
            raise VoteError(_TWICE)
        self._tally.count_vote(voted.arm, voted.revision, voted.bucket, vote.badness)
        self._log.write(vote, voted)
        return vote

    def _read(self, vote: Vote, owner: str) -> SignedId:
        voted = read_id(vote.request_id, owner, self._key)
        if voted is None:
            raise VoteError(_UNKNOWN)
        return voted

    def _check_time(self, voted: SignedId) -> None:
        age = self._read_time() - voted.at
        if not -SKEW_SECONDS <= age <= MAX_AGE_SECONDS:
            raise VoteError(_TOO_LATE)
        own = self._peers.was_always_own(voted.signature, voted.at)
        if voted.at <= self._memory.horizon or not own:
            raise VoteError(_FORGOTTEN)


async def serve_feedback(server: FeedbackServer, socket: Path) -> web.AppRunner:
    """Listen for votes on a socket until the runner that is returned is cleaned up."""
    runner = web.AppRunner(server.build_app(), access_log=None)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    return runner


async def _read_body(request: web.Request) -> bytes:
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise VoteError(_TOO_LARGE) from None
    if len(body) > BODY_BYTES:
        raise VoteError(_TOO_LARGE)
    return body


def _confirm(vote: Vote) -> web.Response:
    return web.json_response(
        {"object": "feedback", "request_id": vote.request_id, "score": vote.score}
    )


def _refuse(refusal: Refusal) -> web.Response:
    away = refusal.status == HTTPStatus.SERVICE_UNAVAILABLE
    error = {
        "message": refusal.message,
        "type": "server_error" if away else "invalid_request_error",
        "param": refusal.param,
        "code": refusal.code,
    }
    headers = _headers_of(refusal.status)
    return web.json_response({"error": error}, status=refusal.status, headers=headers)


def _headers_of(status: int) -> dict[str, str]:
    """Return what says whether a vote may be sent again: OpenAI's clients would do so after a 409."""
    if status == HTTPStatus.OK:
        return {}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"retry-after": "2"}
    return {"x-should-retry": "false"}


_TOO_LARGE = Refusal(
    413,
    "body_too_large",
    f"The vote is larger than {BODY_BYTES // 1024} KiB. Send a shorter comment.",
    "comment",
)
_UNKNOWN = Refusal(
    404,
    "unknown_request_id",
    "request_id is not one that this gateway gave to you. Send the header x-llm-feedback-id of the answer, unchanged, "
    "and with the API key that asked.",
    "request_id",
)
_TWICE = Refusal(
    409,
    "feedback_given",
    "This answer has had its vote, which counts. Send one vote for each answer.",
    "request_id",
)
_TOO_LATE = Refusal(
    410,
    "feedback_too_late",
    f"The answer is not of the last {MAX_AGE_SECONDS // 3600} hours. Send feedback sooner.",
    "request_id",
)
_PEER_AWAY = Refusal(
    503,
    "feedback_unavailable",
    "The pod of this gateway that counts the vote does not answer, so it may not have been counted. Send it again.",
)
_FORGOTTEN = Refusal(
    410,
    "feedback_too_late",
    "The gateway was restarted after this answer, a pod of it came or went, or it had too many votes since. So it does not know whether "
    "the answer has had its vote. "
    "Send feedback for a later answer.",
    "request_id",
)
