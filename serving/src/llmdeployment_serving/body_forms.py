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
from llmdeployment_serving.pooled_bodies import (
    CLASSIFY_FIELDS,
    EMBEDDING_FIELDS,
    POOLING_FIELDS,
    RERANK_FIELDS,
    SCORING_FIELDS,
    add_pooled_defaults,
    check_inputs,
    count_input_bytes,
)
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
    """A form of bodies.

    Without an `answer`, the model generates nothing. Then nobody counts the request, unless it `is_pooled`: its answer is vectors,
    scores or labels, which have a duration and no tokens. `check` refuses what the engine would not, or not in a sentence.
    """

    count_bytes: Callable[[Mapping[str, Any]], int]
    apply_prompt: Callable[[dict[str, Any], PromptConfig], dict[str, Any]]
    read_question: Callable[[Mapping[str, Any]], Question] | None = None
    answer: AnswerForm | None = None
    build_error: Callable[[int, str, str | None], dict[str, Any]] = build_openai_error
    check: Callable[[Mapping[str, Any]], None] = lambda _: None
    is_pooled: bool = False

    @property
    def is_counted(self) -> bool:
        """Whether the request counts for latency, tokens and verdicts."""
        return self.answer is not None or self.is_pooled


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


def _build_pooled_form(path: str, known: frozenset[str]) -> BodyForm:
    return BodyForm(
        count_input_bytes,
        lambda body, prompt: add_pooled_defaults(body, prompt, path, known),
        check=check_inputs,
        is_pooled=True,
    )


POOLED = {
    path: _build_pooled_form(path, known)
    for path, known in (
        ("/v1/embeddings", EMBEDDING_FIELDS),
        ("/v1/rerank", RERANK_FIELDS),
        ("/v2/rerank", RERANK_FIELDS),
        ("/v1/score", SCORING_FIELDS),
        ("/classify", CLASSIFY_FIELDS),
        ("/pooling", POOLING_FIELDS),
    )
}
"""The forms of the paths of models that do not generate."""
