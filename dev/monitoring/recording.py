"""Recording rules: what dashboards and alerts ask for often, named `labels:metric:operation` as Prometheus advises."""

from dataclasses import dataclass

REVISION = "namespace, name, revision"
ARM = "namespace, name, arm, revision"
PERCENTILES = (50, 90, 99)
HISTOGRAMS = (
    "llmdeployment_time_to_first_chunk_seconds",
    "llmdeployment_inter_chunk_gap_seconds",
    "llmdeployment_request_seconds",
)


@dataclass(frozen=True)
class Record:
    """A recording rule.

    Attributes:
        name: name of the new series.
        expression: PromQL.
    """

    name: str
    expression: str


def list_records() -> list[Record]:
    """Return every recording rule."""
    return [
        *_list_percentiles(),
        Record(
            "namespace_name:llmdeployment_gateway_requests:rate5m",
            "sum by (namespace, name) (rate(llmdeployment_gateway_requests_total[5m]))",
        ),
        Record(
            "namespace_name:llmdeployment_gateway_errors:ratio_rate5m",
            _divide_errors("namespace, name"),
        ),
        Record(
            "namespace_name_arm_revision:llmdeployment_gateway_errors:ratio_rate5m",
            _divide_errors(ARM),
        ),
        Record(
            # An hour evens out that replicas begin and end. Idle replicas count, so this is what a token really costs.
            "namespace_name_currency:llmdeployment_cost_per_million_output_tokens:ratio_rate1h",
            "1e6 * sum by (namespace, name, currency) (rate(llmdeployment_cost_total[1h]))"
            " / on (namespace, name) group_left ()"
            " (sum by (namespace, name) (rate(llmdeployment_output_tokens_sum[1h])) > 0)",
        ),
        Record(
            "namespace_name_revision_currency:llmdeployment_cost_per_million_output_tokens:ratio_rate1h",
            f"1e6 * sum by ({REVISION}, currency) (rate(llmdeployment_cost_total[1h]))"
            f" / on ({REVISION}) group_left ()"
            f" (sum by ({REVISION}) (rate(llmdeployment_output_tokens_sum[1h])) > 0)",
        ),
    ]


def _list_percentiles() -> list[Record]:
    return [
        Record(
            f"namespace_name_revision:{metric}:p{percent}_rate5m",
            f"histogram_quantile({percent / 100}, sum by ({REVISION}, le) (rate({metric}_bucket[5m])))",
        )
        for metric in HISTOGRAMS
        for percent in PERCENTILES
    ]


def _divide_errors(labels: str) -> str:
    # `or` gives 0 where nothing failed: without it, a model without any error would have no ratio.
    return (
        f'(sum by ({labels}) (rate(llmdeployment_gateway_requests_total{{code=~"5.."}}[5m]))'
        f" or 0 * sum by ({labels}) (rate(llmdeployment_gateway_requests_total[5m])))"
        f" / sum by ({labels}) (rate(llmdeployment_gateway_requests_total[5m]))"
    )
