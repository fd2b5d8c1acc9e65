"""The request log on the container's standard output: one JSON object a line."""

import os
import sys
from pathlib import Path
from typing import Any

import orjson

from llmdeployment_serving.log_queue import SinkError

STDOUT = "LLMD_STDOUT"
"""Variable with the path of the container's standard output. Ray's workers write theirs to files, which nobody reads."""


class StdoutSink:
    """Writes lines to the container's standard output."""

    def __init__(self) -> None:
        path = os.environ.get(STDOUT)
        self._file: int | None = None
        if path:
            try:
                self._file = os.open(Path(path), os.O_WRONLY | os.O_APPEND)
            except OSError:
                self._file = None
        self._own = self._file is not None

    def write(self, records: list[dict[str, Any]]) -> None:
        """Write lines.

        Raises:
            SinkError: nobody reads them.
        """
        file = self._file if self._file is not None else sys.__stdout__.fileno()  # type: ignore[union-attr]  # because a container has one
        try:
            write_all(file, b"".join(encode(record) for record in records))
        except OSError as error:
            message = f"standard output refuses a write: {error.strerror}"
            raise SinkError("failed", message) from None

    def tend(self) -> None:
        """Do nothing: what was written is the kubelet's."""

    def close(self) -> None:
        """End."""
        if self._own and self._file is not None:
            os.close(self._file)
            self._file = None


def encode(record: dict[str, Any]) -> bytes:
    """Return a record as a line of JSON."""
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def write_all(file: int, text: bytes) -> None:
    """Write all of a text to a file that may take a part at a time."""
    left = memoryview(text)
    while left:
        left = left[os.write(file, left) :]
