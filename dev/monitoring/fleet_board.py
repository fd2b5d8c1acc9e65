"""The dashboard of all LLMDeployments."""

from dev.monitoring.panels import (
    NAMESPACE,
    RATE,
    Board,
    Kind,
    Panel,
    Row,
    ask,
)

FLEET = Board(
    "llmdeployment-fleet",
    "LLMDeployments: fleet",
    "Which LLMDeployments are well, how much they do, and what they cost.",
    (
        Row(
            "Now",
            (
                Panel(
                    "LLMDeployments by state",
                    ask("sum by (state) (llmdeployment_operator_objects)", "{{state}}"),
                    kind=Kind.NUMBER,
                    width=8,
                    note="Of every namespace.",
                ),
                Panel(
                    "Not available",
                    ask(
                        f'count(llmdeployment_condition{{{NAMESPACE}, condition="Available", status="False"}} == 1) or vector(0)'
                    ),
                    kind=Kind.NUMBER,
                    width=4,
                ),
                Panel(
                    "Requests per second",
                    ask(
                        f"sum(namespace_name:llmdeployment_gateway_requests:rate5m{{{NAMESPACE}}})"
                    ),
                    "reqps",
                    Kind.NUMBER,
                    width=4,
                ),
                Panel(
                    "Output tokens per second",
                    ask(f"sum(rate(llmdeployment_generation_tokens_total{{{NAMESPACE}}}{RATE}))"),
                    kind=Kind.NUMBER,
                    width=4,
                ),
                Panel(
                    "Cost per hour",
                    ask(
                        f"sum by (currency) (llmdeployment_cost_per_hour{{{NAMESPACE}}})",
                        "{{currency}}",
                    ),
                    kind=Kind.NUMBER,
                    width=4,
                ),
                Panel(
                    "What is wrong, and why",
                    ask(
                        "max by (namespace, name, condition, reason) (llmdeployment_condition_reason"
                        f'{{{NAMESPACE}, condition=~"Ready|Available|Accepted", status!="True"}} == 1)'
                    ),
                    kind=Kind.TABLE,
                    width=24,
                    note="kubectl llm status says more. The runbooks have a page for each reason.",
                ),
            ),
        ),
        Row(
            "Each LLMDeployment",
            (
                Panel(
                    "Requests",
                    ask(
                        f"namespace_name:llmdeployment_gateway_requests:rate5m{{{NAMESPACE}}}",
                        "{{namespace}}/{{name}}",
                    ),
                    "reqps",
                    Kind.STACK,
                ),
                Panel(
                    "Share of server errors",
                    ask(
                        f"namespace_name:llmdeployment_gateway_errors:ratio_rate5m{{{NAMESPACE}}}",
                        "{{namespace}}/{{name}}",
                    ),
                    "percentunit",
                ),
                Panel(
                    "Output tokens",
                    ask(
                        f"sum by (namespace, name) (rate(llmdeployment_generation_tokens_total{{{NAMESPACE}}}{RATE}))",
                        "{{namespace}}/{{name}}",
                    ),
                    kind=Kind.STACK,
                ),
                Panel(
                    "Cost per hour of each",
                    ask(
                        f"sum by (namespace, name, currency) (llmdeployment_cost_per_hour{{{NAMESPACE}}})",
                        "{{namespace}}/{{name}} {{currency}}",
                    ),
                    kind=Kind.STACK,
                ),
                Panel(
                    "Requests that wait",
                    ask(
                        f"sum by (namespace, name) (llmdeployment_requests_waiting{{{NAMESPACE}}})",
                        "{{namespace}}/{{name}}",
                    ),
                ),
                Panel(
                    "Replicas that get requests",
                    ask(
                        f"sum by (namespace, name) (max by (namespace, name, service) (llmdeployment_gateway_servers_up{{{NAMESPACE}}}))",
                        "{{namespace}}/{{name}}",
                    ),
                ),
            ),
        ),
    ),
    (("namespace", "llmdeployment_condition"),),
)
