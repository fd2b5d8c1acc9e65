"""What answers are looked at for, from a mounted file that may change while a replica runs.

Replicas under Ray get it with their `UserConfig`. A replica without Ray has nobody to tell it, so the operator mounts a ConfigMap.
The kubelet writes a changed one to the pod within about 90 s, and an optional one that is gone leaves no file.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path

from llmdeployment_serving.config import MonitoringConfig, parse
from llmdeployment_serving.errors import ConfigError

logger = logging.getLogger(__name__)

MAX_BYTES = 256 * 1024
"""Bytes of the file that are read: twice 16 patterns of 512 characters need less, however JSON writes them."""
LOOK_SECONDS = 2.0
"""Seconds between two looks at the file."""

Take = Callable[[MonitoringConfig], None]


class MonitoringFile:
    """A file, and whoever takes what it says.

    Args:
        path: the file. While it does not exist, nothing but the built-in shares is wanted.
        take: is called with the settings whenever they changed.
    """

    def __init__(self, path: Path, take: Take) -> None:
        self._path = path
        self._take = take
        self._text: bytes | None = None

    def look(self) -> None:
        """Read the file. What cannot be read or is not valid is logged once, and the settings before it stay."""
        text = self._read()
        if text is None or text == self._text:
            return
        self._text = text
        try:
            self._take(_parse(text))
        except ConfigError as error:
            logger.error("the new monitoring is refused, the previous one stays: %s", error)  # noqa: TRY400  # because one sentence is enough

    async def follow(self) -> None:
        """Look again and again, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)  # why: kubelet gives no notice of new files
            self.look()

    def _read(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return b""
        except OSError as error:
            # The next look tries again, for the mount may only be slow.
            logger.warning("%s cannot be read: %s", self._path, error.strerror)
            return None


def _parse(text: bytes) -> MonitoringConfig:
    if not text:
        return MonitoringConfig()
    if len(text) > MAX_BYTES:
        raise ConfigError(f"the file has more than {MAX_BYTES} bytes")
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"the file is not valid JSON: {error}") from None
    return parse(MonitoringConfig, document)
