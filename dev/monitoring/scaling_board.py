"""The dashboard of one LLMDeployment: autoscaling."""

from dev.monitoring.panels import (
    CHOSEN,
    DECISIONS,
    ONE,
    RATE,
    Board,
    Kind,
    Panel,
    Query,
    Row,
    ask,
    ask_percentiles,
)

AUTOSCALING = Board(
    "llmdeployment-autoscaling",
    "LLMDeployment: autoscaling",
    "How many replicas there are and should be, and why each decision was made.",
    (
        Row(
            "Replicas",
            (
                Panel(
                    "Desired, ready, and with requests",
                    (
                        Query(
                            f"sum(max by (runtime) (llmdeployment_scaling_desired_replicas{{{CHOSEN}}}))",
                            "desired",
                        ),
                        Query(
                            f"sum(max by (service) (llmdeployment_gateway_servers{{{CHOSEN}}}))",
                            "ready",
                        ),
                        Query(
                            f"sum(max by (service) (llmdeployment_gateway_servers_up{{{CHOSEN}}}))",
                            "get requests",
                        ),
                    ),
                    width=24,
                ),
                Panel(
                    "Decisions by reason",
                    ask(
                        f"sum by (reason) (increase(llmdeployment_scaling_decisions_total{{{CHOSEN}}}{RATE}))",
                        "{{reason}}",
                    ),
                    kind=Kind.STACK,
                    note="Each is a line in every panel too.",
                ),
                Panel(
                    "What the condition Scaling says",
                    ask(
                        f'max by (reason) (llmdeployment_condition_reason{{{CHOSEN}, condition="Scaling"}})',
                        "{{reason}}",
                    ),
                    kind=Kind.STATES,
                ),
            ),
        ),
        Row(
            "Load",
            (
                Panel(
                    "Requests per second",
                    ask(
                        f"namespace_name:llmdeployment_gateway_requests:rate5m{{{CHOSEN}}}",
                        "requests",
                    ),
                    "reqps",
                ),
                Panel(
                    "Requests in each engine",
                    (
                        Query(
                            f"max by (instance) (llmdeployment_requests_running{{{CHOSEN}}})",
                            "{{instance}} running",
                        ),
                        Query(
                            f"max by (instance) (llmdeployment_requests_waiting{{{CHOSEN}}})",
                            "{{instance}} waiting",
                        ),
                    ),
                ),
                Panel(
                    "Held because no replica is ready",
                    ask(f"sum(llmdeployment_gateway_held_requests{{{CHOSEN}}})", "held"),
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
                    "First token", ask_percentiles("llmdeployment_time_to_first_chunk_seconds"), "s"
                ),
                Panel("Whole answer", ask_percentiles("llmdeployment_request_seconds"), "s"),
            ),
        ),
    ),
    ONE,
    (DECISIONS,),
)
