"""Who is told: the receivers of the chart's `notifications`, what each wants to hear, and which URL may be called."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from llmdeployment_operator.plan.notify.notices import Notice, NoticeKind

RECEIVERS = 16
URL_CHARACTERS = 2048


class Receiver(BaseModel):
    """One receiver.

    Its URL and its key are no part of it: both are secret, and are read when a message is sent, so that a new one takes effect at once.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    name: str = Field(pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
    """What metrics and the log call it."""
    format: Literal["CloudEvents", "Slack"] = "CloudEvents"
    """How messages are written."""
    events: tuple[NoticeKind, ...] = tuple(NoticeKind)
    """What it is told."""
    namespaces: tuple[str, ...] = ()
    """Of which namespaces; empty: of all."""
    allow_http: bool = False
    """Whether its URL may begin with http."""
    signed: bool = False
    """Whether messages are signed; without a key none is sent then."""

    def wants(self, notice: Notice) -> bool:
        """Say whether it is to be told of this."""
        here = not self.namespaces or notice.subject.namespace in self.namespaces
        return here and notice.kind in self.events


_LIST: TypeAdapter[tuple[Receiver, ...]] = TypeAdapter(
    Annotated[tuple[Receiver, ...], Field(max_length=RECEIVERS)]
)


def read_receivers(text: str) -> tuple[Receiver, ...]:
    """Return the receivers of a JSON list.

    Raises:
        ValueError: it is not a list of them, or two have one name.
    """
    found = _LIST.validate_json(text)
    if len({each.name for each in found}) < len(found):
        raise ValueError("two receivers have the same name")
    return found


def explain_url(url: str, receiver: Receiver) -> str:
    """Return why a URL is not called, without the URL, which is a secret; nothing if it is.

    >>> chat = Receiver(name="chat")
    >>> explain_url("https://hooks.example.com/T0", chat), explain_url("http://hooks.example.com/T0", chat)
    ('', 'its URL begins with http, and allowHttp is not true')
    """
    if len(url) > URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
        return f"its URL is not text of at most {URL_CHARACTERS} printable ASCII characters"
    try:
        parts = urlsplit(url)
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or parts.scheme not in {"https", "http"}:
        return "its URL is not https://HOST/PATH"
    if parts.scheme == "http" and not receiver.allow_http:
        return "its URL begins with http, and allowHttp is not true"
    return ""
