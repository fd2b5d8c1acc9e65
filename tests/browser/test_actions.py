"""The buttons: by keyboard alone, with command and patch before anything is sent."""

from playwright.sync_api import Page, expect
from tests.browser.conftest import Visit
from tests.support.console_story import PAST

DEPLOYMENT = "#/llmdeployments/shop/chat"
MOST_TABS = 30


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the button of that name has the focus."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == name:
            return
    raise AssertionError(f"{MOST_TABS} Tabs do not lead to {name}")


def test_the_keyboard_leads_to_the_promotion(visit: Visit) -> None:
    visit.server.story.tick = PAST + 20
    page = visit.open(DEPLOYMENT)
    expect(page.get_by_role("button", name="Promote r5")).to_be_visible()
    tab_to(page, "Promote r5")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Promote r5: shop/chat")
    expect(dialog).to_contain_text("kubectl llm promote chat -n shop")
    expect(dialog).to_contain_text('"llmdeployment.dev/promote": "5"')
    assert visit.server.story.applied == ()

    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Promote r5")).to_be_focused()
    assert visit.server.story.applied == ()

    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    tab_to(page, "Send")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Promote r5: sent.")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert visit.server.story.applied == ("promote",)


def test_a_button_pressed_while_the_last_dialog_closes_opens_the_next(visit: Visit) -> None:
    visit.server.story.tick = PAST + 20
    page = visit.open(DEPLOYMENT)
    page.get_by_role("button", name="Promote r5").click()
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    # The browser's event of the closed dialog comes after this script, so after the click.
    page.evaluate(
        """() => {
            const pause = [...document.querySelectorAll("button")]
                .find((each) => each.textContent === "Pause");
            document.querySelector("dialog").close();
            pause.click();
            return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        }"""
    )
    expect(page.get_by_role("dialog", name="Pause: shop/chat")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_enabled()


def test_a_button_that_is_not_possible_says_why_and_sends_nothing(visit: Visit) -> None:
    visit.server.story.tick = PAST + 20
    page = visit.open(DEPLOYMENT)
    resume = page.get_by_role("button", name="Resume")
    expect(resume).to_have_attribute("aria-disabled", "true")
    resume.click(force=True)
    expect(page.get_by_role("status")).to_have_text("Resume is not possible: Nothing is paused.")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_an_action_that_is_refused_says_why(visit: Visit) -> None:
    visit.server.story.tick = PAST + 20
    page = visit.open(DEPLOYMENT)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    visit.server.refusal = (403, "You may not patch LLMDeployments in shop.")
    page.get_by_role("button", name="Send").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("alert")).to_have_text("You may not patch LLMDeployments in shop.")
    expect(dialog.get_by_role("button", name="Send")).to_be_enabled()
    visit.server.refusal = None
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert visit.server.story.applied == ()
    visit.faults[:] = [
        each for each in visit.faults if not each.startswith("Failed to load resource")
    ]


def test_with_several_arms_the_dialog_asks_which(visit: Visit) -> None:
    visit.server.story.tick = PAST + 20
    visit.server.story.second = True
    page = visit.open(DEPLOYMENT)
    expect(page.locator(".bar-words")).to_have_text(
        ["r4 95 % · r5 (canary) 5 %", "r6 60 % · r7 (canary) 40 %"]
    )
    page.get_by_role("button", name="Pause").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("kubectl llm pause chat -n shop --arm main")
    dialog.get_by_label("Arm").select_option("terse")
    expect(dialog).to_contain_text("kubectl llm pause chat -n shop --arm terse")
    dialog.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status")).to_have_text("Pause: sent.")
    page.get_by_role("button", name="Undo").click()
    expect(dialog).to_contain_text("kubectl llm undo chat -n shop")
    expect(dialog.get_by_label("Arm")).to_have_count(0)
    assert visit.server.story.applied == ("pause terse",)
