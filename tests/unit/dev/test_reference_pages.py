"""The pages of reference name every metric, annotation, label and error code of the code, and no metric that does not exist."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from llmdeployment_operator.metrics import Metrics
from llmdeployment_operator.plan.base import names
from llmdeployment_serving.stats import EngineSnapshot, RevisionStats, build_stats, render_metrics

REPOSITORY = Path(__file__).resolve().parents[3]
REFERENCE = REPOSITORY / "docs" / "reference"
GATEWAY = REPOSITORY / "gateway" / "src" / "llmdeployment_gateway"
SOURCES = ("operator/src", "gateway/src", "serving/src", "cli/src")


def read(page: str) -> str:
    return (REFERENCE / page).read_text(encoding="utf-8")


def read_sources(*patterns: str) -> str:
    return "\n".join(
        path.read_text(encoding="utf-8")
        for source in SOURCES
        for pattern in patterns
        for path in sorted((REPOSITORY / source).rglob(pattern))
    )


def list_operator_metrics() -> set[str]:
    families = Metrics().registry.collect()
    return {f"{f.name}_total" if f.type == "counter" else f.name for f in families}


def list_gateway_metrics() -> set[str]:
    """Read the names from the source, because the page of the agent needs a running HAProxy."""
    text = (GATEWAY / "web.py").read_text(encoding="utf-8")
    gauges = re.findall(r"_build_gauge\(\s*\"(\w+)\"", text)
    counters = re.findall(r"_build_counter\(\s*\"(\w+)\"", text)
    made = re.findall(r"(Gauge|Counter|Histogram)MetricFamily\(\s*PREFIX \+ \"(\w+)\"", text)
    gauges += [name for kind, name in made if kind != "Counter"]
    counters += [name for kind, name in made if kind == "Counter"]
    assert len(gauges) >= 4
    assert len(counters) >= 5
    return {
        f"llmdeployment_gateway_{name}" for name in (*gauges, *(f"{c}_total" for c in counters))
    }


def list_replica_metrics() -> set[str]:
    document = build_stats(
        "simulated", "chat", EngineSnapshot(1, 2, 0.5, 10, 20, {}), {"3": RevisionStats()}
    )
    document |= {"selfTest": {"score": -1.0, "reference": -1.0}}
    families = text_string_to_metric_families(render_metrics(document).decode())
    return {f"{f.name}_total" if f.type == "counter" else f.name for f in families}


def test_the_page_of_metrics_has_every_metric_and_no_other() -> None:
    listed = re.findall(
        r"^\| `(llmdeployment_\w+)` \| (?:gauge|counter|histogram) ",
        read("metrics.md"),
        re.MULTILINE,
    )

    assert len(listed) == len(set(listed))
    assert set(listed) == list_operator_metrics() | list_gateway_metrics() | list_replica_metrics()


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
