"""The page shows the documents that the console's server really writes: the golden files of its own tests."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import Visit
from tests.support import console_server
from tests.support.console_story import tell_time

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "console"


def load(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def _golden_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_server, "tell_fleet", lambda *_: load("fleet"))
    monkeypatch.setattr(console_server, "tell_deployment", lambda *_: load("deployment"))
    monkeypatch.setattr(
        console_server, "tell_point", lambda tick: {**load("point"), "at": tell_time(tick)}
    )


def test_the_fleet_of_the_server_is_shown(visit: Visit) -> None:
    page = visit.open()
    expect(page.get_by_role("row")).to_have_count(1 + len(load("fleet")["items"]))
    for item in load("fleet")["items"]:
        row = page.get_by_role("row").filter(has_text=f"{item['namespace']}/{item['name']}")
        expect(row).to_contain_text(item["sentence"])
        expect(row).to_contain_text(item["state"])


def test_a_deployment_of_the_server_is_shown(visit: Visit) -> None:
    document = load("deployment")
    page = visit.open("#/llmdeployments/shop/chat")
    expect(page.locator(".sentence")).to_have_text(document["sentence"])
    for metric in document["analysis"][0]["metrics"]:
        expect(page.locator("figcaption").filter(has_text=metric["name"])).to_have_count(1)
    for condition in document["conditions"]:
        expect(page.get_by_role("list", name="Conditions")).to_contain_text(condition["message"])
    for action in document["actions"]:
        expect(page.get_by_role("button", name=action["label"], exact=True)).to_be_visible()
    expect(page.locator(".steps [aria-current=step] b")).to_have_text("25 %")
    # Without a Prometheus there is nothing to choose.
    expect(page.get_by_label("Latency and requests of")).to_have_count(0)


def test_the_revisions_that_can_chat_are_offered(visit: Visit) -> None:
    page = visit.open("#/llmdeployments/shop/chat/chat")
    able = [str(each["number"]) for each in load("deployment")["revisions"] if each["chat"]]
    offered = page.get_by_label("Left").locator("option")
    expect(offered).to_have_count(len(able))
    assert [each.get_attribute("value") for each in offered.all()] == able
