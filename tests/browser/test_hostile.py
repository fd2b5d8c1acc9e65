"""Names, prompts and answers that attack the page are shown as text."""

from playwright.sync_api import Page, expect
from tests.browser.conftest import Visit
from tests.support.console_story import HOSTILE, PAST

DEPLOYMENT = "#/llmdeployments/shop/chat"


def check_harmless(page: Page) -> None:
    """Nothing of the attack became an element, an attribute that runs, or an address."""
    assert (
        page.locator(
            "img, iframe, object, embed, body script, [onerror], a[href^='javascript:' i]"
        ).count()
        == 0
    )


def test_a_hostile_fleet_is_text(visit: Visit) -> None:
    visit.server.story.hostile = True
    page = visit.open()
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    check_harmless(page)


def test_a_hostile_deployment_is_text(visit: Visit) -> None:
    visit.server.story.hostile = True
    visit.server.story.tick = PAST + 20
    page = visit.open(DEPLOYMENT)
    for title in (
        "Rollout",
        "Verdict",
        "Experiment",
        "Golden set",
        "Replicas and autoscaling",
        "Conditions",
        "Events",
    ):
        expect(page.get_by_role("region", name=title, exact=True)).to_contain_text(HOSTILE)
    expect(page.get_by_role("link", name="Runbook")).to_have_count(2)
    page.get_by_role("button", name="Promote r5").click()
    expect(page.get_by_role("dialog")).to_contain_text(HOSTILE)
    check_harmless(page)


def test_a_hostile_golden_set_is_text(visit: Visit) -> None:
    visit.server.story.hostile = True
    visit.server.story.tick = PAST + 20
    visit.server.gate.set()
    page = visit.open(DEPLOYMENT)
    page.locator(".questions button").first.click()
    page.get_by_role("button", name="Ask r4 and r5").click()
    for revision in (4, 5):
        answer = page.get_by_role("article", name=f"Answer of revision {revision}")
        expect(answer.locator("dl")).to_be_visible()
        expect(answer).to_contain_text(HOSTILE)
    for message in page.locator(".asked").all():
        expect(message).to_contain_text(HOSTILE)
    expect(page.locator(".question code").first).to_contain_text(HOSTILE)
    check_harmless(page)


def test_hostile_assumptions_are_text(visit: Visit) -> None:
    visit.server.story.hostile = True
    page = visit.open(f"{DEPLOYMENT}/what-if")
    expect(page.get_by_role("region", name="What was assumed")).to_contain_text(HOSTILE)
    check_harmless(page)


def test_hostile_prompts_and_answers_are_text(visit: Visit) -> None:
    visit.server.story.hostile = True
    visit.server.story.tick = PAST + 20
    visit.server.gate.set()
    page = visit.open(f"{DEPLOYMENT}/chat")
    page.get_by_role("textbox", name="Prompt").fill(HOSTILE)
    page.get_by_role("button", name="Ask both").click()
    for revision in (4, 5):
        answer = page.get_by_role("article", name=f"Answer of revision {revision}")
        expect(answer.locator("dl")).to_be_visible()
        expect(answer).to_contain_text(HOSTILE)
    assert visit.server.chats[0]["messages"][0]["content"] == HOSTILE
    check_harmless(page)


def test_a_hostile_address_is_text(visit: Visit) -> None:
    page = visit.open("#/llmdeployments/%3Cimg%20src=x%20onerror=alert(1)%3E/%22%3E%3Cscript%3E")
    expect(page.get_by_role("heading", level=1)).to_have_text(
        '<img src=x onerror=alert(1)>/"><script>'
    )
    check_harmless(page)
    visit.faults[:] = [
        each for each in visit.faults if not each.startswith("Failed to load resource")
    ]
