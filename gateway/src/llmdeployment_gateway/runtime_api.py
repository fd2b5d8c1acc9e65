"""HAProxy's runtime API: its unix socket and the tables it answers with."""

import asyncio
import csv
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 5
_MAINTENANCE = 0b111
"""srv_admin_state bits: forced, inherited and configured maintenance."""
_RUNNING = 2
_PAYLOAD_BYTES = 8192
"""A command and its payload must fit HAProxy's buffer, 16 KiB unless configured; a longer one is refused whole."""


class RuntimeApiError(Exception):
    """HAProxy does not answer, or refused a command."""


@dataclass(frozen=True)
class Server:
    """A server as HAProxy has it.

    Attributes:
        up: it gets requests.
        maintenance: it was taken out.
    """

    name: str
    up: bool
    maintenance: bool


@dataclass(frozen=True)
class Hold:
    """What `hold.lua` says.

    Attributes:
        process: tells one HAProxy process from the next.
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
            RuntimeApiError: no answer within a few seconds, or no HAProxy.
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
            raise RuntimeApiError(f"HAProxy does not answer: {error!r}") from error

    async def order(self, command: str, expect: str = "") -> None:
        """Send a command that changes something.

        Args:
            command: one line, or a line and its payload.
            expect: how the answer starts when HAProxy did it.

        Raises:
            RuntimeApiError: it answered something else, or not at all.
        """
        answer = (await self.ask(command)).strip()
        if not answer.startswith(expect) or (not expect and answer):
            raise RuntimeApiError(f"{command.splitlines()[0]}: {answer}")

    async def replace_map(self, file: Path, text: str) -> None:
        """Replace all of a map at once: every request sees the old one or the new one.

        Raises:
            RuntimeApiError: HAProxy does not answer or does not know the map.
        """
        answer = (await self.ask(f"prepare map {file}")).strip()
        version = answer.removeprefix("New version created: ")
        if not version.isdigit():
            raise RuntimeApiError(f"prepare map {file}: {answer}")
        for part in parts(text):
            await self.order(f"add map @{version} {file} <<\n{part}")
        await self.order(f"commit map @{version} {file}")

    async def hold(self) -> Hold:
        """Return what `hold.lua` says."""
        return hold_of(await self.ask("show hold"))

    async def servers(self) -> dict[str, dict[str, Server]]:
        """Return the servers of every backend by backend and name, without the hold."""
        return servers_of(await self.ask("show servers state"))

    async def requests(self) -> dict[str, int]:
        """Return, by backend, the requests it was given since the process started, those under way among them."""
        return requests_of(await self.ask("show stat -1 2 -1"))


def parts(text: str) -> list[str]:
    """Return lines in pieces that a command's buffer (tune.bufsize) takes."""
    found: list[str] = []
    for line in text.splitlines(keepends=True):
        if found and len(found[-1]) + len(line) <= _PAYLOAD_BYTES:
            found[-1] += line
        else:
            found.append(line)
    return found


def hold_of(answer: str) -> Hold:
    """Read `show hold`.

    Raises:
        RuntimeApiError: it is not that.
    """
    rows = dict(line.split(" ", 1) for line in answer.splitlines() if " " in line)
    try:
        return Hold(rows["process"], int(rows["held"]), int(rows["full"]), int(rows["timeout"]))
    except (KeyError, ValueError) as error:
        raise RuntimeApiError(f"show hold: {answer.strip()[:200]}") from error


def servers_of(table: str) -> dict[str, dict[str, Server]]:
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


def requests_of(table: str) -> dict[str, int]:
    """Read `show stat` of backends: comma separated, `stot` counts what each was given."""
    rows = csv.DictReader(table.removeprefix("# ").splitlines())
    return {row["pxname"]: int(row["stot"]) for row in rows if (row.get("stot") or "").isdigit()}
