"""A canary watched from 0 to 100 percent, and a chat streamed side by side."""

import json
import re

from playwright.sync_api import expect
from tests.browser.conftest import Visit, is_drawn_anew
from tests.support.console_server import ANSWERS
from tests.support.console_story import END, PAST, STEP_TICKS, STEPS

DEPLOYMENT = "#/llmdeployments/shop/chat"

RECORD = """() => {
  window.seen = {sentences: [], steps: [], verdicts: []};
  const note = (list, text) => { if (text && list.at(-1) !== text) list.push(text); };
  const look = () => {
    note(seen.sentences, document.querySelector(".sentence")?.textContent);
    note(seen.steps, document.querySelector(".steps [aria-current=step] b")?.textContent);
    note(seen.verdicts, document.querySelector(".metric .plot")?.getAttribute("aria-label"));
  };
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true, attributes: true});
}"""


def test_a_canary_is_watched_from_0_to_100_percent(visit: Visit) -> None:
    visit.server.story.tick = PAST - 5
    page = visit.open(DEPLOYMENT)
    expect(page.locator(".sentence")).to_have_text("Serves with revision r4.")
    expect(page.get_by_role("region", name="Verdict")).to_have_count(0)
    page.evaluate(RECORD)
    visit.server.last = PAST
    visit.server.playing.set()
    for index, weight in enumerate(STEPS):
        # The story waits in each step until the page shows it, however slow the machine is.
        visit.server.last = PAST + index * STEP_TICKS + STEP_TICKS - 5
        expect(page.locator(".sentence")).to_contain_text(f"Canary r5 has {weight} %")
        expect(page.locator(".steps [aria-current=step] b")).to_have_text(f"{weight} %")
    visit.server.last = END + 1
    expect(page.locator(".sentence")).to_have_text(
        "Serves with revision r5, which was promoted.", timeout=60_000
    )
    expect(page.locator(".bar-words")).to_have_text("r5 100 %")
    seen = page.evaluate("seen")
    shares = [
        int(each.split(" has ")[1].split(" %")[0]) for each in seen["sentences"] if "Canary" in each
    ]
    assert sorted(set(shares)) == list(STEPS)
    assert shares == sorted(shares)
    assert seen["steps"] == [f"{each} %" for each in STEPS]
    assert "not decided" in seen["verdicts"][0]
    assert "within the tolerance" in seen["verdicts"][-1]


def test_the_verdict_is_drawn_anew_with_each_point(visit: Visit) -> None:
    visit.server.story.tick = PAST + 20
    page = visit.open(DEPLOYMENT)
    canvas = page.locator(".metric canvas").first
    expect(canvas).to_be_visible()
    before = canvas.evaluate("each => each.toDataURL()")
    label = page.locator(".metric .plot").first.get_attribute("aria-label")
    visit.server.last = PAST + 40
    visit.server.playing.set()
    expect(page.locator(".metric .plot").first).not_to_have_attribute("aria-label", label)
    assert is_drawn_anew(page, ".metric canvas", before)


def test_a_stream_that_breaks_is_followed_again(visit: Visit) -> None:
    visit.server.story.tick = PAST + 20
    page = visit.open(DEPLOYMENT)
    expect(page.locator(".plot canvas")).to_have_count(5)
    # Time stands still, so nothing but a new stream tells of the promotion.
    visit.server.story.tick = END
    visit.server.break_streams()
    expect(page.locator(".sentence")).to_have_text("Serves with revision r5, which was promoted.")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_older_curves_come_from_prometheus(visit: Visit) -> None:
    visit.server.story.tick = PAST + 20
    page = visit.open(DEPLOYMENT)
    requests = page.get_by_role("region", name="Requests by revision")
    expect(requests).to_contain_text("Requests now: r4 ")
    latency = page.get_by_role("region", name="Latency by revision").locator(".plot")
    expect(latency).to_have_attribute(
        "aria-label", re.compile("^Time to first token of the last hour")
    )
    span = page.get_by_label("Latency and requests of")
    span.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(span).to_have_value("24")
    expect(latency).to_have_attribute(
        "aria-label", re.compile("^Time to first token of the last day")
    )
    expect(requests).to_contain_text("r5 1.5/s")
    # What the live stream brings changes nothing of it, and the way back is the live curve.
    span.select_option("1")
    expect(latency).to_have_attribute("aria-label", re.compile("of the last hour"))
    expect(requests).not_to_contain_text("r5 1.5/s")


def test_without_an_answer_of_prometheus_the_page_says_so(visit: Visit) -> None:
    visit.server.story.tick = PAST + 20
    page = visit.open(DEPLOYMENT)
    span = page.get_by_label("Latency and requests of")
    expect(span).to_be_visible()
    visit.server.refusal = (502, "Prometheus does not answer.")
    span.select_option("168")
    expect(page.get_by_role("alert")).to_have_text("Prometheus does not answer.")
    expect(page.get_by_text("No request has been measured in the last 7 days.")).to_be_visible()
    visit.server.refusal = None
    span.select_option("1")
    expect(page.get_by_role("alert")).to_have_count(0)
    visit.faults[:] = [
        each for each in visit.faults if not each.startswith("Failed to load resource")
    ]


def test_two_answers_are_streamed_side_by_side(visit: Visit) -> None:
    visit.server.story.tick = PAST + 20
    page = visit.open(f"{DEPLOYMENT}/chat")
    expect(page.get_by_label("Left")).to_have_value("4")
    expect(page.get_by_label("Right")).to_have_value("5")
    page.get_by_role("textbox", name="Prompt").fill("What is a canary?")
    page.keyboard.press("Control+Enter")
    left = page.get_by_role("article", name="Answer of revision 4")
    right = page.get_by_role("article", name="Answer of revision 5")
    # The second half of each answer waits: both are shown before one has ended.
    expect(left.locator(".words")).to_have_text("A canary is a small part of")
    expect(right.locator(".words")).to_have_text("A canary is a small share of")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    visit.server.gate.set()
    for side in (left, right):
        expect(side.locator("dl")).to_have_text(
            "TTFT210 mstokens/s24.8tokens57in all2.3 sended bystopcosts at most€0.001597"
        )
    expect(left.locator("del").first).to_have_text("part")
    expect(right.locator("ins").first).to_have_text("share")
    expect(left.locator("ins")).to_have_count(0)
    messages = [{"role": "user", "content": "What is a canary?"}]
    asked = sorted(visit.server.chats, key=lambda each: each["revision"])
    assert asked == [{"revision": each, "messages": messages, "maxTokens": 200} for each in (4, 5)]


def test_an_answer_without_a_price_has_no_figure_of_its_cost(visit: Visit) -> None:
    visit.server.cost = None
    visit.server.gate.set()
    page = visit.open(f"{DEPLOYMENT}/chat")
    page.get_by_role("textbox", name="Prompt").fill("What is a canary?")
    page.get_by_role("button", name="Ask both").click()
    expect(page.locator(".answer dl")).to_have_count(2)
    expect(page.get_by_text("costs")).to_have_count(0)


def test_a_question_that_was_lost_is_asked_again_side_by_side(visit: Visit) -> None:
    visit.server.story.tick = PAST + 20
    visit.server.gate.set()
    page = visit.open(DEPLOYMENT)
    page.get_by_role("button", name="capital-of-peru").click()
    question = page.get_by_role("group", name="Question capital-of-peru")
    expect(question).to_contain_text("On record: stable ✓ passes, canary ✕ fails.")
    expect(question.locator(".asked")).to_have_text(
        ["system: Be brief.", "user: What is the capital of Peru?"]
    )
    expect(question).to_contain_text('Expected: contains ["Lima"]; judge is polite')
    assert visit.server.chats == []
    question.get_by_role("button", name="Ask r4 and r5").click()
    left = question.get_by_role("article", name="Answer of revision 4")
    right = question.get_by_role("article", name="Answer of revision 5")
    expect(left.get_by_role("list", name="Checks")).to_have_text(
        "contains: ✓ passesjudge: not checked here"
    )
    expect(right.get_by_role("list", name="Checks")).to_contain_text("contains: ✕ fails")
    expect(left.locator("del")).to_have_text("Lima.")
    expect(right.locator("ins")).to_have_text("Cusco.")
    asked = sorted(visit.server.chats, key=lambda each: each["revision"])
    assert asked == [{"revision": 4, "number": 7}, {"revision": 5, "number": 7}]
    page.get_by_role("button", name="capital-of-peru").click()
    expect(question).to_have_count(0)


def test_a_vote_is_blind_and_stays_in_the_tab(visit: Visit) -> None:
    visit.server.story.tick = PAST + 20
    page = visit.open(f"{DEPLOYMENT}/chat")
    page.get_by_role("checkbox", name="Blind").check()
    page.get_by_role("textbox", name="Prompt").fill("What is a canary?")
    page.keyboard.press("Control+Enter")
    left = page.get_by_role("article", name="Answer on the left")
    expect(left.locator(".words")).to_contain_text("A canary is a small")
    expect(page.get_by_role("group", name="Your vote")).to_have_count(0)
    visit.server.gate.set()
    vote = page.get_by_role("button", name="Right is better")
    expect(vote).to_be_visible()
    # Nothing tells which is which: no number, and no figure of its speed.
    expect(page.locator(".answer h2")).to_have_text(["Left", "Right"])
    expect(page.locator(".answer dl")).to_have_count(0)
    expect(page.get_by_role("region", name="Votes")).to_have_count(0)
    vote.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".answer dl")).to_have_count(2)
    shown = page.locator(".answer h2").all_text_contents()
    assert sorted(shown) == ["r4", "r5"]
    better = "1 of 1 vote: 100 %" if shown[1] == "r5" else "0 of 1 vote: 0 %"
    expect(page.get_by_role("region", name="Votes")).to_contain_text(
        f"r5 is better than r4 in {better}, 95 % interval"
    )
    expect(page.get_by_role("group", name="Your vote")).to_have_count(0)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save 1 vote as JSON lines").click()
    (line,) = saved.value.path().read_text(encoding="utf-8").splitlines()
    found = json.loads(line)
    assert (found["choice"], found["prompt"]) == ("right", "What is a canary?")
    assert f"r{found['right']['revision']}" == shown[1]
    assert ANSWERS[found["left"]["revision"]] == found["left"]["text"]
    # Nothing of the vote was sent: two questions are all that the server heard.
    assert len(visit.server.chats) == 2
    # It is still there after a look at another page.
    page.get_by_role("link", name="Fleet").click()
    expect(page.get_by_role("row")).to_have_count(7)
    page.go_back()
    expect(page.get_by_role("region", name="Votes")).to_contain_text("r5 is better than r4")


def test_answers_that_failed_or_are_seen_get_no_vote(visit: Visit) -> None:
    visit.server.gate.set()
    page = visit.open(f"{DEPLOYMENT}/chat")
    page.get_by_role("textbox", name="Prompt").fill("What is a canary?")
    page.get_by_role("button", name="Ask both").click()
    expect(page.locator(".answer dl")).to_have_count(2)
    expect(page.get_by_role("group", name="Your vote")).to_have_count(0)
    page.get_by_role("checkbox", name="Blind").check()
    visit.server.gate.clear()
    page.get_by_role("button", name="Ask both").click()
    expect(page.locator(".answer h2")).to_have_text(["Left", "Right"])
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("alert")).to_have_text(["Stopped.", "Stopped."])
    expect(page.get_by_role("group", name="Your vote")).to_have_count(0)


def test_a_chat_can_be_stopped(visit: Visit) -> None:
    visit.server.story.tick = PAST + 20
    page = visit.open(f"{DEPLOYMENT}/chat")
    page.get_by_role("textbox", name="Prompt").fill("What is a canary?")
    page.get_by_role("button", name="Ask both").click()
    expect(page.locator(".words").first).to_contain_text("A canary")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("alert")).to_have_text(["Stopped.", "Stopped."])
    expect(page.get_by_role("button", name="Ask both")).to_be_enabled()
