"""The page docs/reference/fields.md: every field of the CRD, made from the types in `api/`.

`python -m dev.api_reference` writes it, and `make crds` runs that; a test holds the page to it.
"""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmdeployment_operator.api.crd import build_crd

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "fields.md"
WIDTH = 116

Schema = dict[str, Any]

_INTRODUCTION = """\
# Fields of the resource

Use this page to look up a field: its type, its default, what it does and which values are refused.
It is made from the CRD by `make crds`, so it says what `kubectl explain llm --recursive` says, with the rules.
[api.md](api.md) says what a change of each field does, and lists conditions and reasons.

A field is required where its type says so.
The operator, and not the API server, checks [what no schema can say](api.md#who-refuses-what).
"""

_HEAD = ("## metadata", "", "Rules:", "")


def draw() -> str:
    """Return the page."""
    schema = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    sections = [_INTRODUCTION, "\n".join([*_HEAD, *_draw_rules(schema), ""])]
    for name in ("spec", "status"):
        sections += _draw_node(schema["properties"][name], name)
    return "\n".join(sections)


def _draw_node(node: Schema, path: str) -> Iterator[str]:
    """Yield the section of a node with fields, then those of the nodes below it."""
    lines = [f"## {path}", "", *_wrap(node.get("description", "")), ""]
    if rules := _draw_rules(node):
        lines += ["Rules:", "", *rules, ""]
    lines += ["| field | type | default | what it is |", "|---|---|---|---|"]
    required = node.get("required", ())
    for name, child in node["properties"].items():
        lines.append(_draw_row(name, child, name in required))
    yield "\n".join(lines) + "\n"
    for name, child in node["properties"].items():
        below = child.get("items", child)
        suffix = "[]" if "items" in child else ""
        if _has_section(below) and name != "overrides":
            yield from _draw_node(below, f"{path}.{name}{suffix}")


def _has_section(node: Schema) -> bool:
    return "properties" in node and not node.get("x-kubernetes-preserve-unknown-fields")


def _draw_row(name: str, node: Schema, required: bool) -> str:  # noqa: FBT001  # because it is a column of the table
    kind = _describe_type(node) + (", required" if required else "")
    default = node.get("default")
    shown = "" if default in (None, {}) else f"`{json.dumps(default).strip(chr(34))}`"
    text = " ".join(
        filter(None, [node.get("description", ""), _list_values(node), *_list_more_rules(node)])
    )
    return f"| `{name}` | {kind} | {shown} | {_escape(text)} |"


def _describe_type(node: Schema) -> str:
    """Return the type with its bounds.

    >>> _describe_type({"type": "integer", "minimum": 1, "maximum": 64})
    'integer, 1 to 64'
    >>> _describe_type({"type": "array", "maxItems": 8, "items": {"type": "string", "maxLength": 32}})
    'list of string to 32 characters, at most 8'
    """
    if node.get("x-kubernetes-int-or-string"):
        return "integer or string"
    kind = str(node["type"])
    if "items" in node:
        kind = f"list of {_describe_type(node['items'])}"
    elif "additionalProperties" in node:
        kind = "map"
    if "minimum" in node or "maximum" in node:
        kind += f", {_describe_bounds(node)}"
    if "maxLength" in node:
        kind += f" to {node['maxLength']} characters"
    most = node.get("maxItems") or node.get("maxProperties")
    return f"{kind}, at most {most}" if most else kind


def _describe_bounds(node: Schema) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if high is None:
        return f"at least {low}"
    return f"at most {high}" if low is None else f"{low} to {high}"


def _list_values(node: Schema) -> str:
    values = node.get("enum") or ()
    return f"One of {', '.join(f'`{value}`' for value in values)}." if values else ""


def _list_more_rules(node: Schema) -> Iterator[str]:
    """Yield the rules of a node that has no section of its own, and of a list's plain items."""
    if node.get("x-kubernetes-preserve-unknown-fields") and "properties" in node:
        refused = ", ".join(f"`{name}`" for name in node["properties"])
        yield f"Refused: {refused}. Everything else is passed on."
        return
    for each in (node, node.get("items", {})):
        if not _has_section(each):
            yield from _list_rules(each)


def _draw_rules(node: Schema) -> list[str]:
    return [line for rule in _list_rules(node) for line in _wrap(rule, "- ", "  ")]


def _list_rules(node: Schema) -> Iterator[str]:
    """Yield each rule once, as a sentence about the value."""
    messages = (rule["message"] for rule in node.get("x-kubernetes-validations", ()))
    for message in dict.fromkeys(messages):
        whole = (
            f"It {message}" if message.startswith(("must ", "cannot ", "contains ")) else message
        )
        yield whole if whole.endswith((".", "]")) else f"{whole}."


def _wrap(text: str, first: str = "", later: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(draw(), encoding="utf-8")
