"""Which answers get a span: `spec.monitoring.traces`."""

from typing import Annotated

from pydantic import Field

from llmdeployment_operator.api.fields import Model, Text

_duration = Text(2, 6).must(
    "[1-9][0-9]{0,4}ms|[1-9][0-9]{0,3}s",
    "must be a whole number of seconds or milliseconds, such as 30s or 500ms, and at most 9999s",
)
Threshold = Annotated[str, *_duration.annotations()]


class TracesSpec(Model):
    """Sends spans of answers, rollouts and passes to the collector of the chart's `telemetry.otlpEndpoint` (docs/how-to/traces.md).

    A change takes effect in place at replicas, and with new pods, one by one, at gateways.
    """

    sample_percent: Annotated[int, Field(ge=0, le=100)] = 1
    """Percent of the traces that begin here that are sampled. A client that sends a `traceparent` decides for its own."""
    slower_than: Threshold = "30s"
    """An answer that takes longer, from its request's arrival to its last byte, has a span in any case, as one that fails has."""

    @property
    def slower_than_seconds(self) -> float:
        """`slower_than` in seconds.

        >>> TracesSpec(slower_than="500ms").slower_than_seconds, TracesSpec().slower_than_seconds
        (0.5, 30.0)
        """
        text = self.slower_than
        return int(text[:-2]) / 1000 if text.endswith("ms") else float(text[:-1])
