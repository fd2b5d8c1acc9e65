"""One line of the request log: what is known of a request when it comes, what its answer was like, and the record of both.

Names are those of OpenTelemetry's conventions for generative AI where there is one; docs/how-to/request-log.md lists all of them. A record
holds no header but those of the gateway, and so neither a key nor a cookie.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from llmdeployment_serving.answer_text import Choice, ToolCall
from llmdeployment_serving.output_shares import PATTERN
from llmdeployment_serving.redaction import Redactor, trim_end, trim_start
from llmdeployment_serving.usage import Usage

KEPT_PROMPT = 64 * 1024
"""Characters of a prompt that are kept: the last ones, since a long conversation ends with what was asked."""
LONGEST_NAME = 256
"""Characters of a header or a name."""
_MESSAGE_CHARACTERS = 32
"""Characters that a message takes besides its text, so that empty ones are bounded too."""
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


@dataclass(frozen=True)
class PromptMessage:
    """A message of a client: its role and its texts. What is no text, such as an image, is left out."""

    role: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Prompt:
    """What is kept of a prompt; `was_cut` says that it is not all."""

    messages: tuple[PromptMessage, ...] = ()
    was_cut: bool = False


@dataclass(slots=True)
class LogEntry:
    """What is known of a request before its answer.

    Attributes:
        at: when it came, in seconds since 1970.
        operation: `chat` or `text_completion`.
        revision: that the request counts for.
        headers: what the gateway said: arm, key name, bucket and ids, by the record's name.
        with_content: whether prompt and answer are kept.
        model: the model that was asked for, once it is known to be one of the revision's.
        prompt: what the client said.
        error: why it was refused.
    """

    at: float
    operation: str
    revision: str
    headers: dict[str, str]
    with_content: bool
    model: str = ""
    prompt: Prompt | None = None
    error: str = ""


@dataclass(frozen=True)
class Outcome:
    """What an answer was like.

    Attributes:
        status: code of the answer; 499: the client left before its end.
        seconds: from arrival to the end.
        first_chunk_seconds: from arrival to the first chunk with tokens; None if it was not streamed.
        usage: the tokens that the engine reports; None if it does not.
        chunks: those that carried tokens.
        found: whether the answer is bad, by share.
        choices: what the model said, as far as it was kept.
        error: the code that the engine gave.
    """

    status: int
    seconds: float
    first_chunk_seconds: float | None = None
    usage: Usage | None = None
    chunks: int = 0
    found: Mapping[str, bool] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    error: str = ""


def keep_prompt(body: Mapping[str, Any]) -> Prompt:
    """Return the last `KEPT_PROMPT` characters of a client's prompt.

    >>> keep_prompt({"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}).messages
    (PromptMessage(role='user', texts=('hi',)),)
    """
    kept: list[PromptMessage] = []
    room = KEPT_PROMPT
    for message in reversed(_list_messages(body)):
        if not isinstance(message, dict):
            continue
        texts, room = _keep_texts(message.get("content"), room - _MESSAGE_CHARACTERS)
        role = message.get("role")
        named = role if isinstance(role, str) and role in _ROLES else "other"
        kept.append(PromptMessage(named, texts))
        if room <= 0:
            return Prompt(tuple(reversed(kept)), was_cut=True)
    return Prompt(tuple(reversed(kept)))


def _list_messages(body: Mapping[str, Any]) -> list[Any]:
    """Return a prompt as messages: `messages`, `input`, `prompt` or `query`, and the client's system text before them."""
    system = body.get("system") or body.get("instructions")
    first = [{"role": "system", "content": system}] if system else []
    if isinstance(messages := body.get("messages"), list):
        return [*first, *messages]
    asked = body.get("input")
    if isinstance(asked, list) and any(isinstance(each, dict) for each in asked):
        return [*first, *asked]
    said = asked or body.get("prompt") or body.get("query")
    return [*first, {"role": "user", "content": said}]


def _keep_texts(content: object, room: int) -> tuple[tuple[str, ...], int]:
    """Return the last texts of a message that fit, and the room that is left; 0 or less if something was left out."""
    kept: list[str] = []
    for text in reversed(list(_list_texts(content))):
        if len(text) >= room:
            kept.append(trim_start(text[-room:]) if room > 0 else "")
            return tuple(reversed(kept)), 0
        kept.append(text)
        room -= len(text) + 1
    return tuple(reversed(kept)), room


def _list_texts(content: object) -> Iterator[str]:
    for part in content if isinstance(content, list) else [content]:
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            yield text


def drop_content(outcome: Outcome) -> Outcome:
    """Return what an answer was like, without what the model said.

    >>> drop_content(Outcome(200, 1.0, choices=(Choice(("Hi",), "stop"),))).choices
    (Choice(texts=(), finish_reason='stop', calls=(), declined=False),)
    """
    reasons = [each.finish_reason for each in outcome.choices if each.finish_reason]
    return replace(outcome, choices=tuple(Choice((), reason) for reason in reasons))


def measure(entry: LogEntry, outcome: Outcome) -> int:
    """Return about how many bytes an entry takes while it waits."""
    texts = [text for choice in outcome.choices for text in choice.texts]
    calls = [call for choice in outcome.choices for call in choice.calls]
    texts += [text for call in calls for text in (call.name, call.arguments or "")]
    if entry.prompt is not None:
        texts += [text for message in entry.prompt.messages for text in message.texts]
    return 1024 + sum(map(len, texts))


def build_record(
    entry: LogEntry, outcome: Outcome, redactor: Redactor, sample_percent: int = 100
) -> dict[str, Any]:
    """Return the line; what is not known is left out."""
    usage = outcome.usage
    counted = outcome.chunks or None
    known = {
        "gen_ai.request.model": entry.model,
        "gen_ai.usage.input_tokens": usage.prompt_tokens if usage else None,
        "gen_ai.usage.output_tokens": usage.output_tokens if usage else counted,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens if usage else None,
        "gen_ai.response.finish_reasons": [
            each.finish_reason for each in outcome.choices if each.finish_reason
        ],
        "error.type": _name_error(entry, outcome),
        "llmdeployment.time_to_first_chunk_seconds": _round(outcome.first_chunk_seconds),
        "llmdeployment.patterns": [
            share.removeprefix(PATTERN)
            for share, is_found in outcome.found.items()
            if is_found and share.startswith(PATTERN)
        ],
        "llmdeployment.sample_percent": sample_percent if sample_percent < 100 else None,  # noqa: PLR2004  # because it is all of them
    }
    record = {
        "time": format_time(entry.at),
        "event": "answer",
        **entry.headers,
        "llmdeployment.revision": entry.revision,
        "gen_ai.operation.name": entry.operation,
        "http.response.status_code": int(outcome.status),
        "llmdeployment.duration_seconds": _round(outcome.seconds),
        **{name: value for name, value in known.items() if value not in (None, "", [])},
    }
    return record | _build_content(entry, outcome, redactor) if entry.with_content else record


def format_time(at: float) -> str:
    """Return a time in seconds since 1970 as RFC 3339 has it.

    >>> format_time(1_700_000_000.25)
    '2023-11-14T22:13:20.250Z'
    """
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}.{int(at * 1000 % 1000):03d}Z"


def _name_error(entry: LogEntry, outcome: Outcome) -> str:
    if outcome.status == 499:  # noqa: PLR2004  # because it is no status of HTTP's
        return "client_left"
    failed = outcome.status >= HTTPStatus.BAD_REQUEST
    code = entry.error or outcome.error
    return (code or str(int(outcome.status))) if failed else outcome.error


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _build_content(entry: LogEntry, outcome: Outcome, redactor: Redactor) -> dict[str, Any]:
    """Return prompt and answer without secrets, in the form of the conventions: messages that have parts."""
    prompt = entry.prompt or Prompt()
    was_cut = prompt.was_cut or any(len(each.texts) > 1 for each in outcome.choices)
    found: dict[str, Any] = {
        "gen_ai.input.messages": [
            {"role": each.role, "parts": _build_texts(each.texts, redactor)}
            for each in prompt.messages
        ],
        "gen_ai.output.messages": [_build_answer(each, redactor) for each in outcome.choices],
    }
    return found | ({"llmdeployment.truncated": True} if was_cut else {})


def _build_answer(choice: Choice, redactor: Redactor) -> dict[str, Any]:
    texts = choice.texts
    if len(texts) > 1:
        texts = (trim_end(texts[0]), trim_start(texts[-1]))
    calls = [_build_call(call, redactor) for call in choice.calls]
    parts = [*_build_texts([text for text in texts if text], redactor), *calls]
    return {"role": "assistant", "parts": parts, "finish_reason": choice.finish_reason}


def _build_texts(texts: Iterable[str], redactor: Redactor) -> list[dict[str, Any]]:
    return [{"type": "text", "content": redactor.redact(text)} for text in texts]


def _build_call(call: ToolCall, redactor: Redactor) -> dict[str, Any]:
    part = {"type": "tool_call", "name": redactor.redact(call.name)}
    if call.arguments is None:
        return part
    return part | {"arguments": redactor.redact(_unescape(call.arguments))}


def _unescape(arguments: str) -> str:
    """Return JSON without the escapes that would hide a secret, or a text that is no JSON as it is."""
    try:
        return json.dumps(json.loads(arguments), ensure_ascii=False)
    except (RecursionError, ValueError):
        return arguments
