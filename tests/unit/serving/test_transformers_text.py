import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_serving.transformers_text import Detokenizer, StopStrings

texts = st.text(alphabet="ab€ü", max_size=12)


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
