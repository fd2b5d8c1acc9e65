"""Who may enter a console in the cluster, and as whom.

Without a proxy nobody is asked for a name, and nobody may do anything. Behind one, the proxy's headers say who it is. They are believed
only beside a secret that the proxy and the console share: whoever else reaches the console's port does not have it. The secret comes as
`Authorization: Basic <user:secret>`, as oauth2-proxy sends it, or `Bearer <secret>`, as a Gateway can add it.
"""

import base64
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from llmdeployment_console.guard import check_write
from llmdeployment_console.refusals import RequestRefused
from llmdeployment_console.viewers import ANYBODY, Viewer

RESERVED = "system:"
"""How names begin that belong to Kubernetes itself. Nobody is let in, and nothing is written, under one."""

_MOST_CHARACTERS = 256
_MOST_GROUPS = 256
_BYTES = 32
"""The secret's least length, in characters."""


@dataclass(frozen=True)
class Naming:
    """Where the proxy says who a viewer is, and what the API server calls them.

    Attributes:
        user_header: the header with the name, in lower case.
        groups_header: the header with the groups, with commas between them; in lower case.
        user_prefix: what the API server puts before a name (`--oidc-username-prefix`).
        group_prefix: the same for a group.
        users: the only ones that are let in; empty: all.
        groups: the only ones that are passed on, with their prefix.
    """

    user_header: str
    groups_header: str
    user_prefix: str = ""
    group_prefix: str = ""
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()


def is_own_host(host: str, names: frozenset[str]) -> bool:
    """Say whether a Host is the console's. Any port is: whoever makes a name lead here cannot choose another one's name.

    >>> [is_own_host(each, frozenset({"localhost", "[::1]"})) for each in ("LOCALHOST:8080", "[::1]:80", "evil.example", "localhost:x")]
    [True, True, False, False]
    """
    name, colon, port = host.lower().rpartition(":")
    if not colon or host.endswith("]"):
        return host.lower() in names
    return name in names and port.isdecimal()


def check_host(headers: Mapping[str, str], names: frozenset[str]) -> None:
    """Check that a request was sent to a name of the console.

    Raises:
        RequestRefused: it was not.
    """
    if not is_own_host(headers.get("host", ""), names):
        message = "This console answers to its own address only. Open the address in console.url."
        raise RequestRefused(HTTPStatus.MISDIRECTED_REQUEST, "foreign_host", message)


def admit_reader(
    method: str, path: str, headers: Mapping[str, str], *, names: frozenset[str]
) -> Viewer:
    """Let everybody in who only reads.

    Raises:
        RequestRefused: with the status and one sentence.
    """
    del path
    check_host(headers, names)
    if method not in {"GET", "HEAD"}:
        message = "This console is read-only. Use `kubectl llm`, or `kubectl llm console` with your own kubeconfig."
        raise RequestRefused(HTTPStatus.FORBIDDEN, "read_only", message)
    return ANYBODY


@dataclass(frozen=True)
class ProxyEntrance:
    """Lets in whom the proxy names.

    Attributes:
        names: the console's own, without ports.
        origin: of the page, as browsers see it.
        naming: how the proxy says who it is.
        read_secrets: returns the secrets that are right now; several while one replaces another.
    """

    names: frozenset[str]
    origin: str
    naming: Naming
    read_secrets: Callable[[], tuple[str, ...]]

    def __call__(self, method: str, path: str, headers: Mapping[str, str]) -> Viewer:
        """Return who a request is from.

        Raises:
            RequestRefused: with the status and one sentence.
        """
        del path
        check_host(headers, self.names)
        given = read_credential(headers.get("authorization", ""))
        if not any(_is_same(given, each) for each in self.read_secrets() if len(each) >= _BYTES):
            message = "The console answers to its authenticating proxy only. Open the address in console.url."
            raise RequestRefused(HTTPStatus.UNAUTHORIZED, "no_proxy", message)
        check_write(method, headers, self.origin)
        return name_viewer(headers, self.naming)


def read_credential(authorization: str) -> str:
    """Return the password of Basic, or the token of Bearer; nothing of anything else.

    The password is what follows the last colon: a name may be a URL, and the secret is of letters and digits.

    >>> read_credential("Bearer abc"), read_credential("Basic YWRhOmE6Yg=="), read_credential("Basic !"), read_credential("Digest abc")
    ('abc', 'b', '', '')
    """
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode().rpartition(":")[2]
    except ValueError:
        return ""


def name_viewer(headers: Mapping[str, str], naming: Naming) -> Viewer:
    """Return the viewer that the proxy's headers name.

    Raises:
        RequestRefused: they name nobody, or a name that belongs to Kubernetes.
    """
    # The server joins headers that come twice by a line break. One of them may be the client's.
    if any("\n" in headers.get(each, "") for each in (naming.user_header, naming.groups_header)):
        message = "The proxy sent your name or your groups twice. Ask who set up the console."
        raise RequestRefused(HTTPStatus.UNAUTHORIZED, "bad_user", message)
    given = headers.get(naming.user_header, "").strip()
    if not given:
        message = (
            f"The proxy did not say who you are ({naming.user_header}). Ask who set up the console."
        )
        raise RequestRefused(HTTPStatus.UNAUTHORIZED, "no_user", message)
    words = headers.get(naming.groups_header, "").split(",")
    groups = [naming.group_prefix + each.strip() for each in words if each.strip()]
    user = naming.user_prefix + given
    _check_names(user, groups)
    if naming.users and user not in naming.users:
        message = f"{user} is not in console.auth.users. Ask who set up the console."
        raise RequestRefused(HTTPStatus.FORBIDDEN, "unknown_user", message)
    return Viewer(user, tuple(sorted(set(groups) & naming.groups)))


def _check_names(user: str, groups: list[str]) -> None:
    if len(groups) > _MOST_GROUPS or not all(map(_is_name, (user, *groups))):
        message = "The proxy's headers with your name and groups cannot be read. Ask who set up the console."
        raise RequestRefused(HTTPStatus.UNAUTHORIZED, "bad_user", message)
    reserved = [each for each in (user, *groups) if each.lower().startswith(RESERVED)]
    if reserved:
        message = (
            f"{reserved[0]} is a name of Kubernetes itself, under which the console does nothing."
        )
        raise RequestRefused(HTTPStatus.FORBIDDEN, "reserved_name", message)


def _is_name(text: str) -> bool:
    return len(text) <= _MOST_CHARACTERS and text.isprintable() and text.isascii()


def _is_same(one: str, other: str) -> bool:
    # Bytes, because text with other letters than ASCII is refused.
    return hmac.compare_digest(one.encode(), other.encode())
