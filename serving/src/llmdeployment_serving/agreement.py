"""How well two answers to one question agree: the words that both have, in the same order."""

import re
from collections.abc import Sequence

MOST_WORDS = 512
"""Words of each text that are compared, from its beginning."""

# why: Chinese, Japanese, Thai and their neighbours write no spaces, so there each character is a word.
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_word = re.compile(f"[{_SPACELESS}]|[^\\s{_SPACELESS}]+")


def measure_agreement(one: str, other: str) -> float:
    """Return how well two texts agree, from 0 (no word in common) to 1 (the same words).

    It is the F1 score of the longest common subsequence of words (ROUGE-L: Lin 2004, "ROUGE: A Package for Automatic Evaluation of
    Summaries"). With L words in the subsequence, m in one text and n in the other, precision is L/m, recall is L/n, and

        agreement = 2 (L/m) (L/n) / (L/m + L/n) = 2 L / (m + n)

    Here "the cat", "on" and "mat" are common, in this order: 2 x 4 / (6 + 6) = 0.667.

    >>> round(measure_agreement("the cat sat on the mat", "the cat lay on a mat"), 3)
    0.667
    >>> measure_agreement("", " "), measure_agreement("", "a"), measure_agreement("a b", "b a")
    (1.0, 0.0, 0.5)
    """
    words, others = _split_words(one), _split_words(other)
    if not words and not others:
        return 1.0
    return 2 * count_common(words, others) / (len(words) + len(others))


def count_common(words: Sequence[str], others: Sequence[str]) -> int:
    """Return the length of the longest common subsequence.

    One row of the table of Wagner and Fischer is one number, with a bit for each of `words`, so that 512 x 512 words take 512
    operations (Hyyro 2004, "Bit-Parallel LCS-length Computation Revisited"): this runs beside live requests.

    >>> count_common("the cat sat on the mat".split(), "the cat lay on a mat".split())
    4
    """
    places: dict[str, int] = {}
    for place, word in enumerate(words):
        places[word] = places.get(word, 0) | 1 << place
    row = whole = (1 << len(words)) - 1
    for word in others:
        matches = row & places.get(word, 0)
        row = ((row + matches) | (row - matches)) & whole
    return len(words) - row.bit_count()


def _split_words(text: str) -> list[str]:
    return [
        found.group() for found, _ in zip(_word.finditer(text), range(MOST_WORDS), strict=False)
    ]
