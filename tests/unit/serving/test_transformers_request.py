"""What the transformers engine does, and what it refuses: the table of docs/concepts/engines.md is held to it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.support import vllm_options

from llmdeployment_serving.errors import RefusedError
from llmdeployment_serving.transformers_request import (
    CANNOT,
    COMPLETION_TOKENS,
    DONE,
    HARMLESS,
    MOST_STOPS,
    TEMPLATE_CANNOT,
    Sampling,
    choose_length,
    parse_request,
    read_defaults,
)

PAGE = Path("docs/concepts/engines.md")
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
TEXT: dict[str, Any] = {"prompt": "hello"}
ASKS_FOR_MORE: dict[str, Any] = {
    "n": 2,
    "best_of": 2,
    "logprobs": True,
    "top_logprobs": 3,
    "prompt_logprobs": 1,
    "echo": True,
    "suffix": "end",
    "presence_penalty": 0.5,
    "frequency_penalty": -0.5,
    "repetition_penalty": 1.2,
    "length_penalty": 2.0,
    "logit_bias": {"5": 1},
    "allowed_token_ids": [1],
    "bad_words": ["a"],
    "min_tokens": 3,
    "use_beam_search": True,
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "tool_choice": "required",
    "functions": [{"name": "f"}],
    "function_call": {"name": "f"},
    "response_format": {"type": "json_object"},
    "structured_outputs": {"choice": ["a"]},
    "guided_json": {},
    "guided_regex": "a",
    "guided_choice": ["a"],
    "guided_grammar": "a",
    "include_stop_str_in_output": True,
    "skip_special_tokens": False,
    "add_generation_prompt": False,
    "continue_final_message": True,
    "chat_template": "x",
    "documents": [{"text": "a"}],
    "truncate_prompt_tokens": 5,
    "return_token_ids": True,
    "return_tokens_as_token_ids": True,
    "audio": {"voice": "a"},
    "modalities": ["audio"],
    "media_io_kwargs": {"image": {}},
    "mm_processor_kwargs": {"a": 1},
    "mm_payload": "x",
    "return_mm_kwargs": True,
    "prompt_embeds": "x",
    "add_special_tokens": True,
    "truncation_side": "left",
    "spaces_between_special_tokens": False,
    "logprob_token_ids": [1],
    "return_token_offsets": True,
    "return_prompt_text": True,
    "reasoning_effort": "low",
    "include_reasoning": False,
    "thinking_token_budget": 3,
    "repetition_detection": {"max_pattern_size": 2},
    "watermarking": True,
    "priority": 3,
    "cache_salt": "salt",
    "stream_interval": 2,
    "kv_transfer_params": {},
    "ec_transfer_params": {},
    "routed_experts_prompt_start": 1,
    "vllm_xargs": {"x": 1},
}
TEMPLATE_ASKS_FOR_MORE: dict[str, Any] = {
    "conversation": [],
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "documents": [{"text": "a"}],
    "chat_template": "x",
    "add_generation_prompt": False,
    "continue_final_message": True,
    "tokenize": False,
    "padding": "max_length",
    "truncation": True,
    "max_length": 10**9,
    "return_tensors": "pt",
    "return_dict": True,
    "return_assistant_tokens_mask": True,
    "tokenizer_kwargs": {"padding": "max_length", "max_length": 10**9},
}


def refusal(body: dict[str, Any], *, chat: bool = True) -> str:
    with pytest.raises(RefusedError) as refused:
        parse_request(body, "chat", Sampling(), chat=chat)
    assert refused.value.status in {400, 404}
    return refused.value.message


def test_every_option_that_it_cannot_do_has_an_example() -> None:
    assert set(ASKS_FOR_MORE) == set(CANNOT)


def test_somebody_decided_about_every_option_of_vllm() -> None:
    """A component test holds that list of options to vLLM's own."""
    of_vllm = {name for name, _ in (*vllm_options.CHAT, *vllm_options.COMPLETIONS)}
    assert of_vllm <= DONE | set(CANNOT) | HARMLESS
    assert len(DONE | set(CANNOT) | HARMLESS) == len(DONE) + len(CANNOT) + len(HARMLESS)


@pytest.mark.parametrize("name", CANNOT)
def test_an_option_that_it_cannot_do_is_refused_by_name(name: str) -> None:
    message = f"the transformers engine cannot do {name}. Remove it, or use spec.engine.name vllm."
    assert refusal(CHAT | {name: ASKS_FOR_MORE[name]}) == message


def test_every_parameter_around_a_template_has_an_example() -> None:
    """A component test holds the list to transformers' own."""
    assert set(TEMPLATE_ASKS_FOR_MORE) == set(TEMPLATE_CANNOT)


@pytest.mark.parametrize("name", TEMPLATE_ASKS_FOR_MORE)
def test_only_the_templates_own_variables_are_a_clients(name: str) -> None:
    options = {"enable_thinking": False, name: TEMPLATE_ASKS_FOR_MORE[name]}
    message = f"the transformers engine cannot do {name} in chat_template_kwargs. Remove it."
    assert refusal(CHAT | {"chat_template_kwargs": options}) == message


def test_a_templates_option_that_asks_for_nothing_goes_no_further() -> None:
    for name, neutral in TEMPLATE_CANNOT.items():
        for text in (*neutral, "null"):
            body = CHAT | {"chat_template_kwargs": {"x": 1, name: json.loads(text)}}
            found = parse_request(body, "chat", Sampling(), chat=True)
            assert found.template_options == {"x": 1}


def test_what_asks_for_nothing_is_taken() -> None:
    for name, neutral in CANNOT.items():
        for text in (*neutral, "null"):
            parse_request(CHAT | {name: json.loads(text)}, "chat", Sampling(), chat=True)


def test_zero_log_probabilities_of_a_completion_are_some_and_refused() -> None:
    assert "cannot do logprobs" in refusal(TEXT | {"logprobs": 0}, chat=False)


def test_a_field_that_no_engine_knows_is_passed_over() -> None:
    assert parse_request(CHAT | {"user": "anna", "x": 1}, "chat", Sampling(), chat=True).chat


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "other"}, "the model 'other' does not exist. Use chat."),
        ({"temperature": -0.1}, "temperature must be from 0 to 100"),
        ({"temperature": "hot"}, "temperature must be a number"),
        ({"temperature": float("nan")}, "temperature must be a number"),
        ({"top_p": 0}, "top_p must be above 0 and up to 1"),
        ({"top_p": 1.1}, "top_p must be from 0 to 1"),
        ({"top_k": -2}, "top_k must be a whole number of at least -1"),
        ({"min_p": 2}, "min_p must be from 0 to 1"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"max_tokens": 0}, "max_tokens must be a whole number of at least 1"),
        ({"max_tokens": True}, "max_tokens must be a whole number of at least 1"),
        ({"stop": [""]}, "stop must hold texts of 1 to 1024 characters"),
        ({"stop": ["a"] * (MOST_STOPS + 1)}, "stop must be a text or a list of at most 16"),
        ({"stop_token_ids": [-1]}, "stop_token_ids must be a list of at most 16 tokens"),
        ({"stream": "yes"}, "stream must be true or false"),
        ({"stream_options": {"include_usage": True}}, "stream_options is for stream: true only"),
        ({"chat_template_kwargs": 1}, "chat_template_kwargs must be an object"),
        ({"messages": []}, "messages must be a list of at least one message"),
        ({"messages": [{"content": "x"}]}, "messages[0] must be an object with a role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content must be a text or a list of texts"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "the transformers engine has no image_url",
        ),
        (
            {"messages": [{"role": "assistant", "content": "", "tool_calls": [{}]}]},
            "messages[0].tool_calls: the transformers engine cannot do tools",
        ),
    ],
)
def test_a_wrong_field_is_refused_with_what_it_may_be(change: dict[str, Any], words: str) -> None:
    assert words in refusal(CHAT | change)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (None, "prompt must be a text or a list of tokens"),
        ("", "prompt must be a text or a list of tokens"),
        (["a", "b"], "takes one prompt in a request"),
        ([[1], [2]], "takes one prompt in a request"),
        ([1, -2], "takes one prompt"),
        ([True], "prompt must be a text"),
    ],
)
def test_a_wrong_prompt_is_refused(prompt: object, words: str) -> None:
    assert words in refusal({"prompt": prompt}, chat=False)


@pytest.mark.parametrize("prompt", ["hello", ["hello"]])
def test_one_prompt_may_be_in_a_list(prompt: object) -> None:
    assert parse_request({"prompt": prompt}, "chat", Sampling(), chat=False).prompt == "hello"
    tokens = parse_request({"prompt": [[5, 6]]}, "chat", Sampling(), chat=False).prompt
    assert tokens == (5, 6)


def test_everything_that_is_asked_for_arrives() -> None:
    body = CHAT | {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "seed": -7,
        "max_completion_tokens": 9,
        "max_tokens": 5,
        "stop": "END",
        "stop_token_ids": [3],
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
        "chat_template_kwargs": {"enable_thinking": False},
    }
    found = parse_request(body, "chat", Sampling(), chat=True)

    assert found.sampling == Sampling(0.5, 40, 0.9, 0.1, -7)
    assert (found.max_tokens, found.stop, found.stop_token_ids) == (9, ("END",), (3,))
    assert found.ignore_eos
    assert found.stream
    assert found.include_usage
    assert found.template_options == {"enable_thinking": False}


def test_the_models_own_sampling_holds_where_the_client_says_nothing() -> None:
    defaults = read_defaults({"temperature": 0.6, "top_k": 20, "top_p": None})
    found = parse_request(CHAT | {"top_k": -1}, "chat", defaults, chat=True).sampling

    assert found == Sampling(temperature=0.6, top_k=0)


def test_limits_are_openais() -> None:
    assert parse_request(CHAT, "chat", Sampling(), chat=True).max_tokens is None
    found = parse_request(TEXT, "chat", Sampling(), chat=False)
    assert found.max_tokens == COMPLETION_TOKENS == 16


def test_parts_of_a_message_are_lines() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    body = {"messages": [{"role": "user", "content": parts}]}
    assert parse_request(body, "chat", Sampling(), chat=True).messages[0]["content"] == "a\nb"


@pytest.mark.parametrize(
    ("prompt", "asked", "context", "words"),
    [
        (0, None, 10, "the prompt has no tokens"),
        (10, None, 10, "is 10 tokens, but 10 of the prompt and 1 of the answer make 11"),
        (8, 3, 10, "is 10 tokens, but 8 of the prompt and 3 of the answer make 11"),
    ],
)
def test_prompt_and_answer_fit_the_context(
    prompt: int, asked: int | None, context: int, words: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        choose_length(prompt, asked, context)
    assert words in refused.value.message
    assert choose_length(8, 2, 10) == 2


def test_the_page_names_what_the_engine_does_and_what_it_refuses() -> None:
    rows = re.findall(r"^\| (`.+`) \| \S.*? \| (does|refuses)", PAGE.read_text(), re.MULTILINE)
    listed = {
        kind: {name for names, found in rows if found == kind for name in re.findall(r"`(\w+)`", names)}
        for kind in ("does", "refuses")
    }  # fmt: skip

    assert listed["does"] == set(DONE)
    assert listed["refuses"] == set(CANNOT)
