"""A notice in each receiver's form, and a signature that somebody else can check."""

import base64
import hashlib
import hmac
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmdeployment_operator.plan.notify.bodies import (
    TYPES,
    build_cloud_event,
    build_headers,
    read_key,
    sign,
    write_message,
)
from llmdeployment_operator.plan.notify.notices import Notice, NoticeKind, Subject
from llmdeployment_operator.plan.notify.receivers import Receiver, explain_url, read_receivers

PAGE = Path(__file__).resolve().parents[4] / "docs/how-to/notifications.md"
NOTICE = Notice(
    id="85c001fb-4184-5e82-a249-4af543b66621",
    kind=NoticeKind.ROLLED_BACK,
    subject=Subject("shop", "chat", "1a2b"),
    at="2026-01-02T03:04:05Z",
    message="Revision 2 was rolled back: <!channel> & <b>.",
    reason="RolledBack",
    revision=2,
    before=2,
    after=1,
)
CHAT = Receiver(name="chat")
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_chat_gets_one_text_in_which_nothing_is_markup() -> None:
    message = write_message(
        CHAT.model_copy(update={"format": "Slack"}), NOTICE, "https://llm.example.com"
    )
    assert message.content_type == "application/json"
    assert json.loads(message.body) == {
        "text": "shop/chat: RolledBack. Revision 2 was rolled back: &lt;!channel&gt; &amp; &lt;b&gt;. "
        "https://llm.example.com/#/llmdeployments/shop/chat"
    }


def test_without_a_console_there_is_no_link() -> None:
    slack = write_message(CHAT.model_copy(update={"format": "Slack"}), NOTICE, "")
    assert json.loads(slack.body)["text"].endswith("&lt;b&gt;.")
    assert "url" not in json.loads(write_message(CHAT, NOTICE, "").body)["data"]


def test_a_cloud_event_has_what_the_standard_asks_for() -> None:
    message = write_message(CHAT, NOTICE, "")
    assert message.content_type == "application/cloudevents+json; charset=utf-8"
    event = json.loads(message.body)
    assert event["specversion"] == "1.0"
    assert event["type"] == "dev.llmdeployment.revision.rolledback"
    # Attributes have lower-case letters and digits only, and none is empty.
    assert all(name.isalnum() and name.islower() for name in event)
    assert all(event.values())


def test_an_event_without_a_known_time_has_none() -> None:
    assert "time" not in build_cloud_event(replace(NOTICE, at=""), "")


def test_every_kind_has_a_type_of_its_own() -> None:
    assert set(TYPES) == set(NoticeKind)
    assert len(set(TYPES.values())) == len(TYPES)


def test_a_signature_is_of_the_id_the_time_and_the_body() -> None:
    message = write_message(CHAT, NOTICE, "")
    headers = build_headers(message, NOTICE, 1614265330, read_key(KEY))
    signed = b".".join(
        [headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), message.body]
    )
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    for other in (("x", 1, b"{}"), ("i", 2, b"{}"), ("i", 1, b"[]")):
        assert sign(key, *other) != sign(key, "i", 1, b"{}")


def test_the_program_of_the_page_checks_a_signature() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    page: dict[str, Any] = {}
    exec(text, page)  # noqa: S102  # because it is the page's program
    message, now = write_message(CHAT, NOTICE, ""), int(time.time())
    headers = build_headers(message, NOTICE, now, read_key(KEY))
    assert page["is_genuine"](KEY, headers, message.body)
    assert not page["is_genuine"](KEY, headers, message.body + b" ")
    old = build_headers(message, NOTICE, now - 1000, read_key(KEY))
    assert not page["is_genuine"](KEY, old, message.body)


def test_without_a_key_nothing_is_signed() -> None:
    headers = build_headers(write_message(CHAT, NOTICE, ""), NOTICE, 1, b"")
    assert "webhook-signature" not in headers
    assert headers["webhook-id"] == NOTICE.id


@pytest.mark.parametrize(
    ("text", "length"),
    [(f"whsec_{base64.b64encode(bytes(n)).decode()}", n) for n in (24, 64)]
    + [(base64.b64encode(bytes(32)).decode(), 32)],
)
def test_keys_of_24_to_64_bytes_are_read(text: str, length: int) -> None:
    assert len(read_key(text)) == length


@pytest.mark.parametrize(
    "text",
    [f"whsec_{base64.b64encode(bytes(n)).decode()}" for n in (0, 23, 65)]
    + ["hunter2-hunter2-hunter2-hunter2", "", "whsec_Zażółć"],
)
def test_bad_keys_are_refused_without_being_told(text: str) -> None:
    with pytest.raises(ValueError, match="its key is not whsec_ and base64 of 24 to 64 bytes") as e:
        read_key(text)
    secret = text.removeprefix("whsec_")
    assert not secret or secret not in str(e.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://hooks.example.com/T0/B0?x=1", ""),
        ("https://hooks.example.com:8443/", ""),
        ("http://hooks.example.com/T0", "allowHttp is not true"),
        ("ftp://hooks.example.com/T0", "not https://HOST/PATH"),
        ("hooks.example.com/T0", "not https://HOST/PATH"),
        ("https:///T0", "not https://HOST/PATH"),
        ("https://[::1/T0", "not https://HOST/PATH"),
        ("https://hooks.example.com:0/", "not https://HOST/PATH"),
        ("https://hooks.example.com:99999/", "not https://HOST/PATH"),
        ("https://hooks.example.com/T0\nHost: x", "printable ASCII"),
        ("https://hooks.example.com/T 0", "printable ASCII"),
        ("https://hooks.example.com/" + "x" * 2048, "at most 2048"),
    ],
)
def test_bad_urls_are_refused_without_being_told(url: str, why: str) -> None:
    found = explain_url(url, CHAT)
    assert why in found if why else not found
    assert "hooks.example.com" not in found


def test_http_is_for_those_who_ask_for_it() -> None:
    assert not explain_url("http://10.0.0.1/", Receiver(name="chat", allow_http=True))


def test_a_receiver_hears_what_it_asks_for() -> None:
    assert CHAT.wants(NOTICE)
    assert not Receiver(name="chat", events=(NoticeKind.PROMOTED,)).wants(NOTICE)
    assert Receiver(name="chat", namespaces=("shop",)).wants(NOTICE)
    assert not Receiver(name="chat", namespaces=("other",)).wants(NOTICE)


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "{}",
        '[{"name": "A"}]',
        '[{"name": "a", "url": "https://hooks.example.com"}]',
        '[{"name": "a", "events": ["Created"]}]',
        '[{"name": "a"}, {"name": "a"}]',
        json.dumps([{"name": f"a{n}"} for n in range(17)]),
    ],
)
def test_bad_receivers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_receivers(text)
