"""Pictures for the docs, written to docs/pictures/ with LLMD_UPDATE_GOLDEN=1; without it the pages are only drawn."""

import io
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from tests.browser.conftest import Visit, takes_pictures
from tests.support.console_story import PAST

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
MOST_BYTES = 150_000
COLORS = 256
DEPLOYMENT = "#/llmdeployments/shop/chat"
MIDDLE = PAST + 75


def show_fleet(visit: Visit) -> Page:
    page = visit.open()
    expect(page.get_by_role("row")).to_have_count(7)
    return page


def show_deployment(visit: Visit) -> Page:
    page = visit.open(DEPLOYMENT)
    expect(page.locator(".plot canvas")).to_have_count(5)
    return page


def show_chat(visit: Visit) -> Page:
    visit.server.gate.set()
    page = visit.open(f"{DEPLOYMENT}/chat")
    page.get_by_role("textbox", name="Prompt").fill("Explain a canary in one sentence.")
    page.get_by_role("button", name="Ask both").click()
    expect(page.locator(".answer ins").first).to_be_visible()
    return page


def show_golden(visit: Visit) -> Locator:
    visit.server.gate.set()
    page = show_deployment(visit)
    page.get_by_role("button", name="capital-of-peru").click()
    page.get_by_role("button", name="Ask r4 and r5").click()
    expect(page.locator(".answer ins").first).to_be_visible()
    return page.get_by_role("region", name="Golden set")


def show_what_if(visit: Visit) -> Page:
    page = visit.open(f"{DEPLOYMENT}/what-if")
    page.get_by_role("slider", name="Target on ttft p90").fill("2")
    page.get_by_role("slider", name="Replicas at most").fill("6")
    page.get_by_role("button", name="Simulate").click()
    expect(page.get_by_role("columnheader", name="What if")).to_be_visible()
    return page


@pytest.mark.parametrize(
    ("name", "show", "height"),
    [
        ("fleet", show_fleet, 620),
        ("deployment", show_deployment, 1335),
        ("chat", show_chat, 600),
        ("golden", show_golden, 1420),
        ("what-if", show_what_if, 1190),
    ],
)
def test_a_picture_is_small(visit: Visit, name: str, show, height: int) -> None:  # noqa: ANN001  # because it is one of those above
    visit.server.story.tick = MIDDLE
    visit.page.set_viewport_size({"width": 1280, "height": height})
    picture = shrink(show(visit).screenshot(animations="disabled"))
    assert len(picture) < MOST_BYTES
    if takes_pictures():
        (PICTURES / f"console-{name}.png").write_bytes(picture)


def shrink(png: bytes) -> bytes:
    """Return a PNG with few colours, which a page of text and lines does not miss."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(
            out, "PNG", optimize=True
        )
    return out.getvalue()
