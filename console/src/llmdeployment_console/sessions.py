"""Who may use the console: a token that works once, and the cookie that it is exchanged for."""

import hmac
import secrets

_BYTES = 32
_MOST = 16


class Sessions:
    """The one-time token, and the cookies of those who had it.

    Cookies of 127.0.0.1 are shared by all its ports, so the cookie's name holds the console's own.
    """

    def __init__(self, port: int) -> None:
        self.cookie = f"llm-console-{port}"
        self._token: str | None = None
        self._known: list[str] = []

    def issue_token(self) -> str:
        """Return a new token, which replaces one that was not used."""
        self._token = secrets.token_urlsafe(_BYTES)
        return self._token

    def exchange_token(self, token: str) -> str | None:
        """Return the value of a new cookie, or None for a token that is wrong or was used."""
        if self._token is None or not _is_same(token, self._token):
            return None
        self._token = None
        value = secrets.token_urlsafe(_BYTES)
        self._known = [*self._known, value][-_MOST:]
        return value

    def knows(self, value: str) -> bool:
        """Say whether this is the value of a cookie that was given."""
        return any(_is_same(value, known) for known in self._known)


def _is_same(one: str, other: str) -> bool:
    # Bytes, because text with other letters than ASCII is refused.
    return hmac.compare_digest(one.encode(), other.encode())
