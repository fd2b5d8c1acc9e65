"""Every page at three widths: it shows what it should, fits, breaks no policy, and axe-core finds nothing."""

import json
import re
from pathlib import Path

import pytest
from dev.console_page import WEB
from playwright.sync_api import Browser, expect
from tests.browser.conftest import WIDTHS, Visit, is_drawn_anew, watch
from tests.support.console_server import ConsoleServer
from tests.support.console_story import END, PAST

MIDDLE = PAST + 45
DEPLOYMENT = "#/llmdeployments/shop/chat"
PAGES = {
    "": "Fleet",
    DEPLOYMENT: "shop/chat",
    f"{DEPLOYMENT}/chat": "Chat side by side: shop/chat",
    f"{DEPLOYMENT}/what-if": "What if: shop/chat",
    "#/runbooks/RolledBack": "Runbook for RolledBack",
    "#/nonsense": "No such page",
}
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("address", PAGES)
def test_a_page_fits_its_width_and_has_no_fault(visit: Visit, address: str, width: int) -> None:
    visit.server.story.tick = MIDDLE
    visit.page.set_viewport_size({"width": width, "height": 800})
    page = visit.open(address)
    expect(page.get_by_role("heading", level=1)).to_have_text(PAGES[address])
    wait_for_content(visit, address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def wait_for_content(visit: Visit, address: str) -> None:
    if address == "":
        expect(visit.page.get_by_role("row")).to_have_count(
            7 if visit.page.viewport_size["width"] > 1000 else 6
        )
    elif address == DEPLOYMENT:
        expect(visit.page.locator(".plot canvas")).to_have_count(5)
    elif address.endswith("/what-if"):
        expect(visit.page.locator(".plot canvas")).to_be_visible()
    elif address.startswith("#/runbooks/"):
        expect(visit.page.get_by_role("heading", name="What to do")).to_be_visible()
    elif address.endswith("/chat"):
        expect(visit.page.get_by_role("textbox", name="Prompt")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_axe_finds_nothing(
    browser: Browser, server: ConsoleServer, width: int, scheme: str
) -> None:
    # axe-core is put into the page as a script, which the policy forbids; so this test alone runs without it.
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True
    )
    server.story.tick = MIDDLE
    server.gate.set()
    visit = watch(context.new_page(), server)
    for address in PAGES:
        page = visit.open(address)
        page.reload()
        wait_for_content(visit, address)
        assert run_axe(visit) == [], address
        if address == DEPLOYMENT:
            page.get_by_role("button", name="capital-of-peru").click()
            page.get_by_role("button", name="Ask r4 and r5").click()
            expect(page.get_by_role("list", name="Checks")).to_have_count(2)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert run_axe(visit) == [], "golden set"
            page.get_by_role("button", name="Promote r5").click()
            expect(page.get_by_role("button", name="Send")).to_be_enabled()
            assert run_axe(visit) == [], "dialog"
    page = visit.open(f"{DEPLOYMENT}/chat")
    page.get_by_role("checkbox", name="Blind").check()
    page.get_by_role("textbox", name="Prompt").fill("?")
    page.get_by_role("button", name="Ask both").click()
    expect(page.get_by_role("group", name="Your vote")).to_be_visible()
    assert run_axe(visit) == [], "vote"
    page.get_by_role("button", name="Both the same").click()
    expect(page.get_by_role("region", name="Votes")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert run_axe(visit) == [], "votes"
    page = visit.open(f"{DEPLOYMENT}/what-if")
    page.get_by_text("Profile of the engine").click()
    page.get_by_role("button", name="Simulate").click()
    expect(page.get_by_role("columnheader", name="What if")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert run_axe(visit) == [], "simulation"
    server.size = 0
    visit.open().reload()
    expect(visit.page.get_by_text("kubectl apply -n default")).to_be_visible()
    assert run_axe(visit) == [], "empty fleet"
    assert visit.faults == []
    context.close()


def run_axe(visit: Visit) -> list[str]:
    visit.page.add_script_tag(path=AXE)
    result = visit.page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['html']}: {node['failureSummary']}"
        for each in result["violations"]
        for node in each["nodes"]
    ]


def test_axe_finds_a_fault_where_there_is_one(browser: Browser, server: ConsoleServer) -> None:
    context = browser.new_context(bypass_csp=True)
    visit = watch(context.new_page(), server)
    visit.open("#/nonsense")
    visit.page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"icon.svg\">')"
    )
    assert any(each.startswith("image-alt") for each in run_axe(visit))
    context.close()


def test_plots_follow_the_width_and_the_colours(visit: Visit) -> None:
    visit.server.story.tick = MIDDLE
    page = visit.open(DEPLOYMENT)
    canvas = page.locator(".plot canvas").first
    expect(canvas).to_be_visible()
    light = canvas.evaluate("each => each.toDataURL()")
    page.emulate_media(color_scheme="dark")
    assert is_drawn_anew(page, ".plot canvas", light)
    expect(page.locator(".plot canvas")).to_have_count(5)
    page.set_viewport_size({"width": 360, "height": 800})
    expect(canvas).to_have_css("width", re.compile(r"^(2\d\d|3[0-3]\d)(\.\d+)?px$"))


def test_a_sentence_that_changes_often_is_announced_seldom(visit: Visit) -> None:
    visit.server.story.tick = MIDDLE
    visit.page.clock.install()
    page = visit.open(DEPLOYMENT)
    sentence = page.locator(".sentence")
    expect(sentence).to_contain_text("Canary r5 has 20 %")
    expect(sentence).to_have_attribute("aria-live", "polite")
    page.clock.run_for(2000)
    expect(sentence).to_have_attribute("aria-live", "off")
    page.clock.run_for(21_000)
    expect(sentence).to_have_attribute("aria-live", "polite")


def test_an_empty_fleet_says_what_to_do(visit: Visit) -> None:
    visit.server.size = 0
    page = visit.open()
    expect(page.get_by_text("No model is served yet.")).to_be_visible()
    expect(page.locator("pre")).to_contain_text("kubectl apply -n default -f -")


def test_the_fleet_is_summed_up_in_a_sentence_that_is_announced(visit: Visit) -> None:
    visit.server.story.tick = MIDDLE
    page = visit.open()
    sentence = page.locator(".sentence")
    expect(sentence).to_have_text("6 models. 1 ready, 2 in progress, 1 paused, 2 in need of help.")
    expect(sentence).to_have_attribute("aria-live", "polite")
    row = page.get_by_role("row").filter(has_text="shop/chat")
    expect(row).to_contain_text("Canary r5 has 20 %")
    expect(row).to_contain_text("r4 80 % · r5 (canary) 20 %")
    expect(row).to_contain_text("€8.40/h")
    assert row.locator("path").get_attribute("d").count("L") == 59


def test_a_row_leads_to_its_page_and_the_focus_to_the_heading(visit: Visit) -> None:
    visit.server.story.tick = MIDDLE
    page = visit.open()
    page.get_by_role("link", name="shop/chat").click()
    heading = page.get_by_role("heading", level=1, name="shop/chat")
    expect(heading).to_be_focused()
    expect(page).to_have_title("shop/chat · LLMDeployment console")
    page.go_back()
    expect(page.get_by_role("heading", level=1, name="Fleet")).to_be_focused()


def test_a_page_says_what_is_there(visit: Visit) -> None:
    visit.server.story.tick = MIDDLE
    page = visit.open(DEPLOYMENT)
    for title in (
        "Rollout",
        "Verdict",
        "Experiment",
        "Latency by revision",
        "Golden set",
        "Cost",
        "Conditions",
        "Events",
    ):
        expect(page.get_by_role("region", name=title, exact=True)).to_be_visible()
    golden = page.get_by_role("region", name="Golden set")
    expect(golden).to_contain_text("Against r4: 1 lost, 2 won.")
    expect(golden.locator(".lost li")).to_have_text(["capital-of-peru"])
    expect(golden.locator(".won li")).to_have_text(["question 3"])
    expect(golden.locator(".failed li")).to_have_text(["sum-of-three"])
    expect(page.get_by_role("link", name="Runbook for CanaryRunning")).to_have_attribute(
        "href", "https://docs.example/runbooks/CanaryRunning"
    )
    expect(page.get_by_role("region", name="Cost", exact=True)).to_contain_text(
        "€8.40 per hour, of it €1.20 idle"
    )
    expect(
        page.get_by_role("list", name="Decisions, newest first").locator("li").first
    ).to_contain_text("3 → 4 replicas (TargetMissed): 35.2 % of ttft lie above 0.5 s; 10 % may.")


def test_a_condition_leads_to_its_runbook_and_that_to_others(visit: Visit) -> None:
    page = visit.open(DEPLOYMENT)
    page.get_by_role("link", name="Runbook for TooManyReplicas").click()
    expect(page.get_by_role("heading", level=1, name="Runbook for TooManyReplicas")).to_be_focused()
    headings = ["What users feel", "What to look at", "What to do"]
    expect(page.get_by_role("heading", level=2)).to_have_text(headings)
    expect(page.locator(".runbook code").first).to_have_text("LLMDeploymentTooManyReplicas")
    page.goto(f"{visit.server.url}#/runbooks/GatewayErrors")
    page.get_by_role("link", name="GatewayRefuses").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Runbook for GatewayRefuses")


def test_a_runbook_that_is_missing_is_said_to_be(visit: Visit) -> None:
    page = visit.open("#/runbooks/Nothing")
    expect(page.get_by_role("alert")).to_have_text("There is no runbook for Nothing.")
    forget_refusals(visit)


def test_hovering_a_decision_shows_its_reason(visit: Visit) -> None:
    visit.server.story.tick = MIDDLE
    page = visit.open(DEPLOYMENT)
    plot = page.get_by_role("region", name="Replicas and autoscaling").locator(".u-over")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    plot.hover(position={"x": box["width"] * 60 / MIDDLE, "y": 40})
    expect(page.locator(".hovered")).to_have_text(
        "3 → 4 replicas (TargetMissed): 35.2 % of ttft lie above 0.5 s; 10 % may."
    )
    plot.hover(position={"x": 3, "y": 40})
    expect(page.locator(".hovered")).to_have_text("")


def test_a_page_without_a_canary_has_no_verdict(visit: Visit) -> None:
    visit.server.story.tick = END
    page = visit.open(DEPLOYMENT)
    expect(page.get_by_text("Serves with revision r5, which was promoted.")).to_be_visible()
    expect(page.get_by_role("region", name="Verdict")).to_have_count(0)


def test_a_session_that_has_ended_says_what_to_do(visit: Visit) -> None:
    said = "The console does not know this browser. Run `kubectl llm console` again."
    visit.server.refusal = (401, said)
    page = visit.open()
    expect(page.get_by_text(said)).to_be_visible()
    page.goto(f"{visit.server.url}{DEPLOYMENT}")
    expect(page.get_by_role("alert")).to_have_text(said)
    forget_refusals(visit)


def test_a_missing_deployment_shows_an_alert(visit: Visit) -> None:
    page = visit.open("#/llmdeployments/shop/gone")
    expect(page.get_by_role("alert")).to_have_text("There is no such LLMDeployment.")
    forget_refusals(visit)


def forget_refusals(visit: Visit) -> None:
    """Chromium itself logs answers that are errors."""
    visit.faults[:] = [
        each for each in visit.faults if not each.startswith("Failed to load resource")
    ]


def test_the_server_sends_the_policy_that_the_contract_names(visit: Visit) -> None:
    visit.open()
    visit.page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<p style=\"color:red\">x</p>')"
    )
    assert any("Content Security Policy" in each for each in visit.faults)
    visit.faults.clear()


def test_the_sizes_are_in_the_budget(built_page: Path) -> None:
    html = (built_page / "index.html").read_text(encoding="utf-8")
    assert "<style" not in html
    assert html.count("<script") == html.count('<script type="module" crossorigin src="./assets/')
    packages = json.loads((WEB / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert sorted(packages) == ["preact", "uplot"]
