"""Receivers of notifications: what the operator is told of them, and that nothing secret is among it."""

import json
from pathlib import PurePosixPath

import pytest
from tests.chart.rendering import (
    CHART,
    HERE,
    NO_CRD,
    RENDER,
    Helm,
    Object,
    find_container,
    render_release,
)

from llmdeployment_operator.plan.notify.notices import NoticeKind
from llmdeployment_operator.plan.notify.receivers import RECEIVERS, Receiver
from llmdeployment_operator.settings import Notifications, runtime_settings

pytestmark = pytest.mark.chart

URL = {"urlSecret": {"name": "hook", "key": "url"}}
WIDE = {**URL, "name": "chat"}
REFUSED = {
    "no name": ([URL], "name"),
    "no URL": ([{"name": "chat"}], "urlSecret"),
    "a URL in the values": ([{**WIDE, "url": "https://hooks.example.com"}], "url"),
    "a Secret without a key": ([{"name": "chat", "urlSecret": {"name": "hook"}}], "key"),
    "a key with a path": ([{"name": "chat", "urlSecret": {"name": "hook", "key": "../url"}}], "key"),
    "a name with a dot": ([{**URL, "name": "a.b"}], "name"),
    "an unknown format": ([{**WIDE, "format": "Teams"}], "must be one of"),
    "an unknown event": ([{**WIDE, "events": ["Created"]}], "must be one of"),
    "no event": ([{**WIDE, "events": []}], "events"),
    "two of one name": ([WIDE, WIDE], "give each a name of its own"),
    "too many": ([{**URL, "name": f"chat-{n}"} for n in range(RECEIVERS + 1)], "receivers"),
}  # fmt: skip


def render(helm: Helm) -> tuple[Object, Object]:
    """The operator's container and its pod, with two receivers."""
    documents = render_release(helm, *NO_CRD, "-f", str(HERE / "values/everything.yaml"))
    deployment = next(d for d in documents if d["kind"] == "Deployment")
    return find_container(documents), deployment["spec"]["template"]["spec"]


def test_the_operator_reads_its_receivers(helm: Helm) -> None:
    container, _ = render(helm)
    env = {each["name"]: each["value"] for each in container["env"] if "value" in each}

    told = runtime_settings(env).notifications
    assert told.receivers == (
        Receiver(
            name="pager",
            events=(NoticeKind.ROLLED_BACK, NoticeKind.DEGRADED),
            namespaces=("shop",),
            signed=True,
        ),
        Receiver(name="chat", format="Slack"),
    )
    assert told.console_url == "https://llm.example.com"


def test_urls_and_keys_are_files_of_secrets_where_the_operator_reads_them(helm: Helm) -> None:
    container, pod = render(helm)

    volume = next(v for v in pod["volumes"] if v["name"] == "notifications")["projected"]
    mount = next(m for m in container["volumeMounts"] if m["name"] == "notifications")
    assert mount["readOnly"] is True
    folder = PurePosixPath(mount["mountPath"])
    assert folder == PurePosixPath(Notifications().folder)
    files = {
        str(folder / item["path"]): (source["secret"]["name"], item["key"])
        for source in volume["sources"]
        for item in source["secret"]["items"]
    }
    assert files == {
        f"{folder}/pager/url": ("pager", "url"),
        f"{folder}/pager/key": ("pager", "hmac"),
        f"{folder}/chat/url": ("slack", "hook"),
    }
    # A Secret that is missing must not keep the operator from starting.
    assert all(source["secret"]["optional"] for source in volume["sources"])
    assert volume["defaultMode"] == 0o440


def test_without_receivers_nothing_is_mounted(helm: Helm) -> None:
    documents = render_release(helm, *NO_CRD)

    container = find_container(documents)
    assert not [e for e in container["env"] if "RECEIVERS" in e["name"]]
    assert [m["name"] for m in container["volumeMounts"]] == ["tmp"]


def test_the_schema_has_the_events_of_the_operator() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    receiver = schema["definitions"]["receiver"]["properties"]
    assert receiver["events"]["items"]["enum"] == [kind.value for kind in NoticeKind]
    known = schema["properties"]["notifications"]["properties"]["receivers"]["maxItems"]
    assert known == RECEIVERS


@pytest.mark.parametrize(("receivers", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_receivers_are_refused(helm: Helm, receivers: list[Object], message: str) -> None:
    done = helm(*RENDER, "--set-json", f"notifications.receivers={json.dumps(receivers)}")

    assert done.returncode != 0
    assert message in done.stderr


@pytest.mark.parametrize("url", ["llm.example.com", "https://x.example/#/a", "https://a b"])
def test_a_console_without_an_address_is_refused(helm: Helm, url: str) -> None:
    done = helm(*RENDER, "--set", f"notifications.consoleURL={url}")

    assert done.returncode != 0
    assert "consoleURL" in done.stderr
