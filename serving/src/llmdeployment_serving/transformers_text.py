"""From tokens to the text of an answer, piece by piece."""

from collections.abc import Callable, Sequence

_unfinished = "\ufffd"
"""How a tokenizer shows the first bytes of a character whose others are in the next token."""
_longest = 4
"""Bytes of a character, at most. A token has one or more."""
_waiting = 2 * _longest
"""Tokens that wait for the end of a character, at most. More of them are broken bytes, or an answer of this sign itself."""


class Detokenizer:
    """Turns tokens into text as they come.

    Some tokenizers write a token differently at the start of a text, so each new token is decoded together with the one before it:

        text = decode(tokens[a:]) without decode(tokens[a:b])

    where `b` is the end of what was returned before, and `a` the end of what was returned before that. A piece that ends within a
    character waits for its other bytes, but no longer than a character can be: every token that waits is decoded again with the next.

    >>> spell = lambda tokens: bytes(tokens).decode(errors="replace")
    >>> text = Detokenizer(spell)
    >>> [text.add(byte) for byte in "für".encode()], text.finish()
    (['f', '', 'ü', 'r'], '')
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._before = 0
        self._returned = 0

    def add(self, token: int) -> str:
        """Take a token and return the text that is complete now."""
        self._tokens.append(token)
        text = self._decode(self._tokens[self._before :])
        count = len(self._tokens)
        if not text.endswith(_unfinished):
            return self._advance(text, count)
        if count - self._returned < _waiting:
            return ""
        # The last three tokens may still be the beginning of a character, and the end must not be within one either.
        for end in range(count - _longest + 1, count - 2 * _longest + 1, -1):
            part = self._decode(self._tokens[self._before : end])
            if text.startswith(part):
                return self._advance(part, end)
        return self._advance(text, count)

    def finish(self) -> str:
        """Return what is left: the bytes of an unfinished character."""
        return self._advance(self._decode(self._tokens[self._before :]), len(self._tokens))

    def _advance(self, text: str, end: int) -> str:
        known = self._decode(self._tokens[self._before : self._returned])
        self._before, self._returned = self._returned, end
        return text[len(known) :]


class StopStrings:
    """Ends a text before the first of some strings. What may be the beginning of one is held back.

    >>> stop = StopStrings(("User:",))
    >>> stop.add("Hello, Us"), stop.add("ers. "), stop.add("User: and"), stop.is_found
    ('Hello, ', 'Users. ', '', True)
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""
        self.is_found = False

    def add(self, text: str) -> str:
        """Take a piece and return what may be sent."""
        if not self._stops:
            return text
        found = self._held + text
        places = [place for stop in self._stops if (place := found.find(stop)) >= 0]
        if places:
            self.is_found = True
            self._held = ""
            return found[: min(places)]
        keep = max(_count_overlap(found, stop) for stop in self._stops)
        self._held = found[len(found) - keep :]
        return found[: len(found) - keep]

    def finish(self) -> str:
        """Return what was held back, when the answer ends."""
        held, self._held = self._held, ""
        return held


def _count_overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of `text` are the beginning of `stop`.

    >>> _count_overlap("a<|", "<|end|>"), _count_overlap("ab", "c")
    (2, 0)
    """
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
