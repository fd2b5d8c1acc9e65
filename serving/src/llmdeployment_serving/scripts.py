"""Which script a text is written in: counted letters, by a small table of Unicode's blocks."""

from bisect import bisect_right
from collections import Counter

ENOUGH_LETTERS = 20
"""A text with fewer letters of the table has no script: a name or a unit would decide."""

_KANA_SHARE = 0.1
_FENCE = "```"

_BLOCKS: tuple[tuple[int, int, str], ...] = (
    (0x0041, 0x024F, "latin"),
    (0x0370, 0x03FF, "greek"),
    (0x0400, 0x052F, "cyrillic"),
    (0x0590, 0x05FF, "hebrew"),
    (0x0600, 0x06FF, "arabic"),
    (0x0750, 0x077F, "arabic"),
    (0x08A0, 0x08FF, "arabic"),
    (0x0900, 0x097F, "devanagari"),
    (0x0E00, 0x0E7F, "thai"),
    (0x1100, 0x11FF, "hangul"),
    (0x1E00, 0x1EFF, "latin"),
    (0x1F00, 0x1FFF, "greek"),
    (0x3040, 0x30FF, "kana"),
    (0x3130, 0x318F, "hangul"),
    (0x31F0, 0x31FF, "kana"),
    (0x3400, 0x4DBF, "han"),
    (0x4E00, 0x9FFF, "han"),
    (0xAC00, 0xD7AF, "hangul"),
    (0xF900, 0xFAFF, "han"),
    (0xFB50, 0xFDFF, "arabic"),
    (0xFE70, 0xFEFF, "arabic"),
    (0xFF21, 0xFF5A, "latin"),
    (0xFF66, 0xFF9F, "kana"),
    (0x20000, 0x3134F, "han"),
)
"""First and last code point of each block, in order. Only letters count (`str.isalpha`), so signs between them do no harm."""
_STARTS = [start for start, _, _ in _BLOCKS]


def find_script(text: str) -> str | None:
    """Return the script of most letters of a text, None for a text with fewer than `ENOUGH_LETTERS`. Code in fences is left out.

    Japanese is written with kana and Han: a text whose letters are a tenth kana is `kana`, with all of its Han. Chinese is `han`, and
    Korean is `hangul`.

    >>> find_script("The quick brown fox jumps."), find_script("The fox.")
    ('latin', None)
    >>> find_script("Съешь же ещё этих мягких французских булок")
    'cyrillic'
    """
    letters = _count_letters("".join(text.split(_FENCE)[::2]))
    asian = letters["kana"] + letters["han"]
    if letters["kana"] and letters["kana"] >= _KANA_SHARE * asian:
        letters["kana"], letters["han"] = asian, 0
    if letters.total() < ENOUGH_LETTERS:
        return None
    return letters.most_common(1)[0][0]


def _count_letters(text: str) -> Counter[str]:
    letters: Counter[str] = Counter()
    # why: a text has many characters and few different ones, and Counter's loop is C.
    for character, count in Counter(text).items():
        if character.isalpha() and (script := _find_block(ord(character))) is not None:
            letters[script] += count
    return letters


def _find_block(code: int) -> str | None:
    place = bisect_right(_STARTS, code) - 1
    if place < 0:
        return None
    _, last, script = _BLOCKS[place]
    return script if code <= last else None
