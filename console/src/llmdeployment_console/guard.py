"""What a request must bring before anything looks at it, and the headers of each answer.

Another page in the same browser can send requests to the console. It cannot set the header `x-llm-console`, and its Origin is another.
A page whose name was made to lead to the console (DNS rebinding) sends its own name as Host.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmdeployment_console.refusals import RequestRefused, build_refusal
from llmdeployment_console.sessions import Sessions
from llmdeployment_console.viewers import ANYBODY, SCOPE_KEY, Entrance, Viewer

BODY_BYTES = 1 << 20
API = "/api/"
WRITE_HEADER = "x-llm-console"

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Lets requests through that may be answered. Pure ASGI, so that streams pass as they come.

    Args:
        app: what answers; it finds the viewer in the scope.
        entrance: says who a request is from, or refuses it.
    """

    def __init__(self, app: ASGIApp, entrance: Entrance) -> None:
        self._app = app
        self._entrance = entrance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.encode() for name in HEADERS}
                kept = [(n, v) for n, v in message.get("headers", ()) if n.lower() not in own]
                more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*kept, *more]}
            await send(message)

        try:
            headers = read_headers(scope["headers"])
            viewer = self._entrance(scope["method"], scope["path"], headers)
        except RequestRefused as refused:
            await build_refusal(refused)(scope, receive, send_with_headers)
            return
        await self._app({**scope, SCOPE_KEY: viewer}, receive, send_with_headers)


def read_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    r"""Return the headers of a request. Values of one name are joined by a line break, which no value has, so no check takes them.

    >>> read_headers([(b"host", b"a"), (b"x-user", b"ada"), (b"x-user", b"bob")])
    {'host': 'a', 'x-user': 'ada\nbob'}
    """
    found: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]}\n{text}" if key in found else text
    return found


def admit_local(
    method: str,
    path: str,
    headers: Mapping[str, str],
    *,
    sessions: Sessions,
    hosts: frozenset[str],
) -> Viewer:
    """Let in who has the cookie, at the console's own address.

    Raises:
        RequestRefused: with the status and one sentence.
    """
    host = headers.get("host", "")
    if host not in hosts:
        message = "This console answers to its own address only. Open the address that `kubectl llm console` printed."
        raise RequestRefused(HTTPStatus.MISDIRECTED_REQUEST, "foreign_host", message)
    if path.startswith(API) and not sessions.knows(read_cookie(headers, sessions.cookie)):
        message = "The console does not know this browser. Run `kubectl llm console` again and open its address."
        raise RequestRefused(HTTPStatus.UNAUTHORIZED, "no_session", message)
    check_write(method, headers, f"http://{host}")
    return ANYBODY


def check_write(method: str, headers: Mapping[str, str], origin: str) -> None:
    """Check that what writes comes from the console's own page, and its size.

    Raises:
        RequestRefused: with the status and one sentence.
    """
    if method in {"GET", "HEAD"}:
        return
    if headers.get(WRITE_HEADER) != "1" or headers.get("origin") != origin:
        message = "Only the console's own page may do this. Reload the page."
        raise RequestRefused(HTTPStatus.FORBIDDEN, "foreign_origin", message)
    if headers.get("content-type", "").split(";")[0].strip() != "application/json":
        message = "The request must be JSON. Send content-type: application/json."
        raise RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not_json", message)
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > BODY_BYTES:
        raise explain_size()


def explain_size() -> RequestRefused:
    """Return the refusal of a body that is too large."""
    message = "The request is larger than 1 MiB. Send a smaller one."
    return RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", message)


def read_cookie(headers: Mapping[str, str], name: str) -> str:
    """Return the value of a cookie, or nothing."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found is not None else ""
