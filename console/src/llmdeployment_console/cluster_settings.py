"""The settings of a console in the cluster, read from its environment; the chart sets every one of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.operators import Operator
from llmdeployment_console.api_server import ACCOUNT
from llmdeployment_console.identity import RESERVED, Naming

PREFIX = "LLMDEPLOYMENT_CONSOLE_"
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""Names by which `kubectl port-forward` leads to the console."""
_MODES = ("ReadOnly", "Proxy")
_TRUE = frozenset({"1", "true", "yes"})


@dataclass(frozen=True)
class ClusterSettings:
    """How the console runs in the cluster.

    Attributes:
        port: where it listens.
        namespaces: whose LLMDeployments are shown; empty: all.
        names: by which it may be called, without ports.
        origin: of the page, as browsers see it; empty without a URL.
        naming: how the proxy says who it is; None: nobody is asked.
        secret: the file with the secret that the proxy shares.
        account: the folder with the token and the certificate authority of the pod's ServiceAccount.
        operator: of the same release.
        operator_service: a headless Service of its pods.
    """

    port: int
    namespaces: tuple[str, ...]
    names: frozenset[str]
    origin: str
    naming: Naming | None
    secret: Path
    account: Path
    operator: Operator
    operator_service: str


def read_cluster_settings(environment: Mapping[str, str]) -> ClusterSettings:
    """Return what environment variables say.

    Raises:
        Refusal: one is missing or cannot be used; the message names it.
    """

    def read(name: str, default: str = "") -> str:
        return environment.get(PREFIX + name) or default

    mode = read("AUTH_MODE", _MODES[0])
    if mode not in _MODES:
        raise Refusal(f"{PREFIX}AUTH_MODE is {mode!r}. Set {' or '.join(_MODES)}.")
    origin = _read_origin(read("URL"))
    if mode == "Proxy" and not origin:
        raise Refusal(
            f"{PREFIX}URL is not set. Set the address under which browsers reach the proxy."
        )
    port = read("PORT", "8080")
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise Refusal(f"{PREFIX}PORT is {port!r}. Set a port.")
    own = urlsplit(origin).netloc.rpartition("@")[2] if origin else ""
    names = {*LOCAL_NAMES, *_split(read("HOSTS")), _strip_port(own)} - {""}
    return ClusterSettings(
        port=int(port),
        namespaces=_split(read("NAMESPACES")),
        names=frozenset(each.lower() for each in names),
        origin=origin,
        naming=_read_naming(read) if mode == "Proxy" else None,
        secret=Path(read("SECRET_FILE", "/etc/llmdeployment/proxy/secret")),
        account=Path(read("ACCOUNT", str(ACCOUNT))),
        operator=Operator(
            name=read("OPERATOR", "llmdeployment-operator"),
            namespace=read("OPERATOR_NAMESPACE"),
            version=read("OPERATOR_VERSION", "unknown"),
            namespaces=_split(read("OPERATOR_WATCHES")),
            own=read("OPERATOR_OWN").lower() in _TRUE,
            ready=True,
        ),
        operator_service=read("OPERATOR_SERVICE"),
    )


def _read_naming(read: Callable[..., str]) -> Naming:
    groups = _split(read("GROUPS"))
    users = _split(read("USERS"))
    reserved = [each for each in (*users, *groups) if each.lower().startswith(RESERVED)]
    if reserved:
        raise Refusal(
            f"{PREFIX}USERS and {PREFIX}GROUPS may not have {reserved[0]}, a name of Kubernetes itself. Remove it."
        )
    return Naming(
        user_header=read("USER_HEADER", "X-Forwarded-User").lower(),
        groups_header=read("GROUPS_HEADER", "X-Forwarded-Groups").lower(),
        user_prefix=read("USER_PREFIX"),
        group_prefix=read("GROUP_PREFIX"),
        users=frozenset(users),
        groups=frozenset(groups),
    )


def _read_origin(url: str) -> str:
    """Return the origin of a URL as a browser sends it.

    >>> _read_origin("https://LLM.example.com:443/"), _read_origin("http://llm.example.com:8080")
    ('https://llm.example.com', 'http://llm.example.com:8080')
    """
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = parts.path in {"", "/"} and not parts.query and not parts.fragment
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in url or not plain:
        raise Refusal(
            f"{PREFIX}URL is {url!r}. Set an address without a path, such as https://llm.example.com."
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = port in {None, {"http": 80, "https": 443}[parts.scheme]}
    return f"{parts.scheme}://{host}" if usual else f"{parts.scheme}://{host}:{port}"


def _strip_port(netloc: str) -> str:
    """Return a host without its port.

    >>> _strip_port("[::1]:80"), _strip_port("a.example"), _strip_port("a.example:8")
    ('[::1]', 'a.example', 'a.example')
    """
    name, colon, port = netloc.rpartition(":")
    return name if colon and port.isdecimal() else netloc


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
