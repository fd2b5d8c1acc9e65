"""The pages of reference name every annotation, label and error code of the code,"""

import re
from pathlib import Path

import pytest

from llmdeployment_operator.plan.base import names

REPOSITORY = Path(__file__).resolve().parents[3]
REFERENCE = REPOSITORY / "docs" / "reference"
GATEWAY = REPOSITORY / "gateway" / "src" / "llmdeployment_gateway"
SOURCES = ("operator/src", "gateway/src", "serving/src", "cli/src", "console/src")


def read(page: str) -> str:
    return (REFERENCE / page).read_text(encoding="utf-8")


def read_sources(*patterns: str) -> str:
    return "\n".join(
        path.read_text(encoding="utf-8")
        for source in SOURCES
        for pattern in patterns
        for path in sorted((REPOSITORY / source).rglob(pattern))
    )


def test_the_page_of_annotations_has_every_key() -> None:
    page = read("annotations.md")
    keys = set(re.findall(r"llmdeployment\.dev/[a-z]{3,}", read_sources("*.py")))
    keys |= {names.OWNER, names.RUNTIME, names.COMPONENT, names.INTENT, names.MANAGED_BY}

    assert "llmdeployment.dev/promote" in keys
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []


def test_the_page_of_annotations_has_every_header() -> None:
    page = read("annotations.md")
    headers = set(
        re.findall(r"\bx-[a-z]+(?:-[a-z]+)*\b", (GATEWAY / "files/haproxy.cfg").read_text())
    )

    assert "x-llm-arm" in headers
    # The hold tells itself when a request must be answered; it never leaves the gateway's pod.
    assert [h for h in sorted(headers - {"x-llm", "x-llm-deadline"}) if f"`{h}`" not in page] == []


@pytest.mark.parametrize("reason", ["RevisionCreated", "TrafficChanged", "ScaledUp", "ScaledDown"])
def test_an_event_is_on_the_page_and_in_the_code(reason: str) -> None:
    assert f"`{reason}`" in read("annotations.md")
    assert f'"{reason}"' in read_sources("*.py")


def test_every_event_of_its_own_is_on_the_page() -> None:
    posted = re.findall(r'\bEvent\(\s*"(?:Normal|Warning)",\s*"(\w+)"', read_sources("*.py"))

    assert "RevisionCreated" in posted
    assert [reason for reason in posted if f"`{reason}`" not in read("annotations.md")] == []


def test_the_page_of_errors_has_every_code() -> None:
    page = read("errors.md")
    text = read_sources("*.py", "*.cfg", "*.lua")
    codes = set(re.findall(r'\\?"code\\?": \\?"(\w+)\\?"', text)) | set(
        re.findall(r'\bcode="(\w+)"', text)
    )

    assert {"no_replica", "engine_crash", "queue_full"} <= codes
    assert [code for code in sorted(codes) if f"`{code}`" not in page] == []
