"""HAProxy's runtime API: commands over its Unix socket, and parsers of the answers."""

import asyncio
import csv
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 5
"""Seconds that an answer may take."""
_MAINTENANCE = 0b111
"""srv_admin_state bits: forced, inherited and configured maintenance."""
_RUNNING = 2
_PAYLOAD_BYTES = 8192
"""Bytes. A command and its payload must fit HAProxy's buffer, which has 16 KiB by default; HAProxy refuses a longer one."""


class RuntimeApiError(Exception):
    """HAProxy does not answer, or refused a command."""


@dataclass(frozen=True)
class Server:
    """A server in HAProxy.

    Attributes:
        up: whether it gets requests.
        maintenance: whether it is in maintenance.
    """

    name: str
    up: bool
    maintenance: bool


@dataclass(frozen=True)
class HoldCounts:
    """The counts of `hold.lua`.

    Attributes:
        process: id of the HAProxy process.
        held: requests that wait now.
        full: requests refused because too many waited, since the process started.
        timeout: requests refused because they waited too long, since the process started.
    """

    process: str
    held: int
    full: int
    timeout: int


class RuntimeApi:
    """Commands to a HAProxy, one connection each."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def ask(self, command: str) -> str:
        """Send one command and return its answer.

        Raises:
            RuntimeApiError: HAProxy does not answer within 5 s.
        """
        try:
            async with asyncio.timeout(_SECONDS):
                reader, writer = await asyncio.open_unix_connection(str(self._socket))
                try:
                    writer.write(command.encode() + b"\n")
                    writer.write_eof()
                    return (await reader.read()).decode()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise RuntimeApiError(
                f"HAProxy does not answer on {self._socket}: {error!r}"
            ) from error

    async def order(self, command: str, expect: str = "") -> None:
        """Send a command that changes something.

        Args:
            command: one line, or a line and its payload.
            expect: start of the answer that means success.

        Raises:
            RuntimeApiError: HAProxy refused the command, or does not answer.
        """
        answer = (await self.ask(command)).strip()
        if not answer.startswith(expect) or (not expect and answer):
            raise RuntimeApiError(f"HAProxy refused `{command.splitlines()[0]}`: {answer}")

    async def replace_map(self, file: Path, text: str) -> None:
        """Replace a whole map at once: every request sees the old one or the new one.

        Raises:
            RuntimeApiError: HAProxy does not answer, or does not know the map.
        """
        answer = (await self.ask(f"prepare map {file}")).strip()
        version = answer.removeprefix("New version created: ")
        if not version.isdigit():
            raise RuntimeApiError(f"HAProxy refused `prepare map {file}`: {answer}")
        for part in split_lines(text):
            await self.order(f"add map @{version} {file} <<\n{part}")
        await self.order(f"commit map @{version} {file}")

    async def hold(self) -> HoldCounts:
        """Return the counts of `hold.lua`."""
        return parse_hold(await self.ask("show hold"))

    async def servers(self) -> dict[str, dict[str, Server]]:
        """Return the servers by backend and name, without the hold."""
        return parse_servers(await self.ask("show servers state"))

    async def requests(self) -> dict[str, int]:
        """Return, by backend, how many requests it got since the process started, with those in progress."""
        return parse_requests(await self.ask("show stat -1 2 -1"))


def split_lines(text: str) -> list[str]:
    """Return the lines in pieces that fit the buffer of a command (tune.bufsize)."""
    found: list[str] = []
    for line in text.splitlines(keepends=True):
        if found and len(found[-1]) + len(line) <= _PAYLOAD_BYTES:
            found[-1] += line
        else:
            found.append(line)
    return found


def parse_hold(answer: str) -> HoldCounts:
    """Read `show hold`.

    Raises:
        RuntimeApiError: the answer has another form.
    """
    rows = dict(line.split(" ", 1) for line in answer.splitlines() if " " in line)
    try:
        return HoldCounts(
            rows["process"], int(rows["held"]), int(rows["full"]), int(rows["timeout"])
        )
    except (KeyError, ValueError) as error:
        raise RuntimeApiError(
            f"HAProxy answered `show hold` with something else: {answer.strip()[:200]}"
        ) from error


def parse_servers(table: str) -> dict[str, dict[str, Server]]:
    """Read `show servers state`."""
    lines = [line for line in table.splitlines() if line]
    header = next((line[2:].split() for line in lines if line.startswith("# ")), [])
    found: dict[str, dict[str, Server]] = {}
    for line in lines:
        row = dict(zip(header, line.split(), strict=False))
        if line.startswith("#") or "srv_name" not in row:
            continue
        backend = found.setdefault(row["be_name"], {})
        admin = int(row["srv_admin_state"])
        if row["srv_name"] != "hold":
            backend[row["srv_name"]] = Server(
                name=row["srv_name"],
                up=int(row["srv_op_state"]) == _RUNNING and admin == 0,
                maintenance=bool(admin & _MAINTENANCE),
            )
    return found


def parse_requests(table: str) -> dict[str, int]:
    """Read `show stat` of backends: comma-separated; `stot` counts the requests that each got."""
    rows = csv.DictReader(table.removeprefix("# ").splitlines())
    return {row["pxname"]: int(row["stot"]) for row in rows if (row.get("stot") or "").isdigit()}
