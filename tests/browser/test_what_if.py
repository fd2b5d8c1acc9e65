"""Sliders, by keyboard, and what the simulation says."""

from playwright.sync_api import Page, expect
from tests.browser.conftest import Visit, is_drawn_anew

WHAT_IF = "#/llmdeployments/shop/chat/what-if"


def read_row(page: Page, title: str) -> list[str]:
    """Return the cells of a row of the table."""
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=title, exact=True))
    return row.get_by_role("cell").all_text_contents()


def test_another_target_is_simulated_beside_the_present_one(visit: Visit) -> None:
    page = visit.open("#/llmdeployments/shop/chat")
    page.get_by_role("link", name="What if").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What if: shop/chat")
    expect(page.locator(".plot canvas")).to_be_visible()
    expect(page.get_by_role("columnheader", name="What if")).to_have_count(0)
    assert read_row(page, "Replicas on average") == ["2.46"]
    before = page.locator(".plot canvas").evaluate("each => each.toDataURL()")
    target = page.get_by_role("slider", name="Target on ttft p90")
    expect(target).to_have_attribute("aria-valuetext", "500 ms")
    target.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(target).to_have_attribute("aria-valuetext", "200 ms")
    page.get_by_role("slider", name="Replicas at most").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Simulate").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="What if")).to_be_visible()
    assert visit.server.choices == [None, {"milliseconds": 200, "minimum": 1, "maximum": 6}]
    assert read_row(page, "Replicas allowed") == ["1 to 4", "1 to 6"]
    assert read_row(page, "Within the target on ttft") == [
        "94.1 % within 500 ms (90 % wanted)",
        "99.4 % within 200 ms (90 % wanted)",
    ]
    now, then = read_row(page, "Cost")
    assert now.startswith("€")
    assert now.endswith("/h")
    assert now != then
    assert is_drawn_anew(page, ".plot canvas", before)
    expect(page.get_by_role("region", name="What was assumed")).to_contain_text(
        "Prompts have 500 tokens"
    )


def test_the_least_number_pushes_the_most(visit: Visit) -> None:
    page = visit.open(WHAT_IF)
    page.get_by_role("slider", name="Replicas at least").fill("9")
    expect(page.get_by_role("slider", name="Replicas at most")).to_have_value("9")
    page.get_by_role("slider", name="Replicas at most").fill("3")
    expect(page.get_by_role("slider", name="Replicas at least")).to_have_value("3")


def test_a_profile_is_sent_and_one_that_is_none_is_not(visit: Visit) -> None:
    page = visit.open(WHAT_IF)
    page.get_by_text("Profile of the engine").click()
    field = page.get_by_label("JSON of bench/profile_engine.py")
    field.fill("nonsense")
    page.get_by_role("button", name="Simulate").click()
    expect(page.get_by_role("alert")).to_contain_text("The profile is not JSON.")
    field.fill('{"profile": {"decode_tokens_per_second": 80}}')
    page.get_by_role("button", name="Simulate").click()
    expect(page.get_by_role("columnheader", name="What if")).to_be_visible()
    assert [each and each["profile"] for each in visit.server.choices] == [
        None,
        {"decode_tokens_per_second": 80},
    ]


def test_a_simulation_that_is_refused_says_why(visit: Visit) -> None:
    visit.server.refusal = (409, "the operator has counted no requests in the last hour.")
    page = visit.open(WHAT_IF)
    expect(page.get_by_role("alert")).to_contain_text("counted no requests")
    visit.faults[:] = [
        each for each in visit.faults if not each.startswith("Failed to load resource")
    ]
