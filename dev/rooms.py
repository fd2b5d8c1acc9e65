"""The picture of the operator's rooms in docs/concepts/architecture.md, drawn from the import contracts.

`python -m dev.rooms` writes it into the page; a test holds the page to it.
"""

import ast
import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "concepts" / "architecture.md"
PACKAGE = "llmdeployment_operator"
SOURCE = REPOSITORY / "operator" / "src" / PACKAGE
BEGIN, END = "<!-- rooms: begin, made by `python -m dev.rooms` -->", "<!-- rooms: end -->"


def draw() -> str:
    """Return the picture: a Mermaid diagram of the floors, and what is in each room, from the top floor down."""
    contracts = _read_layers()
    return f"{_draw_floors(contracts)}\n\n{_list_rooms(contracts)}"


def _draw_floors(contracts: dict[str, list[list[str]]]) -> str:
    lines = ["```mermaid", "flowchart TB"]
    floors = contracts[""]
    for floor in floors:
        lines += [line for room in floor for line in _draw_room(room, contracts)]
    for upper, lower in pairwise(floors):
        lines += [f"  {over} --> {under}" for over in upper for under in lower]
    return "\n".join([*lines, "```"])


def _draw_room(room: str, contracts: dict[str, list[list[str]]]) -> list[str]:
    if room not in contracts:
        return [f"  {room}"]
    inner = contracts[room]
    boxes = [f"    {room}_{each}[{each}]" for floor in inner for each in floor]
    arrows = [
        f"    {room}_{over} --> {room}_{under}"
        for upper, lower in pairwise(inner)
        for over in upper
        for under in lower
    ]
    return [f"  subgraph {room}", *boxes, *arrows, "  end"]


def _list_rooms(contracts: dict[str, list[list[str]]]) -> str:
    lines = []
    for floor in contracts[""]:
        for room in floor:
            lines.append(f"- `{room}`: {_read_summary(SOURCE, room)}")
            lines += [
                f"  - `{room}/{each}`: {_read_summary(SOURCE / room, each)}"
                for inner in contracts.get(room, [])
                for each in inner
            ]
    return "\n".join(lines)


def replace_picture(page: str) -> str:
    """Return the page with today's picture between the marks.

    Raises:
        ValueError: the page has no marks.
    """
    pattern = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"the page has no {BEGIN}")
    return pattern.sub(lambda _: f"{BEGIN}\n{draw()}\n{END}", page)


def _read_layers() -> dict[str, list[list[str]]]:
    """Return the floors of each package by its name inside the operator, "" for the operator itself: rooms, highest first."""
    settings: dict[str, Any] = tomllib.loads(
        (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    )
    found: dict[str, list[list[str]]] = {}
    for contract in settings["tool"]["importlinter"]["contracts"]:
        containers = contract.get("containers", [""])
        if contract["type"] != "layers" or not _is_ours(contract, containers):
            continue
        for container in containers:
            name = container.removeprefix(PACKAGE).lstrip(".")
            found[name] = [
                [room.strip().removeprefix(f"{PACKAGE}.") for room in floor.split("|")]
                for floor in contract["layers"]
            ]
    return found


def _is_ours(contract: dict[str, Any], containers: list[str]) -> bool:
    return any(name.startswith(PACKAGE) for name in (*containers, *contract["layers"]))


def _read_summary(folder: Path, room: str) -> str:
    path = folder / room / "__init__.py"
    path = path if path.exists() else folder / f"{room}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0] if text else ""


if __name__ == "__main__":
    PAGE.write_text(replace_picture(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
