"""Which of vLLM's parsers reads a model's tool calls and its reasoning: chosen by the model's family and by its chat template.

vLLM finds tool calls in an answer only with `--tool-call-parser` and `--enable-auto-tool-choice`, and reasoning only with
`--reasoning-parser`. It names the parser of each family in its pages "Tool Calling" and "Reasoning Outputs", which are the source of
the tables here. One family may have several formats (Qwen3 and Qwen3-Coder), so a rule also names what the template prints.
In doubt no parser is chosen: a wrong one takes text out of answers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from llmdeployment_serving.errors import join_lines

UNTEMPLATED = {
    "deepseek_v32": ("deepseek_v32", "deepseek_v3"),
    "deepseek_v41": ("deepseek_v41", "deepseek_v41"),
    "deepseek_v4": ("deepseek_v4", "deepseek_v4"),
    "gpt_oss": ("openai", "openai_gptoss"),
    "mistral": ("mistral", None),
}
"""Families that vLLM renders by itself, without a chat template: their tool-call parser and their reasoning parser."""
_TOOL_FLAGS = ("tool-call-parser", "no-enable-auto-tool-choice")
_LONGEST_TEMPLATE = 1_000_000
"""Characters of a chat template that are looked at."""


@dataclass(frozen=True)
class ModelFamily:
    """What a model's files say about its formats; see `model_family.read_model_family`."""

    name: str
    """`model_type` of `config.json`; "" if there is none."""
    template: str = ""
    """The chat template; "" if there is none."""
    tool_template: str = ""
    """The template for requests with tools: the same one, unless the model has one named `tool_use`."""


@dataclass(frozen=True)
class Parsers:
    """Names of vLLM's parsers, None where there is none, and why."""

    tool_call: str | None = None
    reasoning: str | None = None
    tool_call_reason: str = "the chat template has no tools"
    reasoning_reason: str = "the chat template shows no reasoning of a known family"

    def list_flags(self) -> list[str]:
        """Return the flags of `vllm serve`.

        >>> Parsers("hermes", "qwen3").list_flags()
        ['--enable-auto-tool-choice', '--tool-call-parser=hermes', '--reasoning-parser=qwen3']
        """
        flags = []
        if self.tool_call:
            flags += ["--enable-auto-tool-choice", f"--tool-call-parser={self.tool_call}"]
        if self.reasoning:
            flags.append(f"--reasoning-parser={self.reasoning}")
        return flags

    def without_tool_call(self, why: str) -> "Parsers":
        """Return these without the tool-call parser, which vLLM cannot use."""
        reason = f"vLLM cannot use {self.tool_call}: {_shorten(why)}"
        return replace(self, tool_call=None, tool_call_reason=reason)

    def without_reasoning(self, why: str) -> "Parsers":
        """Return these without the reasoning parser, which vLLM cannot use."""
        reason = f"vLLM cannot use {self.reasoning}: {_shorten(why)}"
        return replace(self, reasoning=None, reasoning_reason=reason)

    def describe(self) -> str:
        """Return the line for the log."""
        return (
            f"tool-call parser: {self.tool_call or 'none'}, because {self.tool_call_reason}; "
            f"reasoning parser: {self.reasoning or 'none'}, because {self.reasoning_reason}"
        )


@dataclass(frozen=True)
class Rule:
    """A parser, and the models that it is for: those whose family begins so and whose template holds the mark."""

    parser: str
    mark: re.Pattern[str]
    families: tuple[str, ...] = ()
    """Beginnings of `model_type`; empty for every family, because the mark is no other format's."""


def _rule(parser: str, mark: str, *families: str) -> Rule:
    return Rule(parser, re.compile(mark, re.DOTALL), families)


TOOL_RULES = (
    _rule("minimax_m2", r"<minimax:tool_call>"),
    _rule("seed_oss", r"<seed:tool_call>"),
    _rule("longcat", r"<longcat_tool_call>"),
    _rule("kimi_k2", r"<\|tool_calls_section_begin\|>"),
    _rule("step3", r"<steptml:invoke"),
    _rule("lfm2", r"<\|tool_call_start\|>"),
    _rule("apertus", r"<\|tools_prefix\|>"),
    _rule("functiongemma", r"<start_function_call>"),
    _rule("gigachat3", r"function call<\|role_sep\|>"),
    _rule("gemma4", r"<\|tool_call>", "gemma4"),
    _rule("olmo3", r"<function_calls>", "olmo3"),
    _rule("internlm", r"<\|action_start\|>", "internlm2"),
    _rule("deepseek_v32", "\uff5cDSML\uff5c", "deepseek_v32"),
    _rule("deepseek_v3", "<\uff5ctool\u2581calls\u2581begin\uff5c>.*```json", "deepseek_v3"),
    _rule("deepseek_v31", "<\uff5ctool\u2581calls\u2581begin\uff5c>", "deepseek_v3"),
    _rule("mistral", r"\[TOOL_CALLS\]", "mistral", "ministral", "mixtral", "pixtral", "voxtral"),
    _rule("phi4_mini_json", r"<\|tool_call\|>", "phi3"),
    _rule("granite4", r"<tool_call>", "granitemoehybrid"),
    _rule("granite", r"<\|tool_call\|>", "granite"),
    _rule("jamba", r"<tool_calls>", "jamba"),
    _rule("hunyuan_a13b", r"<tool_calls>", "hunyuan_v1_moe"),
    _rule("ernie45", r"<tool_call>", "ernie4_5"),
    _rule("glm45", r"<arg_key>", "glm"),
    _rule("step3p5", r"<function=", "step3p5"),
    _rule("mimo", r"<function=", "mimo"),
    _rule("qwen3_xml", r"<function=[^>]*>\s*<parameter=", "qwen3", "nemotron_h"),
    _rule("hermes", r'<tool_call>\s*\{+\s*"(name|arguments)"'),
    _rule("llama4_pythonic", r"\[func_name1\(", "llama4"),
    _rule("llama4_json", r'"name": function name, "parameters"', "llama4"),
    _rule("pythonic", r"\[func_name1\(", "llama", "mllama"),
    _rule("llama3_json", r'"name": function name, "parameters"', "llama", "mllama"),
)
"""The first that fits is chosen, so a family's own rule stands before a rule for all."""

_thinks = r"<think>"
_always_thinks = r"\A(?!.*</think>).*?<think>"
REASONING_RULES = (
    _rule("seed_oss", r"<seed:think>", "seed_oss"),
    _rule("granite", r"Here is my thought process", "granite"),
    _rule("gemma4", r"<\|channel>", "gemma4"),
    _rule("mistral", r"\[THINK\]", "mistral", "ministral"),
    _rule("kimi_k2", _thinks, "kimi_k2"),
)
"""Marks anywhere in the template."""
OPENING_RULES = (
    _rule("minimax_m2_append_think", _thinks, "minimax_m2"),
    _rule("qwen3", _thinks, "qwen3"),
    _rule("glm45", _thinks, "glm4_moe", "glm4v_moe", "glm_moe"),
    _rule("deepseek_r1", _always_thinks, "deepseek_v3", "qwen2", "llama"),
    _rule("deepseek_v3", _thinks, "deepseek_v3"),
    _rule("hunyuan_a13b", _thinks, "hunyuan_v1_moe"),
    _rule("ernie45", _thinks, "ernie4_5"),
    _rule("olmo3", _always_thinks, "olmo3"),
    _rule("nemotron_v3", _thinks, "nemotron_h"),
    _rule("step3p5", _thinks, "step3p5"),
    _rule("step3", _thinks, "step3"),
)
"""Marks in what the template prints to open an answer. A model that only renders the reasoning of earlier turns (Qwen3-Instruct-2507)
has none there, and vLLM's parser would take its whole answer for reasoning."""


def choose_parsers(family: ModelFamily, given: Mapping[str, object]) -> Parsers:
    r"""Return the parsers of a model. What `given`, the flags of `spec.engine.args`, says of a parser holds: none is chosen beside it.

    >>> template = '{% if tools %}<tool_call>\\n{"name": <function-name>}{% endif %}'
    >>> choose_parsers(ModelFamily("qwen2", template, template), {}).tool_call
    'hermes'
    """
    tool_call, tool_reason = _choose_tool_parser(family, given)
    reasoning, reason = _choose_reasoning_parser(family, given)
    return Parsers(tool_call, reasoning, tool_reason, reason)


def _choose_tool_parser(family: ModelFamily, given: Mapping[str, object]) -> tuple[str | None, str]:
    if any(flag in given for flag in _TOOL_FLAGS) or given.get("enable-auto-tool-choice") is False:
        return None, "spec.engine.args decides"
    if (known := _find_untemplated(family)) is not None:
        return known[0], f"the model is {family.name}"
    text = _read_literals(family.tool_template)
    if not _knows_tools(text):
        return None, "the chat template has no tools"
    return _find_parser(TOOL_RULES, family, text) or (
        None,
        "the chat template has tools in a format that is none of the known ones",
    )


def _choose_reasoning_parser(
    family: ModelFamily, given: Mapping[str, object]
) -> tuple[str | None, str]:
    if "reasoning-parser" in given:
        return None, "spec.engine.args decides"
    if (known := _find_untemplated(family)) is not None:
        return known[1], f"the model is {family.name}"
    text = _read_literals(family.template)
    opening = text.rpartition("add_generation_prompt")[2]
    return (
        _find_parser(REASONING_RULES, family, text)
        or _find_parser(OPENING_RULES, family, opening)
        or (None, "the chat template shows no reasoning of a known family")
    )


def _find_untemplated(family: ModelFamily) -> tuple[str, str | None] | None:
    """Return the parsers of a family whose template vLLM has itself; GPT-OSS's own one is not used."""
    if family.template and family.name != "gpt_oss":
        return None
    return UNTEMPLATED.get(family.name)


def _find_parser(rules: tuple[Rule, ...], family: ModelFamily, text: str) -> tuple[str, str] | None:
    for rule in rules:
        if rule.families and not family.name.startswith(rule.families):
            continue
        if found := rule.mark.search(text):
            seen = _shorten(found[0])[-40:]
            return rule.parser, f"the chat template of this {family.name} prints {seen}"
    return None


def _knows_tools(template: str) -> bool:
    """Say whether a template reads `tools`.

    >>> _knows_tools("{%- if tools %}...{% endif %}"), _knows_tools("{{ message['tool_calls'] }}{# tools #}")
    (True, False)
    """
    blocks = re.findall(r"\{[%{].*?[%}]\}", template, re.DOTALL)
    return any(re.search(r"(?<!['\"])\btools\b(?!['\"])", block) for block in blocks)


def _shorten(why: str) -> str:
    return join_lines(why)[:200]


def _read_literals(template: str) -> str:
    r"""Return a template with the escapes of its string literals resolved, so that marks are found inside and outside of them.

    >>> _read_literals(r'{{ "<tool_call>\n{\"name\"" }}')
    '{{ "<tool_call>\n{"name"" }}'
    """
    return template[:_LONGEST_TEMPLATE].replace("\\n", "\n").replace('\\"', '"')
