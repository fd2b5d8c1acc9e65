"""A notice as a request: CloudEvents 1.0 in JSON, or the text that Slack and its like take, signed as Standard Webhooks says.

Written here and not by the package `cloudevents`: a sender needs nine keys of JSON, and that package two dependencies.
"""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from llmdeployment_operator.api.types import API_VERSION, GROUP, PLURAL
from llmdeployment_operator.plan.notify.notices import Notice, NoticeKind
from llmdeployment_operator.plan.notify.receivers import Receiver

SOURCE = f"/apis/{API_VERSION}/{PLURAL}"
TYPES = {
    NoticeKind.REVISION_CREATED: "revision.created",
    NoticeKind.STEP_ENTERED: "revision.step.entered",
    NoticeKind.PROMOTED: "revision.promoted",
    NoticeKind.ROLLED_BACK: "revision.rolledback",
    NoticeKind.EXPERIMENT_ENDED: "experiment.ended",
    NoticeKind.DRIFTING: "drift.found",
    NoticeKind.BUDGET_EXCEEDED: "budget.exceeded",
    NoticeKind.DEGRADED: "condition.degraded",
}
"""The type of each kind, after `dev.llmdeployment.`."""
KEY_PREFIX = "whsec_"
KEY_BYTES = range(24, 65)
"""Bytes of a key, by Standard Webhooks."""
_REVERSED = ".".join(reversed(GROUP.split(".")))


@dataclass(frozen=True)
class Message:
    """The body of a request and its type."""

    body: bytes
    content_type: str


def write_message(receiver: Receiver, notice: Notice, console_url: str) -> Message:
    """Return what is sent to a receiver.

    Args:
        receiver: in whose form it is.
        notice: what it says.
        console_url: where the console is, for a link; empty: without one.
    """
    link = build_link(console_url, notice)
    if receiver.format == "Slack":
        return Message(_dump({"text": write_text(notice, link)}), "application/json")
    event = build_cloud_event(notice, link)
    return Message(_dump(event), "application/cloudevents+json; charset=utf-8")


def build_link(console_url: str, notice: Notice) -> str:
    """Return the address of the LLMDeployment's page in the console, or nothing."""
    if not console_url:
        return ""
    where = f"{quote(notice.subject.namespace)}/{quote(notice.subject.name)}"
    return f"{console_url.rstrip('/')}/#/llmdeployments/{where}"


def build_cloud_event(notice: Notice, link: str) -> dict[str, Any]:
    """Return the event in the structured mode of CloudEvents 1.0."""
    subject = notice.subject
    data = {
        "name": subject.name,
        "namespace": subject.namespace,
        "arm": notice.arm,
        "revision": notice.revision,
        "from": notice.before,
        "to": notice.after,
        "step": notice.step,
        "weightPercent": notice.weight_percent,
        "winner": notice.winner,
        "reason": notice.reason,
        "message": notice.message,
        "url": link or None,
    }
    # A status without the time has none to tell, and an empty one is not allowed.
    times = {"time": notice.at} if notice.at else {}
    return {
        "specversion": "1.0",
        "id": notice.id,
        "source": SOURCE,
        "type": f"{_REVERSED}.{TYPES[notice.kind]}",
        "subject": f"{subject.namespace}/{subject.name}",
        **times,
        "datacontenttype": "application/json",
        "data": {key: value for key, value in data.items() if value is not None},
    }


def write_text(notice: Notice, link: str) -> str:
    """Return one line for a chat, in which nothing is markup: Slack reads `&`, `<` and `>` as its own.

    A message may quote an engine or an API elsewhere, so it could hold `<!channel>`.
    """
    who = f"{notice.subject.namespace}/{notice.subject.name}"
    text = f"{who}: {notice.kind.value}. {notice.message} {link}".strip()
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def read_key(text: str) -> bytes:
    """Return the bytes of a key as Standard Webhooks writes it: base64 after `whsec_`.

    Raises:
        ValueError: it is not that; the text does not hold the key.
    """
    try:
        key = base64.b64decode(text.removeprefix(KEY_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) not in KEY_BYTES:
        shortest, longest = KEY_BYTES[0], KEY_BYTES[-1]
        raise ValueError(
            f"its key is not {KEY_PREFIX} and base64 of {shortest} to {longest} bytes"
        ) from None
    return key


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the header `webhook-signature`: HMAC-SHA256(key, id "." timestamp "." body).

    The example is the one by which the libraries of Standard Webhooks are tested:

    >>> key = read_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    >>> sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def build_headers(message: Message, notice: Notice, timestamp: int, key: bytes) -> dict[str, str]:
    """Return the headers of one try.

    Args:
        message: what is sent.
        notice: of which it is made; its id is that of every try.
        timestamp: of this try, in seconds since 1970.
        key: empty: it is not signed.
    """
    headers = {
        "Content-Type": message.content_type,
        "User-Agent": "llmdeployment-operator",
        "webhook-id": notice.id,
        "webhook-timestamp": str(timestamp),
    }
    if key:
        headers["webhook-signature"] = sign(key, notice.id, timestamp, message.body)
    return headers


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
