"""Every option of vLLM's chats, completions, responses and messages, with values that a client may send: ordinary ones and nonsense."""

import ast
from pathlib import Path
from typing import Any

Option = tuple[str, Any]

_schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_tool = {
    "type": "function",
    "function": {"name": "find_city", "description": "Finds a city.", "parameters": _schema},
}

SAMPLING: tuple[Option, ...] = (
    ("frequency_penalty", 1.5),
    ("frequency_penalty", 9),
    ("presence_penalty", -2),
    ("presence_penalty", "high"),
    ("repetition_penalty", 1.3),
    ("repetition_penalty", 0),
    ("length_penalty", 0.5),
    ("logit_bias", {"5": 10, "7": -100}),
    ("logit_bias", {"99999999": 1}),
    ("logit_bias", {"word": 1}),
    ("max_tokens", 0),
    ("max_tokens", -1),
    ("max_tokens", 10**9),
    ("min_tokens", 3),
    ("min_tokens", 50),
    ("n", 2),
    ("n", 0),
    ("n", 10**6),
    ("seed", 7),
    ("seed", -(2**63)),
    ("seed", 2**64),
    ("stop", ["."]),
    ("stop", ""),
    ("stop_token_ids", [1, 2]),
    ("stop_token_ids", [-1]),
    ("include_stop_str_in_output", True),
    ("temperature", 0),
    ("temperature", 2.5),
    ("temperature", -1),
    ("top_p", 0.3),
    ("top_p", 0),
    ("top_k", 5),
    ("top_k", -7),
    ("top_k", 10**9),
    ("min_p", 0.2),
    ("min_p", 7),
    ("use_beam_search", True),
    ("ignore_eos", True),
    ("skip_special_tokens", False),
    ("spaces_between_special_tokens", False),
    ("truncate_prompt_tokens", 4),
    ("truncate_prompt_tokens", 10**9),
    ("truncation_side", "left"),
    ("prompt_logprobs", 2),
    ("prompt_logprobs", -1),
    ("prompt_logprobs", 10**6),
    ("logprob_token_ids", [3, 4]),
    ("logprob_token_ids", [10**9]),
    ("allowed_token_ids", [3, 4, 5]),
    ("allowed_token_ids", []),
    ("allowed_token_ids", [10**9]),
    ("bad_words", ["Paris"]),
    ("bad_words", [""]),
    ("add_special_tokens", True),
    ("structured_outputs", {"json": _schema}),
    ("structured_outputs", {"regex": "[a-z]{3}"}),
    ("structured_outputs", {"regex": "["}),
    ("structured_outputs", {"choice": ["yes", "no"]}),
    ("structured_outputs", {"choice": []}),
    ("structured_outputs", {"grammar": 'root ::= "yes" | "no"'}),
    ("structured_outputs", {"grammar": "root"}),
    ("structured_outputs", {"json_object": True}),
    ("structured_outputs", {"structural_tag": "{}"}),
    ("structured_outputs", {"json": _schema, "regex": "a"}),
    ("response_format", {"type": "json_object"}),
    ("response_format", {"type": "json_schema", "json_schema": {"name": "c", "schema": _schema}}),
    ("response_format", {"type": "json_schema"}),
    ("response_format", {"type": "structural_tag", "format": {"type": "any_text"}}),
    ("priority", 3),
    ("request_id", "mine"),
    ("session_id", "mine"),
    ("user", "somebody"),
    ("stream", True),
    ("stream_options", {"include_usage": True}),
    ("stream_interval", 2),
    ("stream_interval", 0),
    ("return_tokens_as_token_ids", True),
    ("return_token_ids", True),
    ("return_token_offsets", True),
    ("routed_experts_prompt_start", 1),
    ("cache_salt", "salt"),
    ("cache_salt", ""),
    ("kv_transfer_params", {"do_remote_decode": True}),
    ("ec_transfer_params", {"x": 1}),
    ("vllm_xargs", {"x": 1}),
    ("repetition_detection", {"max_pattern_size": 2, "min_count": 2}),
    ("repetition_detection", {"max_pattern_size": -1, "min_count": 1}),
    ("watermarking", True),
    ("mm_payload", "x"),
    ("return_mm_kwargs", True),
    ("thinking_token_budget", 3),
    ("echo", True),
)
CHAT: tuple[Option, ...] = (
    *SAMPLING,
    ("logprobs", True),
    ("top_logprobs", 3),
    ("top_logprobs", 10**6),
    ("max_completion_tokens", 4),
    ("tools", [_tool]),
    ("tool_choice", "none"),
    ("tool_choice", "required"),
    ("tool_choice", {"type": "function", "function": {"name": "find_city"}}),
    ("parallel_tool_calls", False),
    ("reasoning_effort", "low"),
    ("include_reasoning", False),
    ("add_generation_prompt", False),
    ("continue_final_message", True),
    ("documents", [{"title": "t", "text": "x"}]),
    ("chat_template", "{{ messages }}"),
    ("chat_template_kwargs", {"enable_thinking": False}),
    ("media_io_kwargs", {"image": {"x": 1}}),
    ("mm_processor_kwargs", {"x": 1}),
    ("return_prompt_text", True),
    ("messages", []),
    ("messages", [{"role": "user", "content": ""}]),
    ("messages", [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]),
    ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
    ("messages", [{"role": "nobody", "content": "Hello"}]),
    ("messages", [{"role": "tool", "content": "42", "tool_call_id": "1"}]),
    ("messages", [{"role": "user", "content": "word " * 5000}]),
    ("messages", "Hello"),
    ("model", 7),
)
COMPLETIONS: tuple[Option, ...] = (
    *SAMPLING,
    ("logprobs", 2),
    ("logprobs", 10**6),
    ("suffix", "."),
    ("prompt", ""),
    ("prompt", ["One", "Two"]),
    ("prompt", [1, 2, 3]),
    ("prompt", [[1, 2], [3]]),
    ("prompt", [10**9]),
    ("prompt", [-1]),
    ("prompt", []),
    ("prompt_embeds", "bm90IGEgdGVuc29y"),
    ("model", None),
)
_flat_tool = {"type": "function", "name": "find_city", "parameters": _schema}
_message_tool = {"name": "find_city", "input_schema": _schema}
_SHARED: tuple[Option, ...] = (
    ("temperature", 0),
    ("temperature", -1),
    ("top_p", 0.3),
    ("top_p", 0),
    ("top_k", 5),
    ("top_k", 10**9),
    ("stream", True),
    ("metadata", {"user_id": "somebody"}),
    ("metadata", 7),
    ("cache_salt", "salt"),
    ("cache_salt", ""),
    ("kv_transfer_params", {"do_remote_decode": True}),
    ("ec_transfer_params", {"x": 1}),
    ("vllm_xargs", {"x": 1}),
    ("watermarking", True),
    ("chat_template_kwargs", {"enable_thinking": False}),
    ("mm_payload", "x"),
    ("return_mm_kwargs", True),
    ("model", 7),
)
RESPONSES: tuple[Option, ...] = (
    *_SHARED,
    ("background", True),
    ("enable_response_messages", True),
    ("frequency_penalty", 1.5),
    ("ignore_eos", True),
    ("include", ["message.output_text.logprobs"]),
    ("include", ["reasoning.encrypted_content"]),
    ("include", ["nothing"]),
    ("include_reasoning", False),
    ("include_stop_str_in_output", True),
    ("input", ""),
    ("input", []),
    ("input", [{"role": "user", "content": "Hello"}]),
    ("input", [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}]),
    ("input", [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]),
    ("input", [{"role": "nobody", "content": "Hello"}]),
    ("input", [{"type": "function_call_output", "call_id": "1", "output": "42"}]),
    ("input", [{"type": "item_reference", "id": "1"}]),
    ("input", [{"type": "nothing"}]),
    ("input", "word " * 5000),
    ("instructions", "Be brief."),
    ("instructions", []),
    ("logit_bias", {"5": 10}),
    ("logit_bias", {"99999999": 1}),
    ("max_output_tokens", 0),
    ("max_output_tokens", 10**9),
    ("max_tool_calls", -1),
    ("media_io_kwargs", {"image": {"x": 1}}),
    ("min_p", 7),
    ("mm_processor_kwargs", {"x": 1}),
    ("parallel_tool_calls", False),
    ("presence_penalty", 9),
    ("previous_input_messages", [{"role": "user", "content": "Hello"}]),
    ("previous_input_messages", [{}]),
    ("previous_response_id", "resp_1"),
    ("previous_response_id", "mine"),
    ("priority", 3),
    ("prompt", {"id": "1"}),
    ("prompt_cache_key", "mine"),
    ("reasoning", {"effort": "low"}),
    ("reasoning", {"effort": "nothing"}),
    ("repetition_penalty", 0),
    ("request_id", "resp_mine"),
    ("seed", 2**64),
    ("service_tier", "flex"),
    ("session_id", "mine"),
    ("skip_special_tokens", False),
    ("stop", ["."]),
    ("stop_token_ids", [-1]),
    ("store", False),
    ("structured_outputs", {"choice": ["yes", "no"]}),
    ("structured_outputs", {"regex": "["}),
    ("structured_outputs", 7),
    ("text", {"format": {"type": "json_schema", "name": "c", "schema": _schema}}),
    ("text", {"format": {"type": "json_schema", "name": "c", "schema": {"type": "nothing"}}}),
    ("text", {"format": {"type": "json_object"}}),
    ("text", {"verbosity": "low"}),
    ("text", "json"),
    ("tools", [_flat_tool]),
    ("tools", [{"type": "web_search_preview"}]),
    ("tools", [{"type": "code_interpreter", "container": {"type": "auto"}}]),
    ("tools", [{"type": "nothing"}]),
    ("tool_choice", "none"),
    ("tool_choice", "required"),
    ("tool_choice", {"type": "function", "name": "find_city"}),
    ("tool_choice", {"type": "function", "name": "other"}),
    ("top_logprobs", 3),
    ("top_logprobs", 10**6),
    ("truncation", "auto"),
    ("user", "somebody"),
)
MESSAGES: tuple[Option, ...] = (
    *_SHARED,
    ("max_tokens", 0),
    ("max_tokens", -1),
    ("max_tokens", 10**9),
    ("messages", []),
    ("messages", "Hello"),
    ("messages", [{"role": "user", "content": ""}]),
    ("messages", [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]),
    ("messages", [{"role": "user", "content": [{"type": "text"}]}]),
    ("messages", [{"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}]),
    ("messages", [{"role": "user", "content": [{"type": "image", "source": {}}]}]),
    ("messages", [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]}]),
    (
        "messages",
        [{"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "x"}]}],
    ),
    ("messages", [{"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]}]),
    ("messages", [{"role": "user", "content": [{"type": "tool_addition", "tool": {"name": "x"}}]}]),
    ("messages", [{"role": "nobody", "content": "Hello"}]),
    ("messages", [{"role": "user", "content": "word " * 5000}]),
    ("output_config", {"format": {"type": "json_schema", "schema": _schema}}),
    ("output_config", {"format": {"type": "json_schema", "schema": {"type": "nothing"}}}),
    ("output_config", {"format": {"type": "json_schema"}}),
    ("output_config", {"effort": "low"}),
    ("output_config", 7),
    ("stop_sequences", ["."]),
    ("stop_sequences", [""]),
    ("stop_sequences", "."),
    ("system", "Be brief."),
    ("system", [{"type": "text", "text": "Be brief."}]),
    ("system", [{}]),
    ("thinking", {"type": "enabled", "budget_tokens": 2048}),
    ("thinking", {"type": "disabled"}),
    ("thinking", {"type": "adaptive"}),
    ("thinking", {"type": "enabled", "budget_tokens": -1}),
    ("tools", [_message_tool]),
    ("tools", []),
    ("tools", [{"type": "web_search_20250305", "name": "web_search"}]),
    ("tools", [{}]),
    ("tool_choice", {"type": "none"}),
    ("tool_choice", {"type": "any"}),
    ("tool_choice", {"type": "tool", "name": "find_city"}),
    ("tool_choice", {"type": "tool", "name": "other"}),
    ("tool_choice", {"type": "tool"}),
    ("tool_choice", "any"),
)
TOGETHER: dict[str, dict[str, Any]] = {
    "top_logprobs": {"logprobs": True},
    "stream_options": {"stream": True},
    "stream_interval": {"stream": True},
    "tool_choice": {"tools": [_tool]},
    "parallel_tool_calls": {"tools": [_tool]},
    "continue_final_message": {"add_generation_prompt": False},
    "echo": {"add_generation_prompt": False, "continue_final_message": True},
    "return_token_offsets": {"return_token_ids": True},
    "logprob_token_ids": {"logprobs": 1},
}
"""Options that another one needs to have an effect."""


def build_body(start: dict[str, Any], option: Option) -> dict[str, Any]:
    """Return a request with one option and what belongs to it."""
    name, value = option
    return {"max_tokens": 4, "seed": 1, **start, **TOGETHER.get(name, {}), name: value}


def build_response(start: dict[str, Any], option: Option) -> dict[str, Any]:
    """Return a body of `/v1/responses` with one option and what belongs to it."""
    return _build_with_tools({"max_output_tokens": 4, **start}, _flat_tool, option)


def build_message(start: dict[str, Any], option: Option) -> dict[str, Any]:
    """Return a body of `/v1/messages` with one option and what belongs to it."""
    return _build_with_tools({"max_tokens": 4, **start}, _message_tool, option)


def _build_with_tools(
    start: dict[str, Any], tool: dict[str, Any], option: Option
) -> dict[str, Any]:
    name, value = option
    tools = {"tools": [tool]} if name in ("tool_choice", "parallel_tool_calls") else {}
    return {**start, **tools, name: value}


def list_fields(site_packages: Path, module: str, kind: str) -> set[str]:
    """Return the fields of one of vLLM's request types, read from its source: this process has no vLLM."""
    path = site_packages / "vllm/entrypoints" / module / "protocol.py"
    (found,) = (
        node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == kind
    )
    return {
        item.target.id
        for item in found.body
        if isinstance(item, ast.AnnAssign)
        and isinstance(item.target, ast.Name)
        and not item.target.id.startswith("_")
    }


def list_pooling_fields(site_packages: Path, folder: str, kind: str) -> set[str]:
    """Return the fields of a request to a pooling model, with those that it inherits."""
    pooling = site_packages / "vllm/entrypoints/pooling"
    texts = [(pooling / name / "protocol.py").read_text() for name in ("base", folder)]
    classes = {
        node.name: node
        for text in texts
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef)
    }

    def collect(name: str) -> set[str]:
        if name not in classes:
            return set()
        items = classes[name].body
        own = {
            i.target.id
            for i in items
            if isinstance(i, ast.AnnAssign) and isinstance(i.target, ast.Name)
        }
        bases = (base.id for base in classes[name].bases if isinstance(base, ast.Name))
        return own.union(*map(collect, bases))

    return collect(kind)
