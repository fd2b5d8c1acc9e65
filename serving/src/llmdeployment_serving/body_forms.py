"""The forms of a request's body: where its prompt is, what its answer is looked at for, and how the answer says its text."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llmdeployment_serving import prompts, questions
from llmdeployment_serving.answer_choices import (
    Choices,
    read_chat_choices,
    read_message_choices,
    read_response_choices,
)
from llmdeployment_serving.config import PromptConfig
from llmdeployment_serving.errors import build_anthropic_error, build_openai_error
from llmdeployment_serving.plain_text import apply_to_text
from llmdeployment_serving.questions import Question


@dataclass(frozen=True)
class AnswerForm:
    """How an answer says its text.

    `token` finds an event that carries some of it, and `role` one that is sent with the first token but carries none. They are searched
    in bytes, because parsing each event of each stream is expensive; in a model's text the quotes have a backslash.
    """

    token: re.Pattern[bytes]
    role: re.Pattern[bytes] | None
    read_choices: Callable[[dict[str, Any]], Choices]


@dataclass(frozen=True)
class BodyForm:
    """A form of bodies. Without an `answer`, the model generates nothing, and nobody counts the request."""

    count_bytes: Callable[[Mapping[str, Any]], int]
    apply_prompt: Callable[[dict[str, Any], PromptConfig], dict[str, Any]]
    read_question: Callable[[Mapping[str, Any]], Question] | None = None
    answer: AnswerForm | None = None
    build_error: Callable[[int, str, str | None], dict[str, Any]] = build_openai_error


# why: other servers may write spaces into their JSON.
_CHOICES = AnswerForm(
    token=re.compile(rb'"choices"\s*:\s*\[\s*\{'),
    role=re.compile(rb'"role"\s*:\s*"assistant"'),
    read_choices=read_chat_choices,
)
_RESPONSE_EVENTS = AnswerForm(
    token=re.compile(
        rb'"type"\s*:\s*"response\.(output_text|reasoning_text|function_call_arguments|refusal)\.delta"'
    ),
    role=None,
    read_choices=read_response_choices,
)
_MESSAGE_EVENTS = AnswerForm(
    token=re.compile(rb'"type"\s*:\s*"content_block_delta"'),
    role=None,
    read_choices=read_message_choices,
)

CHAT = BodyForm(
    prompts.count_chat_bytes, prompts.apply_to_chat, questions.read_chat_question, _CHOICES
)
COMPLETION = BodyForm(
    prompts.count_completion_bytes,
    prompts.apply_to_completion,
    questions.read_completion_question,
    _CHOICES,
)
RESPONSE = BodyForm(
    prompts.count_response_bytes,
    prompts.apply_to_response,
    questions.read_response_question,
    _RESPONSE_EVENTS,
)
MESSAGE = BodyForm(
    prompts.count_message_bytes,
    prompts.apply_to_message,
    questions.read_message_question,
    _MESSAGE_EVENTS,
    build_anthropic_error,
)
TEXT = BodyForm(
    prompts.count_completion_bytes, apply_to_text, questions.read_completion_question, _CHOICES
)
"""The engine gets it as a completion."""
COUNTED_MESSAGE = BodyForm(
    prompts.count_message_bytes,
    prompts.apply_to_counted_message,
    build_error=build_anthropic_error,
)
TOKENIZED = BodyForm(prompts.count_chat_bytes, prompts.apply_to_tokenized)
DETOKENIZED = BodyForm(lambda _: 0, prompts.apply_nothing)
