"""What answers are like, by share."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_serving.answer_text import KEPT, AnswerReader, Choice, ToolCall
from llmdeployment_serving.output_shares import (
    BUILT_IN,
    ShareCounts,
    compile_pattern,
    compile_patterns,
    examine,
    is_loop,
)
from llmdeployment_serving.questions import Question

ANY = Question()


def answer(text: str, **fields: Any) -> Choice:
    return Choice((text,), **fields)


REFUSALS = {
    "the guide's": "Well. As an AI language model I have no opinions on this.",
    "as an AI": "As an AI, I don't have feelings.",
    "curly apostrophe": "I\u2019m sorry, but I can\u2019t help with that request.",
    "cannot assist": "I cannot assist with that.",
    "unable": "I am unable to provide medical advice.",
    "German, itself": "Als KI-Sprachmodell habe ich keine Meinung.",
    "German, declines": "Tut mir leid, aber das kann ich dir nicht beantworten.",
    "German, helps not": "Leider kann ich Ihnen nicht weiterhelfen.",
    "French, itself": "En tant que modèle de langage, je n'ai pas d'avis.",
    "French, declines": "Désolé, mais je ne peux pas faire cela.",
    "French, helps not": "Je ne peux pas vous aider avec cette demande.",
    "Spanish, itself": "Como modelo de lenguaje, no tengo opiniones.",
    "Spanish, declines": "Lo siento, pero no puedo hacer eso.",
    "Chinese, itself": "作为一个人工智能，我没有个人观点。",  # noqa: RUF001  # because this is Chinese
    "Chinese, declines": "很抱歉，我无法回答这个问题。",  # noqa: RUF001  # because this is Chinese
    "Japanese, itself": "AIアシスタントとして、個人的な意見はありません。",
    "Japanese, declines": "申し訳ありませんが、そのご質問にはお答えできません。",
}
ANSWERS = {
    "an engineer": "As an AI engineer you will design models. As an AI lab, we hire.",
    "an apology": "I'm sorry to hear that. Here is what you can do about it.",
    "help": "I can help with that. You cannot assist at night.",
    "German": "Als Modell dient die Natur. Das kann ich dir gern zeigen, nicht nur heute.",
    "French": "Je suis désolé d'apprendre cela. Voici comment faire.",
    "Spanish": "Lo siento por la demora. El modelo de coche es nuevo.",
    "Chinese": "人工智能是计算机科学的一个分支。",
    "Japanese": "人工知能はコンピュータ科学の一分野です。",
    "a story": "Once upon a time. " * 20 + '"I cannot help with that," said the fox.',
}


@pytest.mark.parametrize("text", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_found(text: str) -> None:
    assert examine(ANY, [answer(text)])["refusal"] is True
    assert examine(ANY, [answer(text.upper())])["refusal"] is True


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_no_refusal(text: str) -> None:
    assert examine(ANY, [answer(text)])["refusal"] is False


def test_the_engines_own_word_for_a_refusal_is_believed() -> None:
    assert examine(ANY, [answer("No.", declined=True)])["refusal"] is True


def test_a_model_that_names_itself_is_found_at_the_end_of_a_long_answer() -> None:
    ends = Choice(("a" * KEPT, "b" * 99 + " as a large language model"))
    assert examine(ANY, [ends])["refusal"] is True


@pytest.mark.parametrize(
    ("choice", "empty"),
    [
        (answer(""), True),
        (answer(" \n\t"), True),
        (answer("x"), False),
        (answer("", calls=(ToolCall("f", "{}"),)), False),
    ],
)
def test_an_answer_without_text_and_tool_call_is_empty(choice: Choice, empty: bool) -> None:  # noqa: FBT001  # because pytest passes it
    assert examine(ANY, [choice])["empty"] is empty


def test_an_answer_that_the_limit_ended_is_truncated() -> None:
    assert examine(ANY, [answer("a", finish_reason="length")])["truncated"] is True
    assert examine(ANY, [answer("a", finish_reason="stop")])["truncated"] is False


@pytest.mark.parametrize(
    ("choice", "bad"),
    [
        (answer('{"a": [1, 2]}'), False),
        (answer('{"a": [1, 2'), True),
        (answer('```json\n{"a": 1}\n```'), True),
        (answer(""), True),
        (answer("[" * 50_000), True),
        (Choice(("{", "}")), None),
        (answer("", calls=(ToolCall("f", "{}"),)), None),
    ],
)
def test_json_is_asked_of_requests_that_want_it(choice: Choice, bad: bool | None) -> None:  # noqa: FBT001  # because pytest passes it
    assert examine(Question(wants_json=True), [choice]).get("invalidJson") is bad
    assert "invalidJson" not in examine(ANY, [choice])


@pytest.mark.parametrize(
    ("calls", "bad"),
    [
        ((ToolCall("add", '{"a": 1}'),), False),
        ((ToolCall("add", '{"a": 1'),), True),
        ((ToolCall("add", ""),), True),
        ((ToolCall("mul", "{}"),), True),
        ((ToolCall("add", "{}"), ToolCall("", "{}")), True),
        ((ToolCall("add", None),), None),
        ((), None),
    ],
)
def test_tool_calls_are_of_the_requests_tools_and_their_arguments_are_json(
    calls: tuple[ToolCall, ...],
    bad: bool | None,  # noqa: FBT001  # because pytest passes it
) -> None:
    found = examine(Question(tools=frozenset({"add", "sub"})), [answer("", calls=calls)])
    assert found.get("invalidToolCall") is bad


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("!" * 60, True),
        ("!" * 59, False),
        ("So. " + "I am here. " * 6, True),
        # 55 characters repeat: too few.
        ("So. " + "I am here. " * 5, False),
        ("".join(chr(200 + i) for i in range(200)) * 4, True),
        ("".join(chr(200 + i) for i in range(200)) * 3, False),
        ("".join(chr(200 + i) for i in range(201)) * 6, False),
        # The answer was cut off in the middle of the unit.
        ("one two three four five " * 5 + "one two", True),
        ("one two three four five " * 5 + "and so it ends.", False),
        ("A" + " " * 300, False),
        ("", False),
    ],
)
def test_a_loop_is_four_repeats_and_sixty_characters_at_the_end(text: str, loops: bool) -> None:  # noqa: FBT001  # because pytest passes it
    assert is_loop(text) is loops
    assert examine(ANY, [answer(text)])["repetition"] is loops


@given(st.text(max_size=90), st.text(min_size=1, max_size=60), st.integers(1, 9))
def test_a_repeated_unit_is_found_by_its_definition(start: str, unit: str, times: int) -> None:
    text = start + unit * times
    if times >= 4 and len(unit) * times >= 60 and text[-len(unit) :].strip():
        assert is_loop(text) or not unit.strip()


def test_the_end_of_a_long_answer_is_looked_at_for_loops_and_its_beginning_for_its_language() -> (
    None
):
    ends = Choice(("Вот короткий ответ на вопрос.", "yes " * 50))
    found = examine(Question(script="cyrillic"), [ends])
    assert (found["repetition"], found["languageSwitch"]) == (True, False)


@pytest.mark.parametrize(
    ("script", "text", "switched"),
    [
        ("cyrillic", "This is the answer to your question.", True),
        ("latin", "This is the answer to your question.", False),
        ("latin", "Yes.", None),
        (None, "This is the answer to your question.", None),
    ],
)
def test_an_answer_in_another_script_than_its_prompt_switched(
    script: str | None,
    text: str,
    switched: bool | None,  # noqa: FBT001  # because pytest passes it
) -> None:
    found = examine(Question(script=script), [answer(text)])
    assert found.get("languageSwitch") is switched


def test_a_request_is_bad_if_one_of_its_choices_is_and_none_without_choices() -> None:
    found = examine(ANY, [answer("fine"), answer(""), answer("fine")])
    assert (found["empty"], found["truncated"]) == (True, False)
    assert examine(ANY, []) == {}


RUSSIAN = "Расскажите мне о погоде в Москве"  # noqa: RUF001  # because this is Russian


def stream(text: str) -> bytes:
    pieces = (json.dumps({"choices": [{"index": 0, "delta": {"content": c}}]}) for c in text)
    return b"".join(b"data: " + piece.encode() + b"\n\n" for piece in pieces)


@given(
    st.text(max_size=30),
    st.text(max_size=30),
    st.lists(st.integers(0, 10_000), max_size=8),
)
def test_a_pattern_over_any_border_of_chunks_is_found(
    before: str, after: str, cuts: list[int]
) -> None:
    body = stream(f"{before}Acme Größe™{after}")
    ends = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    reader = AnswerReader(streams=True)
    for a, b in pairwise(ends):
        reader.add(body[a:b])
    pattern = compile_pattern("brand", "(?i)acme\\s+größe")
    assert examine(ANY, reader.read(), [pattern])["pattern/brand"] is True


def test_a_pattern_does_not_match_over_the_gap_of_a_long_answer() -> None:
    ends = Choice(("a" * 50, "b" * 50))
    over, begins, stops = (
        compile_pattern(name, text)
        for name, text in (("over", "a.*b"), ("begins", "^a+$"), ("stops", "b$"))
    )
    found = examine(ANY, [ends], [over, begins, stops])
    assert found["pattern/over"] is False
    assert (found["pattern/begins"], found["pattern/stops"]) == (True, True)


@pytest.mark.parametrize("text", ["(", "a**", r"(a)\1", "(?=x)", "a{1001}", "[z-a]", r"\pQ"])
def test_what_is_not_re2_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"^the output pattern brand is not RE2: \S.*"):
        compile_pattern("brand", text)


def test_a_pattern_that_is_not_re2_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    assert [p.share for p in compile_patterns([("a", "("), ("b", "x")])] == ["pattern/b"]
    assert caplog.messages == ["the output pattern a is not RE2: missing ): ("]


def test_shares_are_counted_by_stratum_and_are_there_from_the_start() -> None:
    counts = ShareCounts(2, 64)
    assert counts.as_json((1024, "+Inf")).keys() == set(BUILT_IN)
    counts.add({"refusal": True, "empty": False}, 0)
    counts.add({"refusal": False}, 1)
    counts.add({"refusal": True}, 1)
    document = counts.as_json((1024, "+Inf"))
    rows = [[1024, 1, 1], ["+Inf", 2, 1]]
    assert document["refusal"] == {"total": 3, "bad": 2, "byPromptBytes": rows}
    assert document["empty"]["total"] == 1
    assert document["truncated"]["total"] == 0


def test_a_changed_pattern_is_counted_from_zero_and_one_that_is_gone_no_more() -> None:
    counts = ShareCounts(1, 64)
    one, other, changed = (
        compile_pattern(name, text) for name, text in (("a", "x"), ("b", "x"), ("b", "y"))
    )

    def totals() -> dict[str, int]:
        rows = counts.as_json(("+Inf",))
        return {s: row["total"] for s, row in rows.items() if s.startswith("pattern/")}

    counts.set_patterns([one, other])
    assert totals() == {"pattern/a": 0, "pattern/b": 0}
    counts.add({"pattern/a": True, "pattern/b": True, "pattern/unknown": True, "empty": True}, 0)
    counts.set_patterns([one, other])
    assert totals() == {"pattern/a": 1, "pattern/b": 1}
    counts.set_patterns([one, changed])
    assert totals() == {"pattern/a": 1, "pattern/b": 0}
    counts.set_patterns([])
    assert totals() == {}
    assert counts.as_json(("+Inf",))["empty"]["bad"] == 1


def test_shares_are_counted_by_group_of_users_and_stay_at_the_highest_value() -> None:
    counts = ShareCounts(2, 64)
    assert counts.count_group_bytes() == 0
    counts.add({"refusal": True, "empty": False}, 0, 63)
    counts.add({"refusal": False}, 1, 63)
    counts.add({"refusal": True}, 1, 0)
    counts.add({"refusal": True}, 1)
    groups = counts.list_groups()
    assert groups["refusal"] == [[0, 1, 1], [63, 2, 1]]
    assert (groups["empty"], groups["truncated"]) == ([[63, 1, 0]], [])
    counts._groups["empty"][126] = 2**32 - 1
    counts.add({"empty": True}, 0, 63)
    assert counts.list_groups()["empty"] == [[63, 2**32 - 1, 0]]


def test_the_groups_of_a_changed_pattern_are_counted_from_zero() -> None:
    counts = ShareCounts(1, 64)
    counts.set_patterns([compile_pattern("a", "x"), compile_pattern("b", "x")])
    counts.add({"pattern/a": True, "pattern/b": True}, 0, 5)
    counts.set_patterns([compile_pattern("a", "x"), compile_pattern("b", "y")])
    groups = counts.list_groups()
    assert (groups["pattern/a"], groups["pattern/b"]) == ([[5, 1, 1]], [])
