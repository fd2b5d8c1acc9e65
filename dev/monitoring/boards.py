"""The dashboards, as data."""

from dev.monitoring.panels import (
    CHOSEN,
    DECISIONS,
    NAMESPACE,
    ONE,
    ROLLOUTS,
    Board,
    Kind,
    Panel,
    Query,
    Row,
    ask,
    ask_percentiles,
)

RATE = "[$__rate_interval]"
COST_PER_MILLION = "llmdeployment_cost_per_million_output_tokens:ratio_rate1h"

FLEET = Board(
    "llmdeployment-fleet",
    "LLMDeployments: fleet",
    "Which LLMDeployments are well, how much they do, and what they cost.",
    (
        Row(
            "Now",
            (
                Panel("LLMDeployments by state", ask("sum by (state) (llmdeployment_operator_objects)", "{{state}}"), kind=Kind.NUMBER, width=8, note="Of every namespace."),
                Panel("Not available", ask(f'count(llmdeployment_condition{{{NAMESPACE}, condition="Available", status="False"}} == 1) or vector(0)'), kind=Kind.NUMBER, width=4),
                Panel("Requests per second", ask(f"sum(namespace_name:llmdeployment_gateway_requests:rate5m{{{NAMESPACE}}})"), "reqps", Kind.NUMBER, width=4),
                Panel("Output tokens per second", ask(f"sum(rate(llmdeployment_generation_tokens_total{{{NAMESPACE}}}{RATE}))"), kind=Kind.NUMBER, width=4),
                Panel("Cost per hour", ask(f"sum by (currency) (llmdeployment_cost_per_hour{{{NAMESPACE}}})", "{{currency}}"), kind=Kind.NUMBER, width=4),
                Panel("What is wrong, and why", ask(f'max by (namespace, name, condition, reason) (llmdeployment_condition_reason{{{NAMESPACE}, condition=~"Ready|Available|Accepted", status!="True"}} == 1)'), kind=Kind.TABLE, width=24, note="kubectl llm status says more. The runbooks have a page for each reason."),
            ),
        ),
        Row(
            "Each LLMDeployment",
            (
                Panel("Requests", ask(f"namespace_name:llmdeployment_gateway_requests:rate5m{{{NAMESPACE}}}", "{{namespace}}/{{name}}"), "reqps", Kind.STACK),
                Panel("Share of server errors", ask(f"namespace_name:llmdeployment_gateway_errors:ratio_rate5m{{{NAMESPACE}}}", "{{namespace}}/{{name}}"), "percentunit"),
                Panel("Output tokens", ask(f"sum by (namespace, name) (rate(llmdeployment_generation_tokens_total{{{NAMESPACE}}}{RATE}))", "{{namespace}}/{{name}}"), kind=Kind.STACK),
                Panel("Cost per hour of each", ask(f"sum by (namespace, name, currency) (llmdeployment_cost_per_hour{{{NAMESPACE}}})", "{{namespace}}/{{name}} {{currency}}"), kind=Kind.STACK),
                Panel("Requests that wait", ask(f"sum by (namespace, name) (llmdeployment_requests_waiting{{{NAMESPACE}}})", "{{namespace}}/{{name}}")),
                Panel("Replicas that get requests", ask(f"sum by (namespace, name) (max by (namespace, name, service) (llmdeployment_gateway_servers_up{{{NAMESPACE}}}))", "{{namespace}}/{{name}}")),
            ),
        ),
    ),
    (("namespace", "llmdeployment_condition"),),
)  # fmt: skip

ONE_DEPLOYMENT = Board(
    "llmdeployment-one",
    "LLMDeployment",
    "How one LLMDeployment answers: traffic, latency by revision, tokens, KV cache, queue and cost.",
    (
        Row(
            "Traffic",
            (
                Panel("Requests by arm and revision", ask(f"sum by (arm, revision) (rate(llmdeployment_gateway_requests_total{{{CHOSEN}}}{RATE}))", "{{arm}} r{{revision}}"), "reqps", Kind.STACK),
                Panel("Answers by status code", ask(f"sum by (code) (rate(llmdeployment_gateway_requests_total{{{CHOSEN}}}{RATE}))", "{{code}}"), "reqps", Kind.STACK),
                Panel("Share of server errors", ask(f"namespace_name_arm_revision:llmdeployment_gateway_errors:ratio_rate5m{{{CHOSEN}}}", "{{arm}} r{{revision}}"), "percentunit"),
                Panel("Conditions", ask(f'max by (condition) (llmdeployment_condition{{{CHOSEN}, status="True"}})', "{{condition}}"), kind=Kind.STATES),
            ),
        ),
        Row(
            "Latency by revision",
            (
                Panel("First token", ask_percentiles("llmdeployment_time_to_first_chunk_seconds"), "s", note="Streamed answers only."),
                Panel("Between tokens", ask_percentiles("llmdeployment_inter_chunk_gap_seconds"), "s", note="Streamed answers only."),
                Panel("Whole answer, at the replica", ask_percentiles("llmdeployment_request_seconds"), "s"),
                Panel("Whole answer at the gateway, p90", ask(f"histogram_quantile(0.9, sum by (revision, le) (rate(llmdeployment_gateway_request_seconds_bucket{{{CHOSEN}}}{RATE})))", "r{{revision}}"), "s", note="Waiting for a replica is a part of it."),
            ),
        ),
        Row(
            "Engine",
            (
                Panel("Tokens per second", (Query(f"sum(rate(llmdeployment_prompt_tokens_total{{{CHOSEN}}}{RATE}))", "prompt"), Query(f"sum(rate(llmdeployment_generation_tokens_total{{{CHOSEN}}}{RATE}))", "output"))),
                Panel("KV cache in use", ask(f"max by (instance) (llmdeployment_kv_cache_usage_ratio{{{CHOSEN}}})", "{{instance}}"), "percentunit"),
                Panel("Requests in the engine", (Query(f"sum(llmdeployment_requests_running{{{CHOSEN}}})", "running"), Query(f"sum(llmdeployment_requests_waiting{{{CHOSEN}}})", "waiting"), Query(f"sum(llmdeployment_gateway_held_requests{{{CHOSEN}}})", "held at the gateway")), kind=Kind.STACK),
                Panel("Tokens of an answer, mean by revision", ask(f"sum by (revision) (rate(llmdeployment_output_tokens_sum{{{CHOSEN}}}{RATE})) / sum by (revision) (rate(llmdeployment_output_tokens_count{{{CHOSEN}}}{RATE}))", "r{{revision}}")),
            ),
        ),
        Row(
            "Cost",
            (
                Panel("Cost per hour", ask(f"sum by (revision, currency) (llmdeployment_cost_per_hour{{{CHOSEN}}})", "r{{revision}} {{currency}}"), kind=Kind.STACK, note="Needs spec.cost."),
                Panel("Cost per 1,000,000 output tokens", (Query(f"namespace_name_revision_currency:{COST_PER_MILLION}{{{CHOSEN}}}", "r{{revision}} {{currency}}"), Query(f"namespace_name_currency:{COST_PER_MILLION}{{{CHOSEN}}}", "all, idle included {{currency}}")), note="Needs spec.cost. Of the last hour."),
            ),
        ),
    ),
    ONE,
    (DECISIONS, ROLLOUTS),
)  # fmt: skip

ROLLOUT = Board(
    "llmdeployment-rollout",
    "LLMDeployment: rollout, experiment and drift",
    "How a new revision takes over, how it compares, and whether the one that serves stays as it was.",
    (
        Row(
            "Rollout",
            (
                Panel("Share of the requests by arm and revision", ask(f"max by (arm, revision) (llmdeployment_revision_traffic_ratio{{{CHOSEN}}})", "{{arm}} r{{revision}}"), "percentunit", Kind.STACK),
                Panel("Verdict on the canary", ask(f"max by (arm, revision, verdict) (llmdeployment_canary_verdict{{{CHOSEN}}})", "{{arm}} r{{revision}} {{verdict}}"), kind=Kind.STATES, note="The row with 1 holds."),
                Panel("What a rollout waits for", ask(f'max by (reason) (llmdeployment_condition_reason{{{CHOSEN}, condition="Ready"}})', "{{reason}}"), kind=Kind.STATES),
                Panel("Score in the golden set", ask(f"max by (revision) (llmdeployment_evaluation_score_ratio{{{CHOSEN}}})", "r{{revision}}"), "percentunit"),
                Panel("Share of errors at replicas, by revision", ask(f'(sum by (revision) (rate(llmdeployment_requests_total{{{CHOSEN}, code=~"5.."}}{RATE})) or 0 * sum by (revision) (rate(llmdeployment_requests_total{{{CHOSEN}}}{RATE}))) / sum by (revision) (rate(llmdeployment_requests_total{{{CHOSEN}}}{RATE}))', "r{{revision}}"), "percentunit"),
                Panel("First token, by revision", ask_percentiles("llmdeployment_time_to_first_chunk_seconds"), "s"),
            ),
        ),
        Row(
            "Experiment",
            (
                Panel("Outcome", ask(f"max by (outcome) (llmdeployment_experiment_state{{{CHOSEN}}})", "{{outcome}}"), kind=Kind.STATES),
                Panel("Difference to the control, with its interval", ask(f"max by (arm, metric, bound) (llmdeployment_experiment_difference{{{CHOSEN}}})", "{{arm}} {{metric}} {{bound}}"), "percentunit", note="Above 0 the arm has more bad requests."),
                Panel("Requests and users that were counted", (Query(f"max by (arm, side) (llmdeployment_experiment_requests{{{CHOSEN}}})", "{{arm}} {{side}} requests"), Query(f"max by (arm, side) (llmdeployment_experiment_users{{{CHOSEN}}})", "{{arm}} {{side}} users"))),
                Panel("By how much an arm costs more", ask(f"max by (arm, per) (llmdeployment_experiment_cost_difference{{{CHOSEN}}})", "{{arm}} per {{per}}"), "percentunit"),
                Panel("Mean vote of users, by arm and revision", ask(f"sum by (arm, revision) (rate(llmdeployment_gateway_feedback_score_sum{{{CHOSEN}}}{RATE})) / sum by (arm, revision) (rate(llmdeployment_gateway_feedback_score_count{{{CHOSEN}}}{RATE}))", "{{arm}} r{{revision}}"), "percentunit"),
            ),
        ),
        Row(
            "Drift",
            (
                Panel("Difference to the first window", ask(f"max by (revision, metric) (llmdeployment_drift_difference{{{CHOSEN}}})", "r{{revision}} {{metric}}"), "percentunit"),
                Panel("Bad answers, by revision and share", ask(f"sum by (revision, share) (rate(llmdeployment_output_matches_total{{{CHOSEN}}}{RATE})) / sum by (revision, share) (rate(llmdeployment_output_checked_total{{{CHOSEN}}}{RATE}))", "r{{revision}} {{share}}"), "percentunit"),
            ),
        ),
    ),
    ONE,
    (ROLLOUTS,),
)  # fmt: skip

AUTOSCALING = Board(
    "llmdeployment-autoscaling",
    "LLMDeployment: autoscaling",
    "How many replicas there are and should be, and why each decision was made.",
    (
        Row(
            "Replicas",
            (
                Panel("Desired, ready, and with requests", (Query(f"sum(max by (runtime) (llmdeployment_scaling_desired_replicas{{{CHOSEN}}}))", "desired"), Query(f"sum(max by (service) (llmdeployment_gateway_servers{{{CHOSEN}}}))", "ready"), Query(f"sum(max by (service) (llmdeployment_gateway_servers_up{{{CHOSEN}}}))", "get requests")), width=24),
                Panel("Decisions by reason", ask(f"sum by (reason) (increase(llmdeployment_scaling_decisions_total{{{CHOSEN}}}{RATE}))", "{{reason}}"), kind=Kind.STACK, note="Each is a line in every panel too."),
                Panel("What the condition Scaling says", ask(f'max by (reason) (llmdeployment_condition_reason{{{CHOSEN}, condition="Scaling"}})', "{{reason}}"), kind=Kind.STATES),
            ),
        ),
        Row(
            "Load",
            (
                Panel("Requests per second", ask(f"namespace_name:llmdeployment_gateway_requests:rate5m{{{CHOSEN}}}", "requests"), "reqps"),
                Panel("Requests in each engine", (Query(f"max by (instance) (llmdeployment_requests_running{{{CHOSEN}}})", "{{instance}} running"), Query(f"max by (instance) (llmdeployment_requests_waiting{{{CHOSEN}}})", "{{instance}} waiting"))),
                Panel("Held because no replica is ready", ask(f"sum(llmdeployment_gateway_held_requests{{{CHOSEN}}})", "held")),
                Panel("KV cache in use", ask(f"max by (instance) (llmdeployment_kv_cache_usage_ratio{{{CHOSEN}}})", "{{instance}}"), "percentunit"),
                Panel("First token", ask_percentiles("llmdeployment_time_to_first_chunk_seconds"), "s"),
                Panel("Whole answer", ask_percentiles("llmdeployment_request_seconds"), "s"),
            ),
        ),
    ),
    ONE,
    (DECISIONS,),
)  # fmt: skip

GATEWAY = Board(
    "llmdeployment-gateway",
    "LLMDeployment: gateway",
    "Whether requests reach replicas, and how they end.",
    (
        Row(
            "Requests",
            (
                Panel("Answers by status code", ask(f"sum by (code) (rate(llmdeployment_gateway_requests_total{{{CHOSEN}}}{RATE}))", "{{code}}"), "reqps", Kind.STACK),
                Panel("Answers that were cut off, by who did", ask(f"sum by (by) (rate(llmdeployment_gateway_cut_requests_total{{{CHOSEN}}}{RATE}))", "{{by}}"), "reqps"),
                Panel("Time of a request", tuple(Query(f"histogram_quantile({share}, sum by (le) (rate(llmdeployment_gateway_request_seconds_bucket{{{CHOSEN}}}{RATE})))", f"p{percent}") for percent, share in ((50, 0.5), (90, 0.9), (99, 0.99))), "s"),
                Panel("Held and refused", (Query(f"sum(llmdeployment_gateway_held_requests{{{CHOSEN}}})", "held now"), Query(f"sum(increase(llmdeployment_gateway_refused_requests_total{{{CHOSEN}}}{RATE}))", "refused"))),
            ),
        ),
        Row(
            "Pods",
            (
                Panel("Pods that can take requests", ask(f"sum(llmdeployment_gateway_ready{{{CHOSEN}}})", "ready"), kind=Kind.NUMBER, width=6),
                Panel("Ready replicas that get no requests", ask(f"sum by (service) (llmdeployment_gateway_servers{{{CHOSEN}}} - llmdeployment_gateway_servers_up{{{CHOSEN}}})", "{{service}}"), width=18),
                Panel("Failures of the agent", (Query(f"sum by (instance) (increase(llmdeployment_gateway_steering_failures_total{{{CHOSEN}}}{RATE}))", "{{instance}} HAProxy"), Query(f"sum by (instance) (increase(llmdeployment_gateway_kube_failures_total{{{CHOSEN}}}{RATE}))", "{{instance}} API server"))),
                Panel("Memory of the agent", ask(f'process_resident_memory_bytes{{{CHOSEN}}} and on (instance) llmdeployment_gateway_ready{{{CHOSEN}}}', "{{instance}}"), "bytes"),
            ),
        ),
    ),
    ONE,
)  # fmt: skip

OPERATOR = Board(
    "llmdeployment-operator",
    "LLMDeployment operator",
    "Whether the operator acts, keeps up, and what it takes.",
    (
        Row(
            "Work",
            (
                Panel("Pods that act", ask("sum(llmdeployment_operator_leader)"), kind=Kind.NUMBER, width=4),
                Panel("Watches that are broken", ask("max(llmdeployment_operator_watches_broken)"), kind=Kind.NUMBER, width=4),
                Panel("Version", ask("count by (version) (llmdeployment_operator_build_info)", "{{version}}"), kind=Kind.NUMBER, width=4),
                Panel("LLMDeployments by state", ask("sum by (state) (llmdeployment_operator_objects)", "{{state}}"), kind=Kind.STACK),
                Panel("LLMDeployments that wait for a pass", ask("sum by (instance) (llmdeployment_operator_queue_length)", "{{instance}}")),
                Panel("Passes by result", ask(f"sum by (result) (rate(llmdeployment_operator_reconciles_total{RATE}))", "{{result}}"), "ops"),
                Panel("Duration of a pass", tuple(Query(f"histogram_quantile({share}, sum by (le) (rate(llmdeployment_operator_reconcile_seconds_bucket{RATE})))", f"p{percent}") for percent, share in ((50, 0.5), (99, 0.99))), "s"),
                Panel("Errors by kind", ask(f"sum by (error) (rate(llmdeployment_operator_errors_total{RATE}))", "{{error}}"), "ops"),
                Panel("Writes by verb and kind", ask(f"sum by (verb, kind) (rate(llmdeployment_operator_writes_total{RATE}))", "{{verb}} {{kind}}"), "ops"),
            ),
        ),
        Row(
            "What it takes",
            (
                Panel("Memory", ask("process_resident_memory_bytes and on (instance) llmdeployment_operator_leader", "{{instance}}"), "bytes"),
                Panel("CPU", ask(f"rate(process_cpu_seconds_total{RATE}) and on (instance) llmdeployment_operator_leader", "{{instance}}"), "percentunit", note="1 is one core."),
                Panel("Objects in memory", ask("sum by (instance) (llmdeployment_operator_store_objects)", "{{instance}}")),
                Panel("Open files", ask("process_open_fds and on (instance) llmdeployment_operator_leader", "{{instance}}")),
            ),
        ),
    ),
)  # fmt: skip

BOARDS = (FLEET, ONE_DEPLOYMENT, ROLLOUT, AUTOSCALING, GATEWAY, OPERATOR)
