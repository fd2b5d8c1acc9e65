"""Reads what a model's files say about its formats: its family and its chat templates, as vLLM finds them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmdeployment_serving.parsers import ModelFamily

TOOL_TEMPLATE = "tool_use"
"""The name of a template that transformers, and so vLLM, takes for requests with tools."""
_JINJA = "chat_template.jinja"
_MOST_BYTES = 20_000_000
"""Bytes of a file that is read, at most; `tokenizer_config.json` of a large vocabulary has a few million."""


def read_model_family(folder: Path, given: Mapping[str, object]) -> ModelFamily:
    """Return the family and the chat templates of the model in `folder`. What is missing or cannot be read counts as absent.

    Args:
        folder: the model's files.
        given: the flags of `spec.engine.args`; `chat-template` and `tokenizer` name other files.
    """
    if given.get("skip-tokenizer-init") is True:
        return ModelFamily("")  # why: without a tokenizer nobody chats
    name = _read_json(folder / "config.json").get("model_type")
    if name is None and (folder / "params.json").is_file():
        name = "mistral"  # why: Mistral's own format has no config.json
    templates = _read_templates(folder, given)
    default = templates.get("default", "")
    return ModelFamily(str(name or ""), default, templates.get(TOOL_TEMPLATE, default))


def _read_templates(folder: Path, given: Mapping[str, object]) -> dict[str, str]:
    """Return the templates by name."""
    if isinstance(chosen := given.get("chat-template"), str):
        # vLLM takes a path, or the template itself.
        return {"default": chosen if "{" in chosen else _read_text(Path(chosen))}
    if isinstance(other := given.get("tokenizer"), str):
        folder = Path(other)
    found = _name_templates(_read_json(folder / "tokenizer_config.json").get("chat_template"))
    found |= _name_templates(_read_json(folder / "chat_template.json").get("chat_template"))
    for file in sorted((folder / "additional_chat_templates").glob("*.jinja")):
        found[file.stem] = _read_text(file)
    if text := _read_text(folder / _JINJA):
        found["default"] = text
    return found


def _name_templates(value: Any) -> dict[str, str]:  # noqa: ANN401  # because a model's file may hold anything
    """Return one template, or a list of named ones, by name.

    >>> _name_templates([{"name": "tool_use", "template": "{{ tools }}"}])
    {'tool_use': '{{ tools }}'}
    """
    if isinstance(value, str):
        return {"default": value}
    rows = value if isinstance(value, list) else []
    named = (row for row in rows if isinstance(row, dict))
    return {str(row.get("name")): str(row["template"]) for row in named if "template" in row}


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(_read_text(file) or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _read_text(file: Path) -> str:
    try:
        if file.stat().st_size > _MOST_BYTES:
            return ""
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
