"""Which of vLLM's parsers reads a model's tool calls and reasoning. The templates here print what those of the families print."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmdeployment_serving.model_family import read_model_family
from llmdeployment_serving.parsers import (
    OPENING_RULES,
    REASONING_RULES,
    TOOL_RULES,
    ModelFamily,
    Parsers,
    choose_parsers,
)

HERMES = r'{{- "<tool_call>\n{\"name\": <function-name>, \"arguments\": <args>}\n</tool_call>" }}'
XML = r"{{- '<tool_call>\n<function=example>\n<parameter=one>\nvalue\n</parameter>\n</function>' }}"
LLAMA = (
    """{{- 'Respond in the format {"name": function name, "parameters": dictionary of names.}' }}"""
)
PYTHONIC = "[func_name1(params_name1=params_value1), func_name2(params)]"
DEEPSEEK = "<\uff5ctool\u2581calls\u2581begin\uff5c>"
OPEN = "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
HYBRID = OPEN + r"{%- if enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{% endif %}"
ALWAYS = OPEN + r"{{- '<think>\n' }}{% endif %}"
CHOICE = OPEN + r"{%- if not thinking %}{{'</think>'}}{% else %}{{'<think>'}}{% endif %}"
PAST = "{{ message.content.split('</think>')[-1] }}<think>" + OPEN


def with_tools(text: str) -> str:
    return "{%- if tools %}" + text + "{%- endif %}"


@pytest.mark.parametrize(
    ("family", "text", "expected"),
    [
        ("qwen2", HERMES, "hermes"),
        ("qwen3", HERMES, "hermes"),
        ("qwen3_moe", XML, "qwen3_xml"),
        ("qwen3_5", XML, "qwen3_xml"),
        ("nemotron_h", XML, "qwen3_xml"),
        ("step3p5", XML, "step3p5"),
        ("mimo_v2_flash", XML, "mimo"),
        ("smollm3", '<tool_call>\n{{"name": "x"', "hermes"),
        ("granitemoehybrid", HERMES, "granite4"),
        ("granite", "<|tool_call|>", "granite"),
        ("phi3", "<|tool_call|>", "phi4_mini_json"),
        ("ernie4_5_moe", HERMES, "ernie45"),
        ("llama", LLAMA, "llama3_json"),
        ("llama", PYTHONIC, "pythonic"),
        ("mllama", LLAMA, "llama3_json"),
        ("llama4", LLAMA, "llama4_json"),
        ("llama4", PYTHONIC, "llama4_pythonic"),
        ("llama", HERMES, "hermes"),
        ("mistral", "[TOOL_CALLS]", "mistral"),
        ("mistral3", "[AVAILABLE_TOOLS][TOOL_CALLS]", "mistral"),
        ("mixtral", "[TOOL_CALLS]", "mistral"),
        ("glm4_moe", "<tool_call>{name}\n<arg_key>", "glm45"),
        ("kimi_k2", "<|tool_calls_section_begin|>", "kimi_k2"),
        ("deepseek_v3", DEEPSEEK + "function\n```json", "deepseek_v3"),
        ("deepseek_v3", DEEPSEEK, "deepseek_v31"),
        ("deepseek_v32", "\uff5cDSML\uff5c", "deepseek_v32"),
        ("minimax_m2", "<minimax:tool_call>", "minimax_m2"),
        ("seed_oss", "<seed:tool_call>\n<function=x>\n<parameter=y>", "seed_oss"),
        ("longcat_flash", "<longcat_tool_call>", "longcat"),
        ("step3_text", '<steptml:invoke name="x">', "step3"),
        ("lfm2", "<|tool_call_start|>[", "lfm2"),
        ("apertus", "<|tools_prefix|>", "apertus"),
        ("gemma3_text", "<start_function_call>", "functiongemma"),
        ("gemma4", "<|tool_call>call", "gemma4"),
        ("olmo3", "<function_calls>", "olmo3"),
        ("internlm2", "<|action_start|><|plugin|>", "internlm"),
        ("jamba", "<tool_calls>", "jamba"),
        ("hunyuan_v1_moe", "<tool_calls>", "hunyuan_a13b"),
        ("deepseek_v3", "function call<|role_sep|>", "gigachat3"),
        # In doubt, none.
        ("qwen2", XML, None),
        ("qwen2", "<tools>", None),
        ("llama", DEEPSEEK, None),
        ("mimo_v2_flash", "<tool_call>", None),
        ("", XML, None),
    ],
)
def test_the_tool_call_parser_is_the_familys(family: str, text: str, expected: str | None) -> None:
    template = with_tools(text)
    assert choose_parsers(ModelFamily(family, template, template), {}).tool_call == expected


@pytest.mark.parametrize(
    "template",
    [
        "",
        "{{ messages }}",
        HERMES,
        "{{ message['tools'] }}" + HERMES,
        "{%- for tool in message.tool_calls %}" + HERMES,
        "Use the tools." + HERMES,
    ],
)
def test_a_template_that_does_not_read_tools_has_no_parser(template: str) -> None:
    found = choose_parsers(ModelFamily("qwen2", template, template), {})
    assert (found.tool_call, found.reasoning) == (None, None)
    assert found.tool_call_reason == "the chat template has no tools"


@pytest.mark.parametrize(
    ("family", "template", "expected"),
    [
        ("qwen3", HYBRID, "qwen3"),
        ("qwen3", ALWAYS, "qwen3"),
        ("qwen3", PAST, None),
        ("qwen3", "{{ messages }}", None),
        ("qwen2", ALWAYS, "deepseek_r1"),
        ("llama", ALWAYS, "deepseek_r1"),
        ("qwen2", HYBRID, None),
        ("smollm3", HYBRID, None),
        ("deepseek_v3", ALWAYS, "deepseek_r1"),
        ("deepseek_v3", CHOICE, "deepseek_v3"),
        ("glm4_moe", HYBRID, "glm45"),
        ("minimax_m2", ALWAYS, "minimax_m2_append_think"),
        ("hunyuan_v1_moe", HYBRID, "hunyuan_a13b"),
        ("ernie4_5_moe", ALWAYS, "ernie45"),
        ("olmo3", ALWAYS, "olmo3"),
        ("olmo3", OPEN, None),
        ("nemotron_h", HYBRID, "nemotron_v3"),
        ("step3p5", ALWAYS, "step3p5"),
        ("step3_text", ALWAYS, "step3"),
        ("kimi_k2", PAST, "kimi_k2"),
        ("kimi_k2", OPEN, None),
        ("seed_oss", "<seed:think>", "seed_oss"),
        ("granite", "'Here is my thought process: '", "granite"),
        ("gemma4", "<|channel>", "gemma4"),
        ("mistral", "[THINK]", "mistral"),
    ],
)
def test_the_reasoning_parser_is_the_familys(
    family: str, template: str, expected: str | None
) -> None:
    assert choose_parsers(ModelFamily(family, template, template), {}).reasoning == expected


@pytest.mark.parametrize(
    ("family", "template", "expected"),
    [
        ("gpt_oss", "{{ tools }}<think>", ("openai", "openai_gptoss")),
        ("deepseek_v32", "", ("deepseek_v32", "deepseek_v3")),
        ("deepseek_v4", "", ("deepseek_v4", "deepseek_v4")),
        ("deepseek_v41", "", ("deepseek_v41", "deepseek_v41")),
        ("mistral", "", ("mistral", None)),
        ("llama", "", (None, None)),
    ],
)
def test_a_family_that_vllm_renders_by_itself_needs_no_template(
    family: str, template: str, expected: tuple[str | None, str | None]
) -> None:
    found = choose_parsers(ModelFamily(family, template, template), {})
    assert (found.tool_call, found.reasoning) == expected


TEMPLATE = with_tools(HERMES) + HYBRID


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        (
            {},
            [
                "--enable-auto-tool-choice",
                "--tool-call-parser=hermes",
                "--reasoning-parser=qwen3",
            ],
        ),
        ({"tool-call-parser": "xlam"}, ["--reasoning-parser=qwen3"]),
        ({"enable-auto-tool-choice": False}, ["--reasoning-parser=qwen3"]),
        ({"no-enable-auto-tool-choice": True}, ["--reasoning-parser=qwen3"]),
        (
            {"enable-auto-tool-choice": True, "reasoning-parser": ""},
            ["--enable-auto-tool-choice", "--tool-call-parser=hermes"],
        ),
        ({"tool-call-parser": "xlam", "reasoning-parser": "hf"}, []),
    ],
)
def test_the_users_flags_win(given: dict[str, object], flags: list[str]) -> None:
    family = ModelFamily("qwen3", TEMPLATE, TEMPLATE)
    assert choose_parsers(family, given).list_flags() == flags


def test_the_log_says_what_was_chosen_and_why() -> None:
    found = choose_parsers(ModelFamily("qwen3", TEMPLATE, TEMPLATE), {})
    assert found.describe() == (
        'tool-call parser: hermes, because the chat template of this qwen3 prints <tool_call> {"name"; '
        "reasoning parser: qwen3, because the chat template of this qwen3 prints <think>"
    )
    dropped = found.without_tool_call("no\ntoken " + "x" * 300).without_reasoning("no token")
    assert (dropped.tool_call, dropped.reasoning, dropped.list_flags()) == (None, None, [])
    assert dropped.reasoning_reason == "vLLM cannot use qwen3: no token"
    assert dropped.tool_call_reason.startswith("vLLM cannot use hermes: no token xxx")
    assert len(dropped.tool_call_reason) < 250


def test_every_rule_can_be_reached() -> None:
    tables = (TOOL_RULES, REASONING_RULES, OPENING_RULES)
    assert all(rule.parser and rule.mark.pattern for table in tables for rule in table)
    names = [rule.parser for rule in TOOL_RULES]
    assert len(names) == len(set(names))


def write(folder: Path, **files: Any) -> Path:
    for name, value in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))
    return folder


@pytest.mark.parametrize(
    ("files", "given", "expected"),
    [
        ({}, {}, ModelFamily("")),
        ({"config_dot_json": {"model_type": "qwen3"}}, {}, ModelFamily("qwen3")),
        ({"config_dot_json": "no JSON", "params_dot_json": "{}"}, {}, ModelFamily("mistral")),
        ({"config_dot_json": [1]}, {}, ModelFamily("")),
        (
            {"tokenizer_config_dot_json": {"chat_template": "a"}},
            {},
            ModelFamily("", "a", "a"),
        ),
        (
            {
                "tokenizer_config_dot_json": {
                    "chat_template": [
                        {"name": "default", "template": "a"},
                        {"name": "tool_use", "template": "b"},
                        {"name": "broken"},
                        7,
                    ]
                }
            },
            {},
            ModelFamily("", "a", "b"),
        ),
        (
            {
                "tokenizer_config_dot_json": {"chat_template": "a"},
                "chat_template_dot_jinja": "c",
                "additional_chat_templates__tool_use_dot_jinja": "d",
            },
            {},
            ModelFamily("", "c", "d"),
        ),
        ({"chat_template_dot_json": {"chat_template": "e"}}, {}, ModelFamily("", "e", "e")),
        (
            {"chat_template_dot_jinja": "c"},
            {"chat-template": "{{ mine }}"},
            ModelFamily("", "{{ mine }}", "{{ mine }}"),
        ),
        (
            {"chat_template_dot_jinja": "c"},
            {"chat-template": "/no/such/file"},
            ModelFamily(""),
        ),
        ({"chat_template_dot_jinja": "c"}, {"tokenizer": "/no/such/folder"}, ModelFamily("")),
        (
            {"config_dot_json": {"model_type": "gpt_oss"}},
            {"skip-tokenizer-init": True},
            ModelFamily(""),
        ),
    ],
)
def test_the_family_is_read_from_the_models_files(
    tmp_path: Path, files: dict[str, Any], given: dict[str, object], expected: ModelFamily
) -> None:
    assert read_model_family(write(tmp_path, **files), given) == expected


def test_a_file_that_is_no_text_or_too_large_counts_as_absent(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe{{ tools }}")
    assert read_model_family(tmp_path, {}) == ModelFamily("")
    with (tmp_path / "chat_template.jinja").open("wb") as file:
        file.truncate(30_000_000)
    assert read_model_family(tmp_path, {}) == ModelFamily("")


def test_nothing_chosen_has_no_flags() -> None:
    assert Parsers().list_flags() == []
