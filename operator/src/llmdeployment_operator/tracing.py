"""Exports what passes have done as spans, for LLMDeployments with spec.monitoring.traces; for others nothing is made."""

import asyncio
import atexit
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from llmdeployment_operator.api.status_document import read_status
from llmdeployment_operator.api.types import LLMDeployment, SpecError, parse
from llmdeployment_operator.metrics import Metrics
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.plan import Plan
from llmdeployment_operator.plan.tracing.pass_spans import build_failed_span, build_pass_span
from llmdeployment_operator.plan.tracing.rollout_spans import list_rollout_spans
from llmdeployment_operator.span_export import SpanExport

LAST_SPANS_SECONDS = 2.0
"""Seconds that an operator that ends takes for the spans that were not sent yet."""


class PassSpans:
    """Exports the spans of passes, and of what has ended with them.

    Args:
        export: takes the spans; None: there is no collector, and nothing is made.
        metrics: counts them.
    """

    def __init__(self, export: SpanExport | None = None, metrics: Metrics | None = None) -> None:
        self._export = export
        self._metrics = metrics
        self._counted = {"exported": 0, "dropped": 0}

    @contextmanager
    def watch(self, raw: Mapping[str, Any] | None) -> Iterator[None]:
        """Export a span if the pass in the block fails.

        Args:
            raw: the LLMDeployment, or None if it is gone.
        """
        if self._export is None or raw is None or not _is_traced(raw):
            yield
            return
        started = datetime.now(UTC)
        try:
            yield
        except (Exception, asyncio.CancelledError) as error:
            # A pass that takes too long is cancelled.
            self._record_failure(raw, error, started)
            raise

    def record(
        self,
        deployment: LLMDeployment,
        cluster: ClusterState,
        plan: Plan,
        started: datetime,
        now: datetime,
    ) -> None:
        """Export the spans of a pass whose status was written, if it had one to write.

        Args:
            deployment: what the pass was over.
            cluster: what it was made from; its status is the one before.
            plan: what it has done.
            started: when it began, UTC.
            now: the current time, UTC.
        """
        if (export := self._export) is None:
            return
        if deployment.spec.monitoring.traces is not None:
            if plan.status is not None:
                for span in list_rollout_spans(deployment, cluster, plan.status, now):
                    export.put(span)
            if (
                own := build_pass_span(deployment, cluster.status, plan, (started, now))
            ) is not None:
                export.put(own)
        self._count(export)

    def close(self, seconds: float) -> None:
        """Send what waits, for so many seconds at most."""
        if self._export is not None:
            self._export.close(seconds)

    def _record_failure(
        self, raw: Mapping[str, Any], error: BaseException, started: datetime
    ) -> None:
        try:
            deployment = parse(raw)
        except SpecError:
            return
        if self._export is not None:
            times = started, datetime.now(UTC)
            before = read_status(raw.get("status"))
            self._export.put(build_failed_span(deployment, before, error, times))
            self._count(self._export)

    def _count(self, export: SpanExport) -> None:
        if self._metrics is None:
            return
        counters = {
            "exported": (self._metrics.spans_exported, export.exported),
            "dropped": (self._metrics.spans_dropped, export.dropped),
        }
        for name, (counter, total) in counters.items():
            counter.inc(total - self._counted[name])
            self._counted[name] = total


def start_spans(settings: Settings, metrics: Metrics) -> PassSpans:
    """Return what exports spans to the collector of the settings, or what makes none without one.

    Args:
        settings: of the plan.
        metrics: counts the spans.
    """
    if not settings.otlp_endpoint:
        return PassSpans()
    # Kubernetes sets it to the pod's name.
    pod = os.environ.get("HOSTNAME", "")
    resource = {
        "service.name": "llmdeployment-operator",
        "service.instance.id": pod,
        "k8s.pod.name": pod,
    }
    export = SpanExport(resource)
    atexit.register(export.close, LAST_SPANS_SECONDS)
    return PassSpans(export, metrics)


def _is_traced(raw: Mapping[str, Any]) -> bool:
    monitoring = (raw.get("spec") or {}).get("monitoring") or {}
    return isinstance(monitoring, Mapping) and monitoring.get("traces") is not None
