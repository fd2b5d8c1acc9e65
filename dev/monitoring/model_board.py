"""The dashboard of one LLMDeployment: how it answers."""

from dev.monitoring.panels import (
    CHOSEN,
    DECISIONS,
    ONE,
    RATE,
    ROLLOUTS,
    Board,
    Kind,
    Panel,
    Query,
    Row,
    ask,
    ask_percentiles,
    divide_rates,
)

COST_PER_MILLION = "llmdeployment_cost_per_million_output_tokens:ratio_rate1h"

ONE_DEPLOYMENT = Board(
    "llmdeployment-one",
    "LLMDeployment",
    "How one LLMDeployment answers: traffic, latency by revision, tokens, KV cache, queue and cost.",
    (
        Row(
            "Traffic",
            (
                Panel(
                    "Requests by arm and revision",
                    ask(
                        f"sum by (arm, revision) (rate(llmdeployment_gateway_requests_total{{{CHOSEN}}}{RATE}))",
                        "{{arm}} r{{revision}}",
                    ),
                    "reqps",
                    Kind.STACK,
                ),
                Panel(
                    "Answers by status code",
                    ask(
                        f"sum by (code) (rate(llmdeployment_gateway_requests_total{{{CHOSEN}}}{RATE}))",
                        "{{code}}",
                    ),
                    "reqps",
                    Kind.STACK,
                ),
                Panel(
                    "Share of server errors",
                    ask(
                        f"namespace_name_arm_revision:llmdeployment_gateway_errors:ratio_rate5m{{{CHOSEN}}}",
                        "{{arm}} r{{revision}}",
                    ),
                    "percentunit",
                ),
                Panel(
                    "Conditions",
                    ask(
                        f'max by (condition) (llmdeployment_condition{{{CHOSEN}, status="True"}})',
                        "{{condition}}",
                    ),
                    kind=Kind.STATES,
                ),
            ),
        ),
        Row(
            "Latency by revision",
            (
                Panel(
                    "First token",
                    ask_percentiles("llmdeployment_time_to_first_chunk_seconds"),
                    "s",
                    note="Streamed answers only.",
                ),
                Panel(
                    "Between tokens",
                    ask_percentiles("llmdeployment_inter_chunk_gap_seconds"),
                    "s",
                    note="Streamed answers only.",
                ),
                Panel(
                    "Whole answer, at the replica",
                    ask_percentiles("llmdeployment_request_seconds"),
                    "s",
                ),
                Panel(
                    "Whole answer at the gateway, p90",
                    ask(
                        "histogram_quantile(0.9, sum by (revision, le) (rate("
                        f"llmdeployment_gateway_request_seconds_bucket{{{CHOSEN}}}{RATE})))",
                        "r{{revision}}",
                    ),
                    "s",
                    note="Waiting for a replica is a part of it.",
                ),
            ),
        ),
        Row(
            "Engine",
            (
                Panel(
                    "Tokens per second",
                    (
                        Query(
                            f"sum(rate(llmdeployment_prompt_tokens_total{{{CHOSEN}}}{RATE}))",
                            "prompt",
                        ),
                        Query(
                            f"sum(rate(llmdeployment_generation_tokens_total{{{CHOSEN}}}{RATE}))",
                            "output",
                        ),
                    ),
                ),
                Panel(
                    "KV cache in use",
                    ask(
                        f"max by (instance) (llmdeployment_kv_cache_usage_ratio{{{CHOSEN}}})",
                        "{{instance}}",
                    ),
                    "percentunit",
                ),
                Panel(
                    "Requests in the engine",
                    (
                        Query(f"sum(llmdeployment_requests_running{{{CHOSEN}}})", "running"),
                        Query(f"sum(llmdeployment_requests_waiting{{{CHOSEN}}})", "waiting"),
                        Query(
                            f"sum(llmdeployment_gateway_held_requests{{{CHOSEN}}})",
                            "held at the gateway",
                        ),
                    ),
                    kind=Kind.STACK,
                ),
                Panel(
                    "Tokens of an answer, mean by revision",
                    ask(
                        divide_rates(
                            "llmdeployment_output_tokens_sum",
                            "llmdeployment_output_tokens_count",
                            "revision",
                        ),
                        "r{{revision}}",
                    ),
                ),
            ),
        ),
        Row(
            "Cost",
            (
                Panel(
                    "Cost per hour",
                    ask(
                        f"sum by (revision, currency) (llmdeployment_cost_per_hour{{{CHOSEN}}})",
                        "r{{revision}} {{currency}}",
                    ),
                    kind=Kind.STACK,
                    note="Needs spec.cost.",
                ),
                Panel(
                    "Cost per 1,000,000 output tokens",
                    (
                        Query(
                            f"namespace_name_revision_currency:{COST_PER_MILLION}{{{CHOSEN}}}",
                            "r{{revision}} {{currency}}",
                        ),
                        Query(
                            f"namespace_name_currency:{COST_PER_MILLION}{{{CHOSEN}}}",
                            "all, idle included {{currency}}",
                        ),
                    ),
                    note="Needs spec.cost. Of the last hour.",
                ),
            ),
        ),
    ),
    ONE,
    (DECISIONS, ROLLOUTS),
)
