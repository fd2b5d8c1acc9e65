"""OpenAI's requests as `engine: transformers` understands them: what it does, what it refuses, and why.

An option that this engine cannot do is refused with its name, and never ignored: the client would take the answer for another one.
A field that no engine knows is ignored, as vLLM does.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from llmdeployment_serving.errors import MODEL_NOT_FOUND, RefusedError

DONE = frozenset(
    {"messages", "prompt", "model", "max_tokens", "max_completion_tokens"}
    | {"temperature", "top_p", "top_k", "min_p", "seed", "stop", "stop_token_ids", "ignore_eos"}
    | {"stream", "stream_options", "chat_template_kwargs"}
)
"""Fields that have an effect."""

CANNOT: Mapping[str, tuple[str, ...]] = {
    "n": ("1",),
    "best_of": ("1",),
    "logprobs": ("false",),
    "top_logprobs": ("0",),
    "prompt_logprobs": (),
    "echo": ("false",),
    "suffix": ('""',),
    "presence_penalty": ("0", "0.0"),
    "frequency_penalty": ("0", "0.0"),
    "repetition_penalty": ("1", "1.0"),
    "length_penalty": ("1", "1.0"),
    "logit_bias": ("{}",),
    "allowed_token_ids": (),
    "bad_words": ("[]",),
    "min_tokens": ("0",),
    "use_beam_search": ("false",),
    "tools": ("[]",),
    "tool_choice": ('"none"', '"auto"'),
    "functions": ("[]",),
    "function_call": ('"none"', '"auto"'),
    "response_format": ('{"type": "text"}',),
    "structured_outputs": (),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
    "include_stop_str_in_output": ("false",),
    "skip_special_tokens": ("true",),
    "add_generation_prompt": ("true",),
    "continue_final_message": ("false",),
    "chat_template": (),
    "documents": ("[]",),
    "truncate_prompt_tokens": (),
    "return_token_ids": ("false",),
    "return_tokens_as_token_ids": ("false",),
    "audio": (),
    "modalities": ('["text"]',),
    "media_io_kwargs": ("{}",),
    "mm_processor_kwargs": ("{}",),
    "mm_payload": (),
    "return_mm_kwargs": ("false",),
    "prompt_embeds": (),
    "add_special_tokens": (),
    "truncation_side": (),
    "spaces_between_special_tokens": ("true",),
    "logprob_token_ids": (),
    "return_token_offsets": ("false",),
    "return_prompt_text": ("false",),
    "reasoning_effort": (),
    "include_reasoning": ("true",),
    "thinking_token_budget": (),
    "repetition_detection": (),
    "watermarking": ("false",),
    "priority": ("0",),
    "cache_salt": (),
    "stream_interval": ("1",),
    "kv_transfer_params": (),
    "ec_transfer_params": (),
    "routed_experts_prompt_start": (),
    "vllm_xargs": ("{}",),
}
"""Fields that this engine cannot do, with the values (as JSON) that ask for nothing. Null asks for nothing in every field."""

TEMPLATE_CANNOT: Mapping[str, tuple[str, ...]] = {
    "conversation": (),
    "tools": CANNOT["tools"],
    "documents": CANNOT["documents"],
    "chat_template": CANNOT["chat_template"],
    "add_generation_prompt": CANNOT["add_generation_prompt"],
    "continue_final_message": CANNOT["continue_final_message"],
    "tokenize": ("true",),
    "padding": ("false",),
    "truncation": ("false",),
    "max_length": (),
    "return_tensors": (),
    "return_dict": ("false",),
    "return_assistant_tokens_mask": ("false",),
    "tokenizer_kwargs": ("{}",),
}
"""The parameters of transformers' `apply_chat_template` itself, in the same form. A client sets only the template's variables: these
would go round what is refused above, make tensors or any number of tokens, and change the tokenizer that all requests share."""

HARMLESS = frozenset({"user", "request_id", "session_id", "parallel_tool_calls"})
"""Fields of vLLM that change no answer without tools."""

MOST_STOPS = 16
"""Stop strings of a request, and stop tokens, at most."""
LONGEST_STOP = 1024
"""Characters of a stop string, at most."""
COMPLETION_TOKENS = 16
"""Tokens of an answer of `/v1/completions` that sets no limit; OpenAI's and vLLM's number."""
_largest_seed = 2**63 - 1


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 takes the most likely token.
        top_k: how many of the most likely tokens are considered; 0 considers all.
        top_p: probability that the considered tokens have together, at least.
        min_p: least probability of a considered token, as a share of that of the most likely one.
        seed: same seed and same prompt, same answer; None draws anew.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None


@dataclass(frozen=True)
class GenerationRequest:
    """A request, checked.

    Attributes:
        prompt: text or tokens of `/v1/completions`; empty for a chat.
        messages: of a chat.
        template_options: `chat_template_kwargs`, without the names of `TEMPLATE_CANNOT`.
        max_tokens: limit of the answer's tokens; None takes what the context leaves.
        stop: strings before which the answer ends.
        stop_token_ids: tokens before which it ends.
        ignore_eos: whether the model's own end is passed over.
    """

    chat: bool
    prompt: str | tuple[int, ...] = ""
    messages: tuple[dict[str, Any], ...] = ()
    template_options: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    stream: bool = False
    include_usage: bool = False


def parse_request(
    body: Mapping[str, Any], model: str, defaults: Sampling, *, chat: bool
) -> GenerationRequest:
    """Return the request in `body`.

    Args:
        body: the client's JSON with the revision's prompt.
        model: name of the served model.
        defaults: the sampling of the model's own `generation_config.json`.
        chat: whether it is `/v1/chat/completions`.

    Raises:
        RefusedError: the field, and what it may be.
    """
    if body.get("model") not in (None, model):
        message = f"the model {body['model']!r} does not exist. Use {model}."
        raise RefusedError(HTTPStatus.NOT_FOUND, message, code=MODEL_NOT_FOUND)
    check_options(body)
    stream = _read_switch(body, "stream")
    options = _read_object(body, "stream_options")
    if options and not stream:
        raise _refuse("stream_options is for stream: true only")
    return GenerationRequest(
        chat=chat,
        prompt="" if chat else _read_prompt(body.get("prompt")),
        messages=_read_messages(body.get("messages")) if chat else (),
        template_options=_read_template_options(body) if chat else {},
        max_tokens=_read_limit(body, chat=chat),
        sampling=_read_sampling(body, defaults),
        stop=_read_stop(body.get("stop")),
        stop_token_ids=_read_tokens(body.get("stop_token_ids"), "stop_token_ids", MOST_STOPS),
        ignore_eos=_read_switch(body, "ignore_eos"),
        stream=stream,
        include_usage=options.get("include_usage") is True,
    )


def check_options(body: Mapping[str, Any]) -> None:
    """Refuse what this engine cannot do.

    >>> check_options({"n": 1, "tools": None, "presence_penalty": 0, "user": "anna"})
    >>> check_options({"n": 2})
    Traceback (most recent call last):
    llmdeployment_serving.errors.RefusedError: the transformers engine cannot do n. Remove it, or use spec.engine.name vllm.

    Raises:
        RefusedError: the option's name.
    """
    for name, neutral in CANNOT.items():
        value = body.get(name)
        if value is not None and json.dumps(value) not in neutral:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST,
                f"the transformers engine cannot do {name}. Remove it, or use spec.engine.name vllm.",
            )


def choose_length(prompt_tokens: int, asked: int | None, context: int) -> int:
    """Return the limit of an answer's tokens.

    >>> choose_length(90, None, 100), choose_length(90, 4, 100)
    (10, 4)

    Raises:
        RefusedError: prompt and answer are longer than the context.
    """
    if not prompt_tokens:
        raise _refuse("the prompt has no tokens")
    length = context - prompt_tokens if asked is None else asked
    if length < 1 or prompt_tokens + length > context:
        raise _refuse(
            f"the model's context is {context} tokens, but {prompt_tokens} of the prompt and "
            f"{max(1, length)} of the answer make {prompt_tokens + max(1, length)}"
        )
    return length


def read_defaults(generation_config: Mapping[str, Any]) -> Sampling:
    """Return what a model's `generation_config.json` says of sampling, as vLLM reads it; OpenAI's defaults for the rest.

    >>> read_defaults({"temperature": 0.6, "top_p": 0.95, "do_sample": True})
    Sampling(temperature=0.6, top_k=0, top_p=0.95, min_p=0.0, seed=None)
    """
    named = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    found = {name: generation_config.get(name) for name in named}
    return Sampling(**{n: named[n] if found[n] is None else found[n] for n in named})  # type: ignore[arg-type]  # because each has its default's type


def _read_sampling(body: Mapping[str, Any], defaults: Sampling) -> Sampling:
    top_k = _read_integer(body, "top_k", -1, 2**31 - 1)
    top_p = _read_number(body, "top_p", 0.0, 1.0)
    if top_p == 0.0:
        raise _refuse("top_p must be above 0 and up to 1")
    temperature = _read_number(body, "temperature", 0.0, 100.0)
    min_p = _read_number(body, "min_p", 0.0, 1.0)
    return Sampling(
        temperature=defaults.temperature if temperature is None else temperature,
        top_k=defaults.top_k if top_k is None else max(0, top_k),
        top_p=defaults.top_p if top_p is None else top_p,
        min_p=defaults.min_p if min_p is None else min_p,
        seed=_read_integer(body, "seed", -_largest_seed - 1, _largest_seed),
    )


def _read_limit(body: Mapping[str, Any], *, chat: bool) -> int | None:
    limits = [
        found
        for name in ("max_completion_tokens", "max_tokens")
        if (found := _read_integer(body, name, 1, 2**31 - 1)) is not None
    ]
    if limits:
        return limits[0]
    return None if chat else COMPLETION_TOKENS


def _read_messages(found: object) -> tuple[dict[str, Any], ...]:
    if not isinstance(found, list) or not found:
        raise _refuse("messages must be a list of at least one message")
    return tuple(_read_message(item, f"messages[{place}]") for place, item in enumerate(found))


def _read_message(found: object, where: str) -> dict[str, Any]:
    """Return a message whose content is a text: chat templates of text models know no parts."""
    if not isinstance(found, dict) or not isinstance(found.get("role"), str):
        raise _refuse(f"{where} must be an object with a role")
    if found.get("tool_calls"):
        raise _refuse(f"{where}.tool_calls: the transformers engine cannot do tools")
    content = found.get("content")
    if isinstance(content, list):
        content = "\n".join(_read_part(part, f"{where}.content") for part in content)
    if not isinstance(content, str):
        raise _refuse(f"{where}.content must be a text or a list of texts")
    return {**found, "content": content}


def _read_template_options(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of the chat template."""
    options = _read_object(body, "chat_template_kwargs")
    for name, value in options.items():
        neutral = TEMPLATE_CANNOT.get(name)
        if neutral is not None and value is not None and json.dumps(value) not in neutral:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST,
                f"the transformers engine cannot do {name} in chat_template_kwargs. Remove it.",
            )
    return {name: value for name, value in options.items() if name not in TEMPLATE_CANNOT}


def _read_part(part: object, where: str) -> str:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, dict) else None
    raise _refuse(f"{where} must hold texts, and the transformers engine has no {kind or 'others'}")


def _read_prompt(found: object) -> str | tuple[int, ...]:
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0], (str, list)):
        found = found[0]
    if isinstance(found, str) and found:
        return found
    if isinstance(found, list) and found and all(_is_token(item) for item in found):
        return tuple(found)
    if isinstance(found, list) and len(found) > 1:
        raise _refuse("prompt: the transformers engine takes one prompt in a request")
    raise _refuse("prompt must be a text or a list of tokens, and not empty")


def _read_stop(found: object) -> tuple[str, ...]:
    stops = [found] if isinstance(found, str) else found or []
    if not isinstance(stops, list) or len(stops) > MOST_STOPS:
        raise _refuse(f"stop must be a text or a list of at most {MOST_STOPS}")
    for item in stops:
        if not isinstance(item, str) or not 0 < len(item) <= LONGEST_STOP:
            raise _refuse(f"stop must hold texts of 1 to {LONGEST_STOP} characters")
    return tuple(stops)


def _read_tokens(found: object, name: str, most: int) -> tuple[int, ...]:
    tokens = found or []
    if not isinstance(tokens, list) or len(tokens) > most or not all(map(_is_token, tokens)):
        raise _refuse(f"{name} must be a list of at most {most} tokens")
    return tuple(tokens)


def _is_token(found: object) -> bool:
    return isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**31


def _read_switch(body: Mapping[str, Any], name: str) -> bool:
    if (found := body.get(name)) is not None and not isinstance(found, bool):
        raise _refuse(f"{name} must be true or false")
    return found is True


def _read_object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    if (found := body.get(name)) is not None and not isinstance(found, dict):
        raise _refuse(f"{name} must be an object")
    return found or {}


def _read_integer(body: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    found = body.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
        raise _refuse(f"{name} must be a whole number of at least {low}")
    return found


def _read_number(body: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    found = body.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise _refuse(f"{name} must be a number")
    if not low <= found <= high:
        raise _refuse(f"{name} must be from {low:g} to {high:g}")
    return float(found)


def _refuse(message: str) -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, f"{message}. Correct it.")
