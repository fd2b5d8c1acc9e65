"""Which pages of browsers may read answers: HAProxy's rules for CORS.

The fields are those of Gateway API's CORS filter (https://gateway-api.sigs.k8s.io/geps/gep-1767/), the protocol is
https://fetch.spec.whatwg.org/#http-cors-protocol. A browser asks first (a preflight: OPTIONS without the API key), then sends the request.
It shows a page the answer, an error too, only with the header `access-control-allow-origin`.
"""

from typing import Annotated, TypedDict

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

CORS = "LLMD_CORS"
"""Variable with the fields (JSON); unset: no page of another origin may read answers."""

ANY = "*"
EXPOSED = ("x-request-id", "x-llm-arm", "x-llm-revision", "x-llm-feedback-id", "retry-after")
"""Headers of answers that pages may read in any case."""

Origin = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*|https?://(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?)$",
        max_length=253,
    ),
]
HeaderName = Annotated[str, StringConstraints(pattern=r"^(\*|[A-Za-z0-9_-]+)$", max_length=128)]

_MOST_WORDS = 32
"""Origins on a line: HAProxy takes 64 words, and ends at the start with more."""
_PAGE = "{ var(txn.origin) -m found }"
_PREFLIGHT = "METH_OPTIONS { req.hdr(access-control-request-method) -m found }"
_REFUSED = (
    '{"error": {"message": "Pages of this origin may not use this gateway. Add the origin to spec.gateway.cors.allowOrigins.", '
    '"type": "invalid_request_error", "param": null, "code": "origin_not_allowed"}}'
)


class Cors(BaseModel):
    """Pages that may read answers, and how."""

    # A newer operator may write more fields.
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore")

    allow_origins: Annotated[tuple[Origin, ...], Field(min_length=1, max_length=64)]
    """Origins of the pages, such as `https://chat.example.com` or `https://*.example.com`, or `*` for all."""
    allow_headers: tuple[HeaderName, ...] = (ANY,)
    """Headers that the pages may send; `*`: all that the browser asks for."""
    expose_headers: tuple[HeaderName, ...] = ()
    """Headers of answers that pages may read besides `EXPOSED`."""
    allow_credentials: bool = False
    """Whether a browser sends cookies and client certificates."""
    max_age: int = 600
    """Seconds for which a browser need not ask again."""


class Rules(TypedDict):
    """What the configuration's template has of CORS."""

    cors: str


def parse_cors(text: str) -> Cors:
    """Return the settings in a variable.

    >>> parse_cors('{"allowOrigins": ["https://chat.example.com"]}').allow_origins
    ('https://chat.example.com',)

    Raises:
        ValueError: they are not such settings.
    """
    return Cors.model_validate_json(text)


def build_rules(cors: Cors | None) -> Rules:
    """Return the rules: they find the origin, put the headers on every answer, and answer preflights.

    They stand before the check of API keys, because a preflight has none. HAProxy puts the headers on its own errors too.
    """
    if cors is None:
        return {"cors": ""}
    lines = [
        "# --- CORS ---",
        *_build_origin(cors),
        *_build_answer_headers(cors),
        *_build_preflight(cors),
    ]
    return {"cors": "".join(f"    {line}\n" for line in lines) + "\n"}


def _build_origin(cors: Cors) -> list[str]:
    found = "http-request set-var(txn.origin)"
    if ANY in cors.allow_origins:
        return [f"{found} str({ANY}) if {{ req.hdr(origin) -m found }}"]
    exact = [origin for origin in cors.allow_origins if "*" not in origin]
    patterns = [_match_subdomains(origin) for origin in cors.allow_origins if "*" in origin]
    parts = (exact[at : at + _MOST_WORDS] for at in range(0, len(exact), _MOST_WORDS))
    rules = [f"-m str {' '.join(part)}" for part in parts]
    rules += [f"-m reg '{pattern}'" for pattern in patterns]
    return [f"{found} req.fhdr(origin) if {{ req.fhdr(origin) {rule} }}" for rule in rules]


def _match_subdomains(origin: str) -> str:
    """Return an expression for the origins that a wildcard stands for: one label or more.

    >>> _match_subdomains("https://*.example.com:8443")
    '^https://([a-z0-9_-]+[.])+example[.]com:8443$'
    """
    scheme, _, rest = origin.partition("*.")
    return f"^{scheme}([a-z0-9_-]+[.])+{rest.replace('.', '[.]')}$"


def _build_answer_headers(cors: Cors) -> list[str]:
    exposed = ", ".join(dict.fromkeys((*EXPOSED, *cors.expose_headers)))
    headers = {
        "access-control-allow-origin": "%[var(txn.origin)]",
        "access-control-expose-headers": f'"{exposed}"',
    }
    if cors.allow_credentials:
        headers["access-control-allow-credentials"] = "true"
    rules = [f"http-after-response set-header {n} {v} if {_PAGE}" for n, v in headers.items()]
    # A cache must not give one page's answer to another. Those without an origin differ too.
    different = [] if ANY in cors.allow_origins else ["http-after-response add-header vary origin"]
    return [*rules, *different]


def _build_preflight(cors: Cors) -> list[str]:
    named = ", ".join(cors.allow_headers)
    allowed = "%[req.fhdr(access-control-request-headers)]" if ANY in cors.allow_headers else named
    headers = (
        'hdr access-control-allow-methods "GET, POST" '
        f'hdr access-control-allow-headers "{allowed}" hdr access-control-max-age {cors.max_age}'
    )
    return [
        f"http-request return status 204 {headers} if {_PREFLIGHT} {_PAGE}",
        f"http-request return status 403 content-type application/json string '{_REFUSED}' if {_PREFLIGHT} !{_PAGE}",
    ]
