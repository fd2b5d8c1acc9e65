"""What a vote is, and which requests have had theirs."""

import heapq
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MAX_AGE_SECONDS = 24 * 3600
"""A vote may come this long after its answer began."""
SKEW_SECONDS = 300
"""By how much the clock of the gateway pod that signed an id may be ahead."""
MOST_VOTES = 100_000
"""Votes that are remembered. Each takes about 200 bytes."""
LONGEST_ID = 512
LONGEST_COMMENT = 1000
BODY_BYTES = 4096
"""Bytes of a vote: room for the longest comment in any script that JSON does not escape."""


class Refusal(NamedTuple):
    """Why a vote is not counted: what the client is answered."""

    status: int
    code: str
    message: str
    param: str | None = None


class VoteError(Exception):
    """A vote is refused. The message is for the client."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Vote(BaseModel):
    """The body of `POST /v1/feedback`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    request_id: Annotated[str, Field(max_length=LONGEST_ID)]
    """The header `x-llm-feedback-id` of the answer."""
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    """0 is bad and 1 is good."""
    comment: Annotated[str, Field(max_length=LONGEST_COMMENT)] = ""
    """For the gateway's log."""

    @property
    def badness(self) -> int:
        """1 - score in thousandths.

        >>> Vote(request_id="", score=0.25).badness
        750
        """
        return 1000 - round(1000 * self.score)


def parse_vote(body: bytes) -> Vote:
    """Return the vote of a request's body.

    Raises:
        VoteError: it is none; the message names the field.
    """
    try:
        return Vote.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = (
            f"{field or 'The body'}: {first['msg']}. "
            'Send {"request_id": "<x-llm-feedback-id of the answer>", "score": 0 to 1, "comment": "..."}.'
        )
        raise VoteError(Refusal(400, "invalid_feedback", message, field or None)) from error


class VoteMemory:
    """The requests that have had their vote, as many as there is room for.

    Nobody votes twice, whatever is forgotten: a vote is taken only for an answer that began after `horizon`, and all votes for later ones
    are remembered.
    """

    def __init__(self, started: int, most: int = MOST_VOTES) -> None:
        # An agent that was restarted does not know who has voted before.
        self.horizon = started - 1
        self._most = most
        self._seen: set[bytes] = set()
        self._oldest: list[tuple[int, bytes]] = []

    def add(self, signature: bytes, at: int) -> bool:
        """Remember the vote for an answer that began at `at`; return False if it has had one."""
        if signature in self._seen:
            return False
        self._seen.add(signature)
        heapq.heappush(self._oldest, (at, signature))
        if len(self._oldest) > self._most:
            self.horizon, forgotten = heapq.heappop(self._oldest)
            self._seen.discard(forgotten)
        return True
