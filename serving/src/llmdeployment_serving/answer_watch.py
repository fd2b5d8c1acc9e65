"""Looks at one answer on its way to the client. Whatever goes wrong here, the answer goes on as if nobody looked."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from llmdeployment_serving.answer_text import AnswerReader, Choice
from llmdeployment_serving.body_forms import AnswerForm, BodyForm
from llmdeployment_serving.output_shares import OutputPattern, examine
from llmdeployment_serving.questions import Question

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class AnswerWatch:
    """The answer to one request, which is looked at once it has ended; `add` only keeps its text."""

    def __init__(
        self, body: Mapping[str, Any], patterns: tuple[OutputPattern, ...], form: BodyForm
    ) -> None:
        self._form = form.answer
        self._patterns = patterns
        self._question = _try(lambda: form.read_question and form.read_question(body), None)
        self._reader: AnswerReader | None = None
        self.choices: tuple[Choice, ...] = ()
        """What the model said, once it was read."""

    @property
    def error(self) -> str:
        """The code of the error that the answer is, or ended in; empty if it is none, or nobody looked at it."""
        return self._reader.error if self._reader is not None else ""

    def start(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Take the head of the answer. One that is compressed, or neither JSON nor a stream, is not looked at."""
        self._reader = _try(lambda: _choose_reader(self._question, self._form, headers), None)

    def add(self, body: bytes) -> None:
        """Take one piece of the answer."""
        if (reader := self._reader) is None:
            return
        try:
            reader.add(body)
        except Exception:  # because a look at an answer must not end it
            self._reader = None
            logger.exception("an answer could not be looked at")

    def finish(self) -> dict[str, bool]:
        """Return whether the answer is bad, by share (`output_shares.examine`)."""
        question, reader = self._question, self._reader
        if question is None or reader is None:
            return {}
        self.read()
        return _try(lambda: examine(question, self.choices, self._patterns), {})

    def read(self) -> None:
        """Read what the model said so far."""
        if (reader := self._reader) is not None:
            self.choices = _try(reader.read, ())

    def read_finish_reasons(self) -> tuple[str, ...]:
        """Return why each choice ended, as far as the answer says."""
        if not self.choices:
            self.read()
        return tuple(each.finish_reason[:32] for each in self.choices if each.finish_reason)


def _choose_reader(
    question: Question | None, form: AnswerForm | None, headers: Iterable[tuple[bytes, bytes]]
) -> AnswerReader | None:
    named = {name.lower(): value for name, value in headers}
    kind = named.get(b"content-type", b"")
    streams = kind.startswith(b"text/event-stream")
    is_readable = streams or kind.startswith(b"application/json")
    if question is None or form is None or not is_readable or b"content-encoding" in named:
        return None
    return AnswerReader(streams=streams, choices=question.choices, read_choices=form.read_choices)


def _try(look: Callable[[], _Result], otherwise: _Result) -> _Result:
    try:
        return look()
    except Exception:  # because a look at an answer must not end it
        logger.exception("an answer could not be looked at")
        return otherwise
