"""What a request asks for, as far as its answer is looked at: by the form of its body."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmdeployment_serving.answer_text import KEPT
from llmdeployment_serving.scripts import find_script

_JSON_FORMATS = ("json_object", "json_schema")


@dataclass(frozen=True)
class Question:
    """What an answer is looked at for.

    `script` is that of the last message of the user; `tools` are the names of the functions that the model may call.
    """

    choices: int = 1
    wants_json: bool = False
    tools: frozenset[str] = frozenset()
    script: str | None = None


def read_chat_question(body: Mapping[str, Any]) -> Question:
    """Return what a chat's answer is looked at for; a body that the engine will refuse asks for nothing."""
    functions = (tool.get("function") for tool in _list_objects(body.get("tools")))
    return Question(
        choices=_read_n(body),
        wants_json=_is_json_format(body.get("response_format")),
        tools=_list_names(functions),
        script=find_script(_read_last_message(body.get("messages"))),
    )


def read_completion_question(body: Mapping[str, Any]) -> Question:
    """Return what a completion's answer is looked at for."""
    prompts = body.get("prompt")
    many = len(prompts) if isinstance(prompts, list) else 1
    return Question(
        choices=_read_n(body) * max(1, many),
        wants_json=_is_json_format(body.get("response_format")),
        script=find_script(_read_text(prompts)),
    )


def read_response_question(body: Mapping[str, Any]) -> Question:
    """Return what the answer of `/v1/responses` is looked at for."""
    text, given = body.get("text"), body.get("input")
    said = given if isinstance(given, str) else _read_last_message(given)
    return Question(
        wants_json=isinstance(text, dict) and _is_json_format(text.get("format")),
        tools=_list_names(_list_objects(body.get("tools"))),
        script=find_script(said[:KEPT]),
    )


def read_message_question(body: Mapping[str, Any]) -> Question:
    """Return what the answer of `/v1/messages` is looked at for."""
    output = body.get("output_config")
    return Question(
        wants_json=isinstance(output, dict) and _is_json_format(output.get("format")),
        tools=_list_names(_list_objects(body.get("tools"))),
        script=find_script(_read_last_message(body.get("messages"))),
    )


def _read_n(body: Mapping[str, Any]) -> int:
    asked = body.get("n")
    return asked if isinstance(asked, int) and asked > 0 else 1


def _is_json_format(form: object) -> bool:
    return isinstance(form, dict) and form.get("type") in _JSON_FORMATS


def _list_objects(items: object) -> Iterable[Mapping[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _list_names(functions: Iterable[object]) -> frozenset[str]:
    found = (each.get("name") for each in functions if isinstance(each, dict))
    return frozenset(name for name in found if isinstance(name, str))


def _read_last_message(messages: object) -> str:
    for message in reversed(list(_list_objects(messages))):
        if message.get("role") == "user":
            return _read_text(message.get("content"))
    return ""


def _read_text(content: object) -> str:
    """Return a prompt's text, or its first `KEPT` characters."""
    parts = content if isinstance(content, list) else [content]
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return "\n".join(text for text in texts if isinstance(text, str))[:KEPT]
