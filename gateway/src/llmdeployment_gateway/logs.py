"""The log of both containers, and in it a line for each request that ended and for each vote."""

import json
import logging
import os
from collections.abc import Callable

from pythonjsonlogger.json import JsonFormatter

from llmdeployment_gateway.request_lines import RequestLines, is_refusal
from llmdeployment_gateway.signed_ids import SignedId
from llmdeployment_gateway.tally import EndedRequest
from llmdeployment_gateway.votes import Vote

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_KEYS = {"asctime": "time", "levelname": "level", "name": "logger", "deployment": "name"}
"""Keys of a line in JSON, by the attribute of the record. The order counts: `name` is free once the logger's is taken."""
_access = logging.getLogger("access")
_feedback = logging.getLogger("feedback")
_MOST_LINES = 100
"""Requests, and votes, that are logged each second; the others are counted in a line of their own, so that a rush does not fill a disk."""


def start_logging() -> None:
    """Write the log to stderr, as LLMD_LOG_LEVEL and LLMD_LOG_FORMAT (json, else text) say."""
    handler = logging.StreamHandler()
    fields = {
        "namespace": os.environ.get("LLMD_NAMESPACE", ""),
        "deployment": os.environ.get("LLMD_NAME", ""),
    }
    handler.setFormatter(
        JsonFormatter(_TEXT, rename_fields=_KEYS, static_fields=fields)
        if os.environ.get("LLMD_LOG_FORMAT") == "json"
        else logging.Formatter(_TEXT)
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(os.environ.get("LLMD_LOG_LEVEL", "INFO"))


class LineBudget:
    """Says which lines may be written: so many each second, and then how many were left out."""

    def __init__(self, read_clock: Callable[[], float], left_out: str) -> None:
        self._read_clock = read_clock
        self._left_out = left_out
        self._second = -1
        self._lines = 0

    def take(self) -> bool:
        """Say whether one more line may be written now."""
        second = int(self._read_clock())
        if second != self._second:
            if (left_out := self._lines - _MOST_LINES) > 0:
                _access.info(self._left_out, left_out)
            self._second, self._lines = second, 0
        self._lines += 1
        return self._lines <= _MOST_LINES


class AccessLog:
    """Writes a line for each request, as long as they are not too many; with `lines`, also those of the request log."""

    def __init__(self, read_clock: Callable[[], float], lines: RequestLines | None = None) -> None:
        self._lines = lines
        self._budget = LineBudget(
            read_clock, "%d more requests ended in that second and are not logged"
        )
        self._refusals = LineBudget(
            read_clock,
            "%d more requests were refused in that second and are not in the request log",
        )

    def write(self, ended: EndedRequest) -> None:
        """Log a request that ended, or count it if this second has had its lines."""
        if self._budget.take():
            _write(ended)
        if self._lines is not None and is_refusal(ended) and self._refusals.take():
            self._lines.write_refusal(ended)


class FeedbackLog:
    """Writes a line for each vote that was counted, as long as they are not too many; with `lines`, also those of the request log."""

    def __init__(self, read_clock: Callable[[], float], lines: RequestLines | None = None) -> None:
        self._lines = lines
        self._budget = LineBudget(
            read_clock, "%d more votes were counted in that second and are not logged"
        )

    def write(self, vote: Vote, voted: SignedId) -> None:
        """Log a vote with its comment: the one place where a comment goes."""
        if not self._budget.take():
            return
        if self._lines is not None:
            self._lines.write_vote(vote, voted)
        extra = {
            "score": vote.score,
            "comment": vote.comment,
            "arm": voted.arm,
            "revision": voted.revision,
            "request_id": vote.request_id,
        }
        _feedback.info(
            "score %g, arm %s, revision %s, request %s, comment %s",
            vote.score,
            voted.arm,
            voted.revision,
            vote.request_id,
            # A comment is one line, whatever is in it.
            json.dumps(vote.comment),
            extra=extra,
        )


def _write(ended: EndedRequest) -> None:
    extra = {
        "status": ended.status,
        "seconds": ended.seconds,
        "cut_by": ended.cut,
        "arm": ended.arm,
        "revision": ended.revision,
        "request_id": ended.request_id,
    }
    _access.info(
        "%d in %.3f s, arm %s, revision %s, request %s",
        ended.status,
        ended.seconds,
        ended.arm or "-",
        ended.revision or "-",
        ended.request_id or "-",
        extra=extra,
    )
