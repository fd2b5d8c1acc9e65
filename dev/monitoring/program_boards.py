"""The dashboards of the programs: a gateway, and the operator."""

from dev.monitoring.panels import (
    CHOSEN,
    ONE,
    RATE,
    Board,
    Kind,
    Panel,
    Query,
    Row,
    ask,
)

GATEWAY = Board(
    "llmdeployment-gateway",
    "LLMDeployment: gateway",
    "Whether requests reach replicas, and how they end.",
    (
        Row(
            "Requests",
            (
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
                    "Answers that were cut off, by who did",
                    ask(
                        f"sum by (by) (rate(llmdeployment_gateway_cut_requests_total{{{CHOSEN}}}{RATE}))",
                        "{{by}}",
                    ),
                    "reqps",
                ),
                Panel(
                    "Time of a request",
                    tuple(
                        Query(
                            f"histogram_quantile({share}, sum by (le) (rate("
                            f"llmdeployment_gateway_request_seconds_bucket{{{CHOSEN}}}{RATE})))",
                            f"p{percent}",
                        )
                        for percent, share in ((50, 0.5), (90, 0.9), (99, 0.99))
                    ),
                    "s",
                ),
                Panel(
                    "Held and refused",
                    (
                        Query(f"sum(llmdeployment_gateway_held_requests{{{CHOSEN}}})", "held now"),
                        Query(
                            f"sum(increase(llmdeployment_gateway_refused_requests_total{{{CHOSEN}}}{RATE}))",
                            "refused",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Pods",
            (
                Panel(
                    "Pods that can take requests",
                    ask(f"sum(llmdeployment_gateway_ready{{{CHOSEN}}})", "ready"),
                    kind=Kind.NUMBER,
                    width=6,
                ),
                Panel(
                    "Ready replicas that get no requests",
                    ask(
                        f"sum by (service) (llmdeployment_gateway_servers{{{CHOSEN}}} - llmdeployment_gateway_servers_up{{{CHOSEN}}})",
                        "{{service}}",
                    ),
                    width=18,
                ),
                Panel(
                    "Failures of the agent",
                    (
                        Query(
                            f"sum by (instance) (increase(llmdeployment_gateway_steering_failures_total{{{CHOSEN}}}{RATE}))",
                            "{{instance}} HAProxy",
                        ),
                        Query(
                            f"sum by (instance) (increase(llmdeployment_gateway_kube_failures_total{{{CHOSEN}}}{RATE}))",
                            "{{instance}} API server",
                        ),
                    ),
                ),
                Panel(
                    "Memory of the agent",
                    ask(
                        f"process_resident_memory_bytes{{{CHOSEN}}} and on (instance) llmdeployment_gateway_ready{{{CHOSEN}}}",
                        "{{instance}}",
                    ),
                    "bytes",
                ),
            ),
        ),
    ),
    ONE,
)

OPERATOR = Board(
    "llmdeployment-operator",
    "LLMDeployment operator",
    "Whether the operator acts, keeps up, and what it takes.",
    (
        Row(
            "Work",
            (
                Panel(
                    "Pods that act",
                    ask("sum(llmdeployment_operator_leader)"),
                    kind=Kind.NUMBER,
                    width=4,
                ),
                Panel(
                    "Watches that are broken",
                    ask("max(llmdeployment_operator_watches_broken)"),
                    kind=Kind.NUMBER,
                    width=4,
                ),
                Panel(
                    "Version",
                    ask("count by (version) (llmdeployment_operator_build_info)", "{{version}}"),
                    kind=Kind.NUMBER,
                    width=4,
                ),
                Panel(
                    "LLMDeployments by state",
                    ask("sum by (state) (llmdeployment_operator_objects)", "{{state}}"),
                    kind=Kind.STACK,
                ),
                Panel(
                    "LLMDeployments that wait for a pass",
                    ask("sum by (instance) (llmdeployment_operator_queue_length)", "{{instance}}"),
                ),
                Panel(
                    "Passes by result",
                    ask(
                        f"sum by (result) (rate(llmdeployment_operator_reconciles_total{RATE}))",
                        "{{result}}",
                    ),
                    "ops",
                ),
                Panel(
                    "Duration of a pass",
                    tuple(
                        Query(
                            f"histogram_quantile({share}, sum by (le) (rate(llmdeployment_operator_reconcile_seconds_bucket{RATE})))",
                            f"p{percent}",
                        )
                        for percent, share in ((50, 0.5), (99, 0.99))
                    ),
                    "s",
                ),
                Panel(
                    "Errors by kind",
                    ask(
                        f"sum by (error) (rate(llmdeployment_operator_errors_total{RATE}))",
                        "{{error}}",
                    ),
                    "ops",
                ),
                Panel(
                    "Writes by verb and kind",
                    ask(
                        f"sum by (verb, kind) (rate(llmdeployment_operator_writes_total{RATE}))",
                        "{{verb}} {{kind}}",
                    ),
                    "ops",
                ),
                Panel(
                    "Notifications by receiver",
                    (
                        Query(
                            "sum by (receiver, result)"
                            f" (increase(llmdeployment_operator_notifications_total{RATE}))",
                            "{{receiver}} {{result}}",
                        ),
                        Query(
                            "sum by (receiver) (llmdeployment_operator_notifications_waiting)",
                            "{{receiver}} waiting",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "What it takes",
            (
                Panel(
                    "Memory",
                    ask(
                        "process_resident_memory_bytes and on (instance) llmdeployment_operator_leader",
                        "{{instance}}",
                    ),
                    "bytes",
                ),
                Panel(
                    "CPU",
                    ask(
                        f"rate(process_cpu_seconds_total{RATE}) and on (instance) llmdeployment_operator_leader",
                        "{{instance}}",
                    ),
                    "percentunit",
                    note="1 is one core.",
                ),
                Panel(
                    "Objects in memory",
                    ask("sum by (instance) (llmdeployment_operator_store_objects)", "{{instance}}"),
                ),
                Panel(
                    "Open files",
                    ask(
                        "process_open_fds and on (instance) llmdeployment_operator_leader",
                        "{{instance}}",
                    ),
                ),
            ),
        ),
    ),
)
