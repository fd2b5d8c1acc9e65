"""Reads what a model said out of the bytes of an answer, streamed or whole, with one choice or several.

It only reads. What is not of the API's form is passed over, and what is too large makes the answer one that nobody looks at.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from llmdeployment_serving.answer_choices import Choices, read_chat_choices

KEPT = 32 * 1024
"""Characters that are kept of the beginning, and as many of the end, of all of an answer's choices together."""
MOST_CHOICES = 8
"""Choices that are looked at; the kept characters are divided by their number."""
MOST_ARGUMENTS = 64 * 1024
"""Characters of a choice's tool calls together; the arguments of longer ones are not looked at."""
MOST_CALLS = 64
"""Tool calls of a choice that are looked at."""
MOST_WAITING = 2 * 1024 * 1024
"""Bytes of an answer that is not streamed, or of one event; larger ones are not looked at."""

_BATCH = 16 * 1024
_PIECES = 512
_CODE_CHARACTERS = 64
_DONE = b"[DONE]"


@dataclass(frozen=True)
class ToolCall:
    """A call that a model asks for: the function's name, and its arguments unless they were too long to keep."""

    name: str
    arguments: str | None


@dataclass(frozen=True)
class Choice:
    """One of the texts that answer a request.

    `texts` is the whole text, or its beginning and its end if it was too long to keep. `declined` says that the engine itself called
    the answer a refusal.
    """

    texts: tuple[str, ...]
    finish_reason: str = ""
    calls: tuple[ToolCall, ...] = ()
    declined: bool = False


class TextEnds:
    """The beginning and the end of a text that comes in pieces, in linear time and bounded memory."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._head: list[str] = []
        self._tail: list[str] = []
        self._head_size = self._tail_size = 0
        self._has_gap = False

    def append(self, piece: str) -> None:
        """Add a piece."""
        size = self._head_size + len(piece)
        if size <= self._kept:
            self._head.append(piece)
            self._head_size = size
            _compact(self._head)
            return
        if (room := self._kept - self._head_size) > 0:
            self._head.append(piece[:room])
            self._head_size = self._kept
            piece = piece[room:]
        if piece:
            self._tail.append(piece)
            self._tail_size += len(piece)
            _compact(self._tail)
        # why: at twice the size, so that each character is copied once on average.
        if self._tail_size > 2 * self._kept:
            self._cut()

    def read(self) -> tuple[str, ...]:
        """Return the whole text, or its beginning and its end."""
        if self._tail_size > self._kept:
            self._cut()
        head, tail = "".join(self._head), "".join(self._tail)
        return (head, tail) if self._has_gap else (head + tail,)

    def _cut(self) -> None:
        self._tail = ["".join(self._tail)[-self._kept :]]
        self._tail_size = self._kept
        self._has_gap = True


def _compact(pieces: list[str]) -> None:
    # why: a piece is a few characters, and as an object of its own ten times as many bytes.
    if len(pieces) > _PIECES:
        pieces[:] = ["".join(pieces)]


class _Draft:
    """A choice while it comes."""

    def __init__(self, kept: int) -> None:
        self._text = TextEnds(kept)
        self._finish_reason = ""
        self._names: dict[int, str] = {}
        self._arguments: dict[int, list[str]] = {}
        self._argument_size = 0
        self._declined = False

    def take(self, choice: dict[str, Any]) -> None:
        """Add what one event, or a whole answer, says of this choice."""
        if isinstance(text := choice.get("text"), str):
            self._text.append(text)
        if (message := choice.get("delta") or choice.get("message")) is not None:
            self._take_message(message)
        if isinstance(reason := choice.get("finish_reason"), str):
            self._finish_reason = shorten(reason, _CODE_CHARACTERS)

    def finish(self) -> Choice:
        """Return the choice."""
        fits = self._argument_size <= MOST_ARGUMENTS
        calls = tuple(
            ToolCall(name, "".join(self._arguments.get(place, ())) if fits else None)
            for place, name in self._names.items()
        )
        return Choice(self._text.read(), self._finish_reason, calls, self._declined)

    def _take_message(self, message: dict[str, Any]) -> None:
        if isinstance(content := message.get("content"), str):
            self._text.append(content)
        if isinstance(refusal := message.get("refusal"), str) and refusal:
            self._text.append(refusal)
            self._declined = True
        for place, call in enumerate(message.get("tool_calls") or ()):
            self._take_call(call.get("index", place), call.get("function") or {})

    def _take_call(self, place: int, function: dict[str, Any]) -> None:
        if place not in self._names:
            if len(self._names) >= MOST_CALLS:
                return
            self._names[place] = ""
        if isinstance(name := function.get("name"), str):
            self._names[place] += name[:256]
        if isinstance(arguments := function.get("arguments"), str):
            self._argument_size += len(arguments)
            if self._argument_size <= MOST_ARGUMENTS:
                self._arguments.setdefault(place, []).append(arguments)


class AnswerReader:
    """Takes an answer's bytes, in any pieces, and returns its choices at the end.

    Events are parsed many at once: for single ones, calls would take more time than the parser.

    Args:
        streams: whether the answer is server-sent events; else it is one JSON document.
        choices: how many texts the request asked for.
        read_choices: returns what a document of the API says, as choices of OpenAI's chat.
    """

    def __init__(
        self,
        *,
        streams: bool,
        choices: int = 1,
        read_choices: Callable[[dict[str, Any]], Choices] = read_chat_choices,
    ) -> None:
        self._streams = streams
        self._read_choices = read_choices
        self._choices = max(1, min(choices, MOST_CHOICES))
        self._drafts: dict[int, _Draft] = {}
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._enough = _BATCH if streams else MOST_WAITING + 1
        self._is_readable = True
        self.error = ""
        """The code of the error that the answer reports."""

    def add(self, body: bytes) -> None:
        """Take one piece of the answer."""
        if self._is_readable:
            self._waiting.append(body)
            self._waiting_size += len(body)
            if self._waiting_size >= self._enough:
                self._take_events()

    def read(self) -> tuple[Choice, ...]:
        """Return the choices, in order; none of an answer that is too large, reports an error, or is not of the API's form."""
        rest, self._waiting = b"".join(self._waiting), []
        if self._streams:
            self._take_lines(rest)
        else:
            self._take_documents((_parse(rest),))
        return tuple(draft.finish() for _, draft in sorted(self._drafts.items()))

    def _take_events(self) -> None:
        """Read the lines that are complete, and keep the rest."""
        lines, end, rest = b"".join(self._waiting).rpartition(b"\n")
        if len(rest) > MOST_WAITING:
            self._give_up()
            return
        self._waiting, self._waiting_size = [rest], len(rest)
        # why: a long event that comes in small pieces is not joined for each of them.
        self._enough = max(_BATCH, 2 * len(rest))
        if end:
            self._take_lines(lines)

    def _give_up(self) -> None:
        self._is_readable = False
        self._drafts, self._waiting = {}, []

    def _take_lines(self, lines: bytes) -> None:
        # why: an event of OpenAI is one line `data:`; comments, names and the lines between events say nothing.
        events = [line[5:] for line in lines.split(b"\n") if line.startswith(b"data:")]
        if events and events[-1].strip() == _DONE:
            events.pop()
        try:
            documents = orjson.loads(b"[%b]" % b",".join(events))
        except ValueError:
            documents = map(_parse, events)  # why: those around one that cannot be read can be
        self._take_documents(documents)

    def _take_documents(self, documents: Iterable[Any]) -> None:
        for document in documents:
            if not self._is_readable:
                return
            try:
                if error := document.get("error"):
                    self._give_up()
                    self.error = _name_error(error)
                else:
                    self._take_choices(self._read_choices(document))
            except (AttributeError, KeyError, TypeError):
                continue  # why: an event of another form says nothing, and the next one may

    def _take_choices(self, choices: Iterable[dict[str, Any]]) -> None:
        for place, choice in enumerate(choices):
            number = choice.get("index", place)
            if (draft := self._drafts.get(number)) is None:
                if not isinstance(number, int) or not 0 <= number < self._choices:
                    continue
                draft = self._drafts[number] = _Draft(KEPT // self._choices)
            draft.take(choice)


def _name_error(error: object) -> str:
    found = error.get("code") or error.get("type") if isinstance(error, dict) else None
    return shorten(str(found), _CODE_CHARACTERS) if isinstance(found, str | int) else "error"


def shorten(text: str, most: int) -> str:
    r"""Return the first characters of a text that others chose, as one that can be sent on: half a surrogate pair cannot be encoded.

    >>> shorten("ab\ud800c", 3)
    'ab?'
    """
    return text[:most].encode(errors="replace").decode()


def _parse(text: bytes) -> Any:  # noqa: ANN401  # because an engine's JSON may be anything
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    try:
        return json.loads(
            text
        )  # why: it takes half a surrogate pair, which some engines split over events
    except (RecursionError, ValueError):
        return None
