"""What whoever starts the console may set: where the runbooks are, and the Prometheus that has older points."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from llmdeployment_cli.errors import Refusal
from llmdeployment_console.runbooks import OWN_PAGES

RUNBOOK_URL = "LLMDEPLOYMENT_CONSOLE_RUNBOOK_URL"
PROMETHEUS_URL = "LLMDEPLOYMENT_CONSOLE_PROMETHEUS_URL"


@dataclass(frozen=True)
class Settings:
    """What is set.

    Attributes:
        runbook_url: where a runbook is; `NAME` stands for its name.
        prometheus_url: base URL of a Prometheus; None for none.
    """

    runbook_url: str = OWN_PAGES
    prometheus_url: str | None = None


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return what environment variables say; an empty one is as if it were not there.

    Raises:
        Refusal: an address cannot be used; the message names the variable.

    >>> read_settings({PROMETHEUS_URL: "http://prometheus.monitoring:9090/"}).prometheus_url
    'http://prometheus.monitoring:9090'
    """
    runbook, prometheus = environment.get(RUNBOOK_URL), environment.get(PROMETHEUS_URL)
    return Settings(
        runbook_url=_check_runbooks(runbook) if runbook else OWN_PAGES,
        prometheus_url=check_prometheus(prometheus, PROMETHEUS_URL) if prometheus else None,
    )


def check_prometheus(address: str, name: str) -> str:
    """Return the base URL of a Prometheus, without a slash at its end.

    Args:
        address: as it was given.
        name: of the option or variable that it was given by.

    Raises:
        Refusal: it is no URL that the console may ask.
    """
    if not _is_plain(address) or urlsplit(address).query:
        raise Refusal(
            f"{name} must be http(s)://host[:port][/path] without a password or query, "
            "such as http://127.0.0.1:9090. Correct it."
        )
    return address.rstrip("/")


def _check_runbooks(address: str) -> str:
    if not _is_plain(address) or "NAME" not in address:
        raise Refusal(
            f"{RUNBOOK_URL} must be http(s)://host/path with NAME where the name of a page stands, "
            "such as https://docs.example.com/runbooks/NAME/. Correct it."
        )
    return address


def _is_plain(address: str) -> bool:
    try:
        parts = urlsplit(address)
        named = bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        return False
    return (
        named
        and parts.scheme in {"http", "https"}
        and not parts.fragment
        and address.isprintable()
        and " " not in address
    )
