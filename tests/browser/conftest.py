"""A real browser on the built page, with a stand-in for its server."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dev import console_page
from dev.browser import ensure_chromium
from dev.cluster.stages import StageError
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from tests.support.console_server import ConsoleServer, serve_console

expect.set_options(timeout=20_000)

WIDTHS = (360, 768, 1440)


@dataclass
class Visit:
    """A page in the browser, and what went wrong in it.

    Attributes:
        page: the page.
        server: what it talks to.
        faults: errors of the console, uncaught errors, breaches of the policy, and alerts.
    """

    page: Page
    server: ConsoleServer
    faults: list[str] = field(default_factory=list)

    def open(self, address: str = "") -> Page:
        """Open an address of the page, such as `#/llmdeployments/shop/chat`."""
        self.page.goto(self.server.url + address)
        return self.page


@pytest.fixture(scope="session")
def built_page() -> Path:
    """The folder of the page."""
    return fail_with_reason(console_page.ensure)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser. Where there is none, tests fail with the reason: a skipped page is a page that nobody looked at."""
    program = fail_with_reason(ensure_chromium)
    # A sandbox needs rights that containers lack; the pages are our own.
    options = ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(program), args=options)
        yield chromium
        chromium.close()


def fail_with_reason(prepare):  # noqa: ANN001, ANN201  # because pytest.fail is what it is for
    try:
        return prepare()
    except StageError as error:
        pytest.fail(error.explain(), pytrace=False)


@pytest.fixture
def server(built_page: Path) -> Iterator[ConsoleServer]:
    """The stand-in for the console's server."""
    with serve_console(built_page) as running:
        yield running


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile of the browser."""
    made = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
    yield made
    made.close()


@pytest.fixture
def visit(context: BrowserContext, server: ConsoleServer) -> Iterator[Visit]:
    """A page that must have had no fault when the test ends."""
    visit = watch(context.new_page(), server)
    yield visit
    assert visit.faults == []


def watch(page: Page, server: ConsoleServer) -> Visit:
    visit = Visit(page, server)
    page.set_default_timeout(20_000)
    page.on(
        "console",
        lambda said: visit.faults.append(said.text) if said.type in {"error", "warning"} else None,
    )
    page.on("pageerror", lambda error: visit.faults.append(str(error)))

    def refuse(dialog) -> None:  # noqa: ANN001  # because Playwright names its type
        visit.faults.append(f"an alert: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", refuse)
    return visit


DRAWN_ANEW = """([selector, before]) => new Promise((done) => {
  let frames = 600;
  const look = () => {
    const now = document.querySelector(selector)?.toDataURL();
    if (now !== undefined && now !== before) done(true);
    else if (--frames === 0) done(false);
    else requestAnimationFrame(look);
  };
  look();
})"""


def is_drawn_anew(page: Page, selector: str, before: str) -> bool:
    """Whether the first canvas of a selector gets another picture within 600 frames."""
    drawn: bool = page.evaluate(DRAWN_ANEW, [selector, before])
    return drawn


def takes_pictures() -> bool:
    return os.environ.get("LLMD_UPDATE_GOLDEN") == "1"
