"""What passes export, to a collector in this process."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.support.otlp_receiver import receive_spans
from tests.support.stories import serving_world
from tests.support.world import NOW, SETTINGS, World, sample

from llmdeployment_operator.metrics import Metrics
from llmdeployment_operator.plan.base.events import Event
from llmdeployment_operator.plan.plan import Plan
from llmdeployment_operator.plan.tracing.identity import make_rollout_id, make_trace_id
from llmdeployment_operator.plan.tracing.pass_spans import build_failed_span, build_pass_span
from llmdeployment_operator.span_export import SpanExport
from llmdeployment_operator.tracing import PassSpans, start_spans

ENDS = NOW + timedelta(seconds=1)
TIMES = NOW, ENDS
UID = "uid-of-the-owner"
EVENT = Event("Normal", "RevisionCreated", "Revision 2 differs.")


def traced(world: World) -> World:
    world.raw["spec"]["monitoring"] = {"traces": {}}
    return world


def test_a_pass_that_writes_nothing_or_only_its_status_has_no_span() -> None:
    world = serving_world()
    for plan in (Plan(), Plan(status=world.cluster.status)):
        assert build_pass_span(world.deployment, world.cluster.status, plan, TIMES) is None


def test_the_passes_of_a_first_start_are_in_the_trace_of_the_rollout() -> None:
    world = World(sample("simulated"))
    before = world.cluster.status
    plan = world.step()
    span = build_pass_span(world.deployment, before, plan, TIMES)

    assert span is not None
    trace = make_trace_id(UID, 1)
    assert (span.trace_id, span.parent_id) == (trace, make_rollout_id(trace, "main", 1))
    assert span.attributes["llmdeployment.pass.applied"] == len(plan.apply)
    assert span.attributes["k8s.namespace.name"] == "team"
    writes = span.attributes["llmdeployment.pass.writes"]
    assert isinstance(writes, tuple)
    assert "apply Deployment simulated-gateway" in writes


def test_a_pass_beside_a_rollout_has_a_trace_of_its_own() -> None:
    world = serving_world()
    found = [
        build_pass_span(world.deployment, world.cluster.status, Plan(events=(EVENT,)), times)
        for times in (TIMES, TIMES, (ENDS, ENDS))
    ]

    first, same, later = (span.trace_id for span in found if span is not None)
    assert first == same != later
    assert first not in {make_trace_id(UID, number) for number in (1, 2)}
    assert found[0] is not None
    assert found[0].attributes["llmdeployment.pass.events"] == (
        "RevisionCreated: Revision 2 differs.",
    )


def test_a_pass_that_failed_says_why() -> None:
    world = serving_world()
    error = TimeoutError("x" * 1000)
    span = build_failed_span(world.deployment, world.cluster.status, error, TIMES)

    assert span.attributes["error.type"] == "TimeoutError"
    assert span.error == "x" * 256
    silent = build_failed_span(world.deployment, world.cluster.status, TimeoutError(), TIMES)
    assert silent.error == "TimeoutError"


def test_passes_and_rollouts_arrive_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with receive_spans() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        metrics = Metrics()
        export = SpanExport({"service.name": "operator"}, batch_seconds=0)
        spans = PassSpans(export, metrics)
        world = traced(World(sample("simulated")))
        cluster = world.cluster
        spans.record(world.deployment, cluster, world.step(), NOW, ENDS)
        spans.record(world.deployment, world.cluster, Plan(), NOW, ENDS)
        with (
            pytest.raises(ValueError, match="no such"),
            spans.watch({**world.raw, "status": world.status}),
        ):
            raise ValueError("no such")
        received.wait_for(lambda found: len(found) == 2)
        spans.close(5)
        spans.record(world.deployment, world.cluster, Plan(), NOW, ENDS)

    assert [(span.name, span.error) for span in received.spans] == [
        ("pass", ""),
        ("pass", "no such"),
    ]
    assert {span.trace_id for span in received.spans} == {make_trace_id(UID, 1)}
    assert metrics.registry.get_sample_value("llmdeployment_operator_spans_exported_total") == 2
    assert metrics.registry.get_sample_value("llmdeployment_operator_spans_dropped_total") == 0


class Refusing(SpanExport):
    """Fails a test that exports anything."""

    def put(self, span: Any) -> None:
        raise AssertionError(f"nobody asked for {span}")


def test_without_traces_in_the_spec_nothing_is_made() -> None:
    spans = PassSpans(Refusing({}), Metrics())
    world = World(sample("simulated"))
    cluster = world.cluster
    spans.record(world.deployment, cluster, world.step(), NOW, ENDS)
    for raw in (None, {}, {"spec": {"monitoring": 7}}, world.raw):
        with pytest.raises(asyncio.CancelledError), spans.watch(raw):
            raise asyncio.CancelledError


def test_without_a_collector_nothing_is_made() -> None:
    spans = start_spans(SETTINGS, Metrics())
    world = traced(World(sample("simulated")))
    cluster = world.cluster
    spans.record(world.deployment, cluster, world.step(), NOW, ENDS)
    with pytest.raises(ValueError, match="no such"), spans.watch(world.raw):
        raise ValueError("no such")
    spans.close(0)


def test_a_spec_that_is_refused_has_no_span_of_a_failed_pass() -> None:
    spans = PassSpans(Refusing({}), Metrics())
    world = traced(World(sample("simulated")))
    world.raw["spec"]["model"] = {}
    with pytest.raises(ValueError, match="no such"), spans.watch(world.raw):
        raise ValueError("no such")


def test_a_collector_that_is_down_delays_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue takes spans, then drops and counts them; the thread alone waits for the collector."""
    with receive_spans() as received:
        received.status = 400
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        metrics = Metrics()
        spans = PassSpans(SpanExport({}, batch_seconds=0), metrics)
        world = traced(serving_world())
        for _ in range(5000):
            spans.record(world.deployment, world.cluster, Plan(events=(EVENT,)), NOW, ENDS)
        spans.close(20)
        spans.record(world.deployment, world.cluster, Plan(), NOW, ENDS)

    assert received.requests > 0
    assert metrics.registry.get_sample_value("llmdeployment_operator_spans_dropped_total") == 5000
