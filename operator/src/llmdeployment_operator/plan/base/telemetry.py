"""What pods have to know to send telemetry to the collector that the chart names."""

from typing import Any
from urllib.parse import urlsplit

from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.reasons import Reason
from llmdeployment_operator.plan.base.settings import Settings

HEADERS_KEY = "headers"
"""Key of the Secret with the headers of OTLP, as `OTEL_EXPORTER_OTLP_HEADERS` has them."""
NO_COLLECTOR = (
    "spec.monitoring.traces has no effect, because the operator knows no collector. "
    "Set the chart's value telemetry.otlpEndpoint, or remove spec.monitoring.traces."
)

MARK = {"name": "LLMD_USER_CONFIG", "value": "2"}
"""A variable of pods whose replicas know traces and request logs."""

_HTTP, _HTTPS = 80, 443


def build_export_env(settings: Settings) -> list[dict[str, Any]]:
    """Return the variables with the collector's address, and with the headers that it wants; nothing without a collector.

    A pod whose namespace lacks the Secret starts all the same: telemetry is no reason not to serve.
    """
    if not settings.otlp_endpoint:
        return []
    found: list[dict[str, Any]] = [
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": settings.otlp_endpoint}
    ]
    if name := settings.otlp_headers_secret:
        ref = {"name": name, "key": HEADERS_KEY, "optional": True}
        found.append({"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": {"secretKeyRef": ref}})
    return found


def build_model_env(deployment: LLMDeployment, settings: Settings) -> list[dict[str, Any]]:
    """Return the same for a container that has `spec.engine.env` too, whose variables win: a container may name each once."""
    given = {entry.name for entry in deployment.spec.engine.env}
    return [each for each in build_export_env(settings) if each["name"] not in given]


def takes_telemetry(rendering: dict[str, Any]) -> bool:
    """Say whether the replicas of these pods know traces and request logs.

    Those of an older release refuse all settings with one of them, so a new replica of theirs would not start.
    """
    pod = rendering.get("worker", {}).get("template", {}).get("spec", {})
    return any(MARK in container.get("env", ()) for container in pod.get("containers", ()))


def exports_traces(deployment: LLMDeployment, settings: Settings) -> bool:
    """Say whether spans are made and sent."""
    return deployment.spec.monitoring.traces is not None and bool(settings.otlp_endpoint)


def build_replica_env(deployment: LLMDeployment, settings: Settings) -> list[dict[str, Any]]:
    """Return what a replica needs to export spans, and its engine to make some: an engine is told when it starts."""
    traced = exports_traces(deployment, settings)
    engine = [{"name": "LLMD_TRACES", "value": "true"}] if traced else []
    return [*build_model_env(deployment, settings), *engine, MARK]


def render_traces(deployment: LLMDeployment) -> dict[str, Any]:
    """Return which answers get a span, as gateways and replicas read it; nothing where traces are not wanted."""
    if (traces := deployment.spec.monitoring.traces) is None:
        return {}
    return {
        "samplePercent": traces.sample_percent,
        "slowerThanSeconds": traces.slower_than_seconds,
    }


def find_port(endpoint: str) -> int:
    """Return the TCP port of a collector.

    >>> [find_port(url) for url in ("http://collector.otel:4318", "https://otlp.example.com/team", "http://collector")]
    [4318, 443, 80]
    """
    parts = urlsplit(endpoint)
    return parts.port or (_HTTPS if parts.scheme == "https" else _HTTP)


def add_note(status: Status, deployment: LLMDeployment, settings: Settings) -> Status:
    """Return the status with a sentence in Accepted where traces are wanted and there is no collector."""
    if deployment.spec.monitoring.traces is None or settings.otlp_endpoint:
        return status
    conditions = (
        each.model_copy(update={"message": f"{each.message} {NO_COLLECTOR}"})
        if each.reason == Reason.ACCEPTED
        else each
        for each in status.conditions
    )
    return status.model_copy(update={"conditions": tuple(conditions)})
