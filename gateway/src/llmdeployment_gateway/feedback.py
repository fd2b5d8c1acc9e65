"""`POST /v1/feedback`: what users think of an answer. HAProxy leads votes to a socket of the agent."""

from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from llmdeployment_gateway.logs import FeedbackLog
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


class FeedbackServer:
    """Takes votes, and counts each once.

    Args:
        key: what ids are signed with.
        tally: where votes are counted.
        read_time: seconds since 1970, the clock of the ids.
        log: where votes are written.
    """

    def __init__(
        self, key: bytes, tally: Tally, read_time: Callable[[], float], log: FeedbackLog
    ) -> None:
        self._key = key
        self._tally = tally
        self._read_time = read_time
        self._log = log
        self._memory = VoteMemory(int(read_time()))

    def build_app(self) -> web.Application:
        """Return the application."""
        app = web.Application(client_max_size=BODY_BYTES)
        app.router.add_post(PATH, self._post)
        return app

    async def _post(self, request: web.Request) -> web.Response:
        try:
            try:
                body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                raise VoteError(_TOO_LARGE) from None
            vote = self.take(body, request.headers.get(OWNER_HEADER, ""))
        except VoteError as refused:
            return _refuse(refused.refusal)
        return web.json_response(
            {"object": "feedback", "request_id": vote.request_id, "score": vote.score}
        )

    def take(self, body: bytes, owner: str) -> Vote:
        """Count a vote.

        Args:
            body: of the request.
            owner: the sha256 of the voter's API key, or empty.

        Raises:
            VoteError: it is not counted. The status, code and message are for the client.
        """
        vote = parse_vote(body)
        voted = read_id(vote.request_id, owner, self._key)
        if voted is None:
            raise VoteError(_UNKNOWN)
        self._check_time(voted)
        if not self._memory.add(voted.signature, voted.at):
            raise VoteError(_TWICE)
        self._tally.count_vote(voted.arm, voted.revision, voted.bucket, vote.badness)
        self._log.write(vote, voted)
        return vote

    def _check_time(self, voted: SignedId) -> None:
        age = self._read_time() - voted.at
        if not -SKEW_SECONDS <= age <= MAX_AGE_SECONDS:
            raise VoteError(_TOO_LATE)
        if voted.at <= self._memory.horizon:
            raise VoteError(_FORGOTTEN)


async def serve_feedback(server: FeedbackServer, socket: Path) -> web.AppRunner:
    """Listen for votes on a socket until the runner that is returned is cleaned up."""
    runner = web.AppRunner(server.build_app(), access_log=None)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    return runner


def _refuse(refusal: Refusal) -> web.Response:
    error = {
        "message": refusal.message,
        "type": "invalid_request_error",
        "param": refusal.param,
        "code": refusal.code,
    }
    # OpenAI's clients would send a vote again after a 409.
    headers = {"x-should-retry": "false"}
    return web.json_response({"error": error}, status=refusal.status, headers=headers)


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
_FORGOTTEN = Refusal(
    410,
    "feedback_too_late",
    "The gateway was restarted after this answer, or had too many votes since, so it does not know whether the answer has had its vote. "
    "Send feedback for a later answer.",
    "request_id",
)
