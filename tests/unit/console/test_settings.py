"""What whoever starts the console may set."""

from pathlib import Path

import pytest

from llmdeployment_cli.errors import Refusal
from llmdeployment_console.runbooks import OWN_PAGES, Runbooks
from llmdeployment_console.settings import PROMETHEUS_URL, RUNBOOK_URL, Settings, read_settings
from llmdeployment_operator.plan.base.reasons import Reason

DOCS = Path(__file__).parents[3] / "docs"


def test_nothing_needs_to_be_set() -> None:
    assert read_settings({}) == read_settings({RUNBOOK_URL: "", PROMETHEUS_URL: ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (PROMETHEUS_URL, "prometheus:9090"),
        (PROMETHEUS_URL, "file:///etc/passwd"),
        (PROMETHEUS_URL, "http://"),
        (PROMETHEUS_URL, "http://user:word@prometheus:9090"),
        (PROMETHEUS_URL, "http://prometheus:9090/?query=up"),
        (PROMETHEUS_URL, "http://prometheus:port"),
        (PROMETHEUS_URL, "http://[::1"),
        (RUNBOOK_URL, "javascript:alert(NAME)"),
        (RUNBOOK_URL, "docs/runbooks/NAME.md"),
        (RUNBOOK_URL, "https://docs.example.com/runbooks/"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(name: str, value: str) -> None:
    with pytest.raises(Refusal, match=name):
        read_settings({name: value})


def test_a_reason_leads_to_its_page_where_there_is_one() -> None:
    own = Runbooks.list(DOCS, OWN_PAGES)
    assert own.find(Reason.ROLLED_BACK) == "#/runbooks/RolledBack"
    assert own.find(Reason.SERVING) is None
    assert own.find("README") is None
    assert own.find(None) is None
    elsewhere = read_settings({RUNBOOK_URL: "https://docs.example.com/runbooks/NAME/"})
    found = Runbooks.list(DOCS, elsewhere.runbook_url).find("RolledBack")
    assert found == "https://docs.example.com/runbooks/RolledBack/"


def test_a_page_that_was_not_built_has_no_runbooks(tmp_path: Path) -> None:
    assert Runbooks.list(tmp_path, OWN_PAGES).find("RolledBack") is None
