"""The page of what clients can call shows the table that the component tests run."""

import os
from pathlib import Path

from tests.support.conformance import CASES, MESSAGES, RESPONSES, Support, render_table

PAGE = Path("docs/reference/clients.md")
BEGIN, END = "<!-- table: conformance -->\n", "<!-- end of table -->\n"


def test_the_page_shows_the_table() -> None:
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    expected = f"{before}{BEGIN}\n{render_table()}\n{END}{after}"
    if os.environ.get("LLMD_UPDATE_GOLDEN"):
        PAGE.write_text(expected)
    assert PAGE.read_text() == expected


def test_no_case_is_there_twice() -> None:
    assert len({(case.path, case.call) for case in CASES}) == len(CASES)


def test_the_simulated_engine_has_none_of_the_vllm_paths() -> None:
    rows = [case.simulated for case in CASES if case.path.startswith((RESPONSES, MESSAGES))]
    assert set(rows) == {Support.ABSENT}
