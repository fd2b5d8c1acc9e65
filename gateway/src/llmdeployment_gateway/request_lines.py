"""Lines of the request log that only the gateway knows of: votes, and requests that it refused itself. They go to standard output.

Replicas write the others (`llmdeployment_serving.log_entry`); names are the same. A vote's comment is not among them: replicas remove
secrets from what they log, and the gateway cannot.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from llmdeployment_gateway.signed_ids import SignedId
from llmdeployment_gateway.tally import EndedRequest
from llmdeployment_gateway.votes import Vote

_FIRST_ERROR = 400


class RequestLines:
    """Writes lines of JSON.

    Args:
        env: names the LLMDeployment and the pod.
        read_time: seconds since 1970.
        write: writes a line, which ends with a newline.
    """

    def __init__(
        self,
        env: Mapping[str, str] = os.environ,
        read_time: Callable[[], float] = time.time,
        write: Callable[[str], object] | None = None,
    ) -> None:
        named = {
            "k8s.namespace.name": env.get("LLMD_NAMESPACE", ""),
            "llmdeployment.name": env.get("LLMD_NAME", ""),
            "k8s.pod.name": env.get("HOSTNAME", ""),
        }
        self._static = {name: value for name, value in named.items() if value}
        self._read_time = read_time
        self._write = write or _print

    def write_vote(self, vote: Vote, voted: SignedId) -> None:
        """Write what a user thinks of an answer, whose line has the same `llmdeployment.answer_id` or, without one, `request_id`."""
        self._write_line(
            "feedback",
            {
                "llmdeployment.answer_id": voted.request,
                "llmdeployment.arm": voted.arm,
                "llmdeployment.revision": voted.revision,
                "llmdeployment.bucket": str(voted.bucket),
                "llmdeployment.score": vote.score,
            },
        )

    def write_refusal(self, ended: EndedRequest) -> None:
        """Write a request that no replica was asked."""
        self._write_line(
            "answer",
            {
                "llmdeployment.request_id": ended.request_id,
                "http.response.status_code": ended.status,
                "llmdeployment.duration_seconds": round(ended.seconds, 6),
                "error.type": str(ended.status),
            },
        )

    def _write_line(self, event: str, fields: Mapping[str, Any]) -> None:
        at = datetime.fromtimestamp(self._read_time(), UTC)
        stamp = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
        line = {"time": stamp, "event": event, **fields, **self._static}
        self._write(json.dumps(line, ensure_ascii=False) + "\n")


def is_refusal(ended: EndedRequest) -> bool:
    """Say whether the gateway refused a request itself."""
    return ended.status >= _FIRST_ERROR and not ended.arm


def _print(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()
