"""How much the page weighs, and how long it keeps the browser from drawing."""

import gzip
import json
from pathlib import Path

from playwright.sync_api import Browser, expect
from tests.browser.conftest import watch
from tests.support.console_server import ConsoleServer

MOST_SCRIPT = 150 * 1024
"""Bytes of compressed script, in all."""
MOST_TASK = 50_000
"""Microseconds of CPU time of one task: a frame waits for the task before it."""
MOST_PAINT = 1000
"""Milliseconds until something is seen."""


def test_the_script_is_small(built_page: Path) -> None:
    scripts = list((built_page / "assets").glob("*.js"))
    assert scripts
    assert sum(len(gzip.compress(each.read_bytes())) for each in scripts) <= MOST_SCRIPT


def test_200_rows_take_no_long_task(
    browser: Browser, server: ConsoleServer, tmp_path: Path
) -> None:
    server.size = 200
    longest = [measure_longest_task(browser, server, tmp_path / "trace.json") for _ in range(3)]
    # The quickest of three: caches that another process emptied cost CPU time too.
    assert min(longest) < MOST_TASK


def measure_longest_task(browser: Browser, server: ConsoleServer, trace: Path) -> int:
    """Return the CPU time of the longest task while the fleet is shown and comes afresh twice, in microseconds."""
    context = browser.new_context()
    page = context.new_page()
    page.clock.install()
    browser.start_tracing(page=page, path=trace, categories=["toplevel", "devtools.timeline"])
    page.goto(server.url)
    expect(page.get_by_role("row")).to_have_count(201)
    for _ in range(2):
        with page.expect_response(lambda each: each.url.endswith("/api/fleet")):
            page.clock.run_for(5000)
    browser.stop_tracing()
    context.close()
    tasks = list_tasks(json.loads(trace.read_text(encoding="utf-8"))["traceEvents"])
    assert len(tasks) > 20
    return max(tasks)


def list_tasks(events: list[dict]) -> list[int]:
    """Return the CPU time of each task of the page's main thread, in microseconds. Other processes of a busy machine add nothing to it."""
    main = {
        (each["pid"], each["tid"])
        for each in events
        if each.get("name") == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    tasks = [e for e in events if e["name"].endswith("RunTask") and (e["pid"], e["tid"]) in main]
    return [each["tdur"] for each in tasks if "tdur" in each]


def test_something_is_seen_soon(browser: Browser, server: ConsoleServer) -> None:
    times = []
    for _ in range(3):
        context = browser.new_context()
        visit = watch(context.new_page(), server)
        expect(visit.open().get_by_role("row")).to_have_count(7)
        entries = (
            "performance.getEntriesByName('first-contentful-paint').map((each) => each.startTime)"
        )
        times += visit.page.evaluate(entries)
        context.close()
    # The quickest of three: the others may have waited for another process of the machine.
    assert min(times) < MOST_PAINT
