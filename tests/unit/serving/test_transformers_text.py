import itertools
from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from llmdeployment_serving.transformers_text import Detokenizer, StopStrings

texts = st.text(alphabet="ab€ü😀", max_size=12)
MOST_DECODED = 16
"""Tokens that are decoded at once, at most: those that wait, and as many before them."""


def spell(tokens: Sequence[int]) -> str:
    """Decode tokens that are bytes."""
    return bytes(tokens).decode(errors="replace")


def lead(tokens: Sequence[int]) -> str:
    """Decode tokens that are letters after a space, which a text does not begin with."""
    return "".join(f" {chr(token)}" for token in tokens).removeprefix(" ")


@given(texts)
def test_pieces_make_the_whole_text_and_never_half_a_character(text: str) -> None:
    reader = Detokenizer(spell)
    pieces = [reader.add(byte) for byte in text.encode()]

    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)
    assert reader.finish() == ""


@given(st.text(alphabet="a€😀\ufffd", max_size=24))
def test_a_text_may_have_the_sign_for_broken_bytes_itself(text: str) -> None:
    reader = Detokenizer(spell)
    assert "".join(map(reader.add, text.encode())) + reader.finish() == text


@given(st.integers(0, 40), st.text(alphabet="a€😀", min_size=1, max_size=12))
def test_a_text_after_broken_bytes_is_whole(broken: int, text: str) -> None:
    reader = Detokenizer(spell)
    pieces = [reader.add(byte) for byte in b"\xff" * broken + text.encode()]
    assert "".join(pieces) == "\ufffd" * broken + text


@given(st.lists(st.sampled_from(b"a\xff\xf0\x9f\x98\x80\xe2\x82\xac"), max_size=200).map(bytes))
@example(b"\xff" * 200)
def test_broken_bytes_are_decoded_a_few_at_a_time(broken: bytes) -> None:
    sizes: list[int] = []

    def count(tokens: Sequence[int]) -> str:
        sizes.append(len(tokens))
        return spell(tokens)

    reader = Detokenizer(count)
    text = "".join(map(reader.add, broken)) + reader.finish()

    assert max(sizes) <= MOST_DECODED
    assert sum(sizes) <= 4 * MOST_DECODED * (len(broken) + 1)
    assert text.replace("\ufffd", "") == spell(broken).replace("\ufffd", "")


@given(st.lists(st.sampled_from(b"abc"), max_size=8))
def test_a_token_that_is_written_otherwise_at_the_start_is_written_right(tokens: list[int]) -> None:
    reader = Detokenizer(lead)
    assert "".join(map(reader.add, tokens)) + reader.finish() == lead(tokens)


def test_an_answer_that_ends_within_a_character_shows_it() -> None:
    reader = Detokenizer(spell)
    assert [reader.add(byte) for byte in "a€".encode()[:2]] == ["a", ""]
    assert reader.finish() == "\ufffd"


@given(texts, st.lists(st.text(alphabet="ab€", min_size=1, max_size=3), max_size=2), st.data())
def test_a_text_in_pieces_ends_where_the_whole_one_does(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=4).map(sorted))
    edges = [0, *cuts, len(text)]
    reader = StopStrings(tuple(stops))
    found = ""
    for start, end in itertools.pairwise(edges):
        if not reader.is_found:
            found += reader.add(text[start:end])
    is_found = reader.is_found
    found += "" if is_found else reader.finish()

    complete = [(place + len(stop), place) for stop in stops if (place := text.find(stop)) >= 0]
    assert is_found == bool(complete)
    # One piece may complete two stop strings, and then the text ends before the first of them.
    assert found in {text[:place] for _, place in complete} or (not complete and found == text)


def test_nothing_waits_that_cannot_become_a_stop_string() -> None:
    reader = StopStrings(("<|end|>", "User:"))
    assert [reader.add(piece) for piece in ("a <", "b", "<|end", "|", "> c")] == [
        "a ",
        "<b",
        "",
        "",
        "",
    ]
    assert reader.is_found
