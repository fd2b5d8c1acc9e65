"""What the official clients of OpenAI and of Anthropic can do with each engine: one table, which tests run and the docs show."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import anthropic
import openai

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {"name": "find_city", "parameters": SCHEMA, "strict": True}
TOOL: Any = {"type": "function", "function": FUNCTION}
FLAT_TOOL: Any = {"type": "function", **FUNCTION}
MESSAGE_TOOL: Any = {"name": "find_city", "input_schema": SCHEMA, "strict": True}
HELLO: Any = [{"role": "user", "content": "Hello to the city"}]
CALL = '<tool_call>\n{"name": "find_city", "arguments": {"city": "Paris"}}\n</tool_call>'
"""A tool call as Hermes writes it. Structured output makes a model without knowledge say it."""
SAYS_CALL: Any = {"structured_outputs": {"choice": [CALL]}}
JSON_SCHEMA: Any = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}}
NAMED_SCHEMA: Any = {"type": "json_schema", "name": "city", "schema": SCHEMA}


class Support(StrEnum):
    """What an engine does with a request."""

    YES = "yes"
    IGNORED = "ignored"
    """It answers as if the field were not there."""
    REFUSED = "400"
    ABSENT = "404"


@dataclass(frozen=True)
class Clients:
    """The official clients, of the same server."""

    openai: openai.OpenAI
    anthropic: anthropic.Anthropic


@dataclass(frozen=True)
class Case:
    """One way to call a path, and which engine does what is asked."""

    path: str
    call: str
    """As the docs show it: the client's method and what matters of its arguments."""
    ask: Callable[[Clients], bool]
    """Calls it, and says whether the answer is what was asked for."""
    vllm: Support = Support.YES
    transformers: Support = Support.YES
    simulated: Support = Support.YES


def _call(
    find: Callable[[Clients], Callable[..., Any]], **start: Any
) -> Callable[..., Callable[[Clients], bool]]:
    """Return what makes cases of a client's method; its answer is checked."""

    def build(check: Callable[[Any], bool], **options: Any) -> Callable[[Clients], bool]:
        return lambda clients: check(find(clients)(**{"model": "chat", **start, **options}))

    return build


def _stream(clients: Clients) -> Callable[..., Any]:
    def get_final(**given: Any) -> Any:
        with clients.anthropic.messages.stream(**given) as stream:
            return stream.get_final_message()

    return get_final


_chat = _call(lambda c: c.openai.chat.completions.create, messages=HELLO, max_tokens=200)
_complete = _call(lambda c: c.openai.completions.create, prompt="Hello to the city", max_tokens=8)
_respond = _call(lambda c: c.openai.responses.create, input="Hello", max_output_tokens=200)
_message = _call(lambda c: c.anthropic.messages.create, messages=HELLO, max_tokens=200)
_stream_message = _call(_stream, messages=HELLO, max_tokens=200)


def _count(clients: Clients, **options: Any) -> bool:
    given: Any = {"model": "chat", "messages": HELLO, **options}
    return clients.anthropic.messages.count_tokens(**given).input_tokens > 0


def _is_city(text: str | None) -> bool:
    try:
        return json.loads(text or "")["city"] in SCHEMA["properties"]["city"]["enum"]
    except (ValueError, TypeError, KeyError):
        return False


def _has_text(answer: Any) -> bool:
    choice = answer.choices[0]
    return bool(choice.message.content) and choice.finish_reason in ("stop", "length")


def _calls_tool(answer: Any) -> bool:
    calls = answer.choices[0].message.tool_calls or []
    return [call.function.name for call in calls] == ["find_city"] and _is_city(
        calls[0].function.arguments
    )


def _streams_text(chunks: Iterable[Any]) -> bool:
    return bool("".join(c.choices[0].delta.content or "" for c in chunks if c.choices))


def _streams_call(chunks: Iterable[Any]) -> bool:
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    calls = [call.function for delta in deltas for call in delta.tool_calls or []]
    names = [call.name for call in calls if call.name]
    return names == ["find_city"] and _is_city("".join(call.arguments or "" for call in calls))


def _has_output_call(response: Any) -> bool:
    calls = [item for item in response.output if item.type == "function_call"]
    return [call.name for call in calls] == ["find_city"] and _is_city(calls[0].arguments)


def _streams_response(kind: str, check: Callable[[str], bool]) -> Callable[[Iterable[Any]], bool]:
    def look(events: Iterable[Any]) -> bool:
        kept = list(events)
        said = "".join(event.delta for event in kept if event.type == f"response.{kind}.delta")
        return check(said) and kept[-1].type == "response.completed"

    return look


def _uses_tool(message: Any) -> bool:
    uses = [block for block in message.content if block.type == "tool_use"]
    return [use.name for use in uses] == ["find_city"] and _is_city(json.dumps(uses[0].input))


def _says(check: Callable[[str], bool]) -> Callable[[Any], bool]:
    return lambda message: check("".join(getattr(part, "text", "") for part in message.content))


_VLLM_ALONE = {"transformers": Support.REFUSED, "simulated": Support.IGNORED}
_REFUSED = {"transformers": Support.REFUSED, "simulated": Support.REFUSED}
_ABSENT = {"transformers": Support.ABSENT, "simulated": Support.ABSENT}
_one: Any = {"parallel_tool_calls": False}
_named: Any = {"type": "function", "function": {"name": "find_city"}}
_any: Any = {"type": "any", "disable_parallel_tool_use": True}
CHATS, COMPLETIONS, RESPONSES, MESSAGES, COUNT, MODELS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/models",
)
CASES = (
    Case(CHATS, "chat.completions.create()", _chat(_has_text, max_tokens=8)),
    Case(CHATS, "... stream=True", _chat(_streams_text, max_tokens=8, stream=True)),
    Case(
        CHATS,
        "... stream_options={'include_usage': True}",
        _chat(
            lambda chunks: list(chunks)[-1].usage.completion_tokens > 0,
            max_tokens=8,
            stream=True,
            stream_options={"include_usage": True},
        ),
    ),
    Case(
        CHATS,
        "... n=2",
        _chat(lambda answer: len(answer.choices) == 2, max_tokens=8, n=2, temperature=1),
        **_REFUSED,
    ),
    Case(
        CHATS,
        "... logprobs=True, top_logprobs=2",
        _chat(
            lambda answer: (
                answer.choices[0].logprobs is not None
                and len(answer.choices[0].logprobs.content[0].top_logprobs) == 2
            ),
            max_tokens=8,
            logprobs=True,
            top_logprobs=2,
        ),
        **_VLLM_ALONE,
    ),
    Case(
        CHATS,
        "... stop=['lo']",
        _chat(
            lambda answer: answer.choices[0].message.content == "Hel",
            stop=["lo"],
        ),
        simulated=Support.IGNORED,
    ),
    Case(
        CHATS,
        "... response_format={'type': 'json_schema', ...}",
        _chat(
            lambda answer: _is_city(answer.choices[0].message.content), response_format=JSON_SCHEMA
        ),
        **_VLLM_ALONE,
    ),
    Case(
        CHATS,
        "... tools=[...]",
        _chat(_calls_tool, tools=[TOOL], extra_body=SAYS_CALL),
        **_VLLM_ALONE,
    ),
    Case(
        CHATS,
        "... tools=[...], stream=True",
        _chat(_streams_call, tools=[TOOL], stream=True, extra_body=SAYS_CALL),
        **_VLLM_ALONE,
    ),
    Case(
        CHATS,
        "... tool_choice='required'",
        _chat(_calls_tool, tools=[TOOL], tool_choice="required", **_one),
        **_VLLM_ALONE,
    ),
    Case(
        CHATS,
        "... tool_choice={'function': ...}",
        _chat(_calls_tool, tools=[TOOL], tool_choice=_named),
        **_VLLM_ALONE,
    ),
    Case(
        CHATS,
        "... tool_choice='none'",
        _chat(_has_text, tools=[TOOL], tool_choice="none", max_tokens=8),
        transformers=Support.REFUSED,
    ),
    Case(
        COMPLETIONS, "completions.create()", _complete(lambda answer: bool(answer.choices[0].text))
    ),
    Case(
        COMPLETIONS,
        "... stream=True",
        _complete(
            lambda chunks: bool("".join(c.choices[0].text for c in chunks if c.choices)),
            stream=True,
        ),
    ),
    Case(
        COMPLETIONS,
        "... n=2",
        _complete(lambda answer: len(answer.choices) == 2, n=2, temperature=1),
        **_REFUSED,
    ),
    Case(
        COMPLETIONS,
        "... logprobs=2",
        _complete(lambda answer: answer.choices[0].logprobs is not None, logprobs=2),
        **_VLLM_ALONE,
    ),
    Case(
        RESPONSES,
        "responses.create()",
        _respond(lambda response: bool(response.output_text), max_output_tokens=16),
        **_ABSENT,
    ),
    Case(
        RESPONSES,
        "... stream=True",
        _respond(_streams_response("output_text", bool), max_output_tokens=16, stream=True),
        **_ABSENT,
    ),
    Case(
        RESPONSES,
        "... text={'format': {'type': 'json_schema', ...}}",
        _respond(lambda response: _is_city(response.output_text), text={"format": NAMED_SCHEMA}),
        **_ABSENT,
    ),
    Case(
        RESPONSES,
        "... tools=[...]",
        _respond(_has_output_call, tools=[FLAT_TOOL], extra_body=SAYS_CALL),
        **_ABSENT,
    ),
    Case(
        RESPONSES,
        "... tools=[...], stream=True",
        _respond(
            _streams_response("function_call_arguments", _is_city),
            tools=[FLAT_TOOL],
            stream=True,
            extra_body=SAYS_CALL,
        ),
        **_ABSENT,
    ),
    Case(
        RESPONSES,
        "... tool_choice='required'",
        _respond(_has_output_call, tools=[FLAT_TOOL], tool_choice="required", **_one),
        **_ABSENT,
    ),
    Case(
        RESPONSES,
        "... tool_choice={'type': 'function', ...}",
        _respond(
            _has_output_call,
            tools=[FLAT_TOOL],
            tool_choice={"type": "function", "name": "find_city"},
        ),
        **_ABSENT,
    ),
    Case(MESSAGES, "messages.create()", _message(_says(bool), max_tokens=8), **_ABSENT),
    Case(MESSAGES, "messages.stream()", _stream_message(_says(bool), max_tokens=8), **_ABSENT),
    Case(
        MESSAGES,
        "... stop_sequences=['Rome', 'Paris']",
        _message(
            lambda message: message.stop_reason == "stop_sequence",
            stop_sequences=["Rome", "Paris"],
            output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
        ),
        **_ABSENT,
    ),
    Case(
        MESSAGES,
        "... output_config={'format': {'type': 'json_schema', ...}}",
        _message(
            _says(_is_city), output_config={"format": {"type": "json_schema", "schema": SCHEMA}}
        ),
        **_ABSENT,
    ),
    Case(MESSAGES, "... tools=[...]", _message(_says(bool), tools=[MESSAGE_TOOL]), **_ABSENT),
    Case(
        MESSAGES,
        "... tool_choice={'type': 'any'}",
        _message(_uses_tool, tools=[MESSAGE_TOOL], tool_choice=_any),
        **_ABSENT,
    ),
    Case(
        MESSAGES,
        "... tool_choice={'type': 'tool', ...}",
        _message(
            _uses_tool, tools=[MESSAGE_TOOL], tool_choice={"type": "tool", "name": "find_city"}
        ),
        **_ABSENT,
    ),
    Case(
        MESSAGES,
        "messages.stream(tool_choice={'type': 'any'})",
        _stream_message(_uses_tool, tools=[MESSAGE_TOOL], tool_choice=_any),
        **_ABSENT,
    ),
    Case(COUNT, "messages.count_tokens()", _count, **_ABSENT),
    Case(
        COUNT,
        "... tools=[...]",
        lambda clients: _count(clients, tools=[MESSAGE_TOOL]),
        **_ABSENT,
    ),
    Case(
        MODELS,
        "models.list()",
        lambda clients: [model.id for model in clients.openai.models.list()] == ["chat"],
    ),
    Case(
        f"{MODELS}/<id>",
        "models.retrieve()",
        lambda clients: clients.openai.models.retrieve("chat").id == "chat",
    ),
)


def find_support(case: Case, clients: Clients) -> Support:
    """Return what the server does with a case."""
    try:
        return Support.YES if case.ask(clients) else Support.IGNORED
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        return Support(str(error.status_code))


def render_table() -> str:
    """Return the table of the docs."""
    lines = [
        "| path | client's call | `vllm` | `transformers` | `simulated` |",
        "|---|---|---|---|---|",
    ]
    before = ""
    for case in CASES:
        path = "" if case.path == before else f"`{case.path}`"
        cells = (path, f"`{case.call}`", case.vllm, case.transformers, case.simulated)
        lines.append(f"| {' | '.join(cells)} |")
        before = case.path
    return "\n".join(lines) + "\n"
