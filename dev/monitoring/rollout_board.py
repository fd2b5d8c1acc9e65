"""The dashboard of one LLMDeployment: rollout, experiment and drift."""

from dev.monitoring.panels import (
    CHOSEN,
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

REQUESTS = "llmdeployment_requests_total"

ROLLOUT = Board(
    "llmdeployment-rollout",
    "LLMDeployment: rollout, experiment and drift",
    "How a new revision takes over, how it compares, and whether the one that serves stays as it was.",
    (
        Row(
            "Rollout",
            (
                Panel(
                    "Share of the requests by arm and revision",
                    ask(
                        f"max by (arm, revision) (llmdeployment_revision_traffic_ratio{{{CHOSEN}}})",
                        "{{arm}} r{{revision}}",
                    ),
                    "percentunit",
                    Kind.STACK,
                ),
                Panel(
                    "Verdict on the canary",
                    ask(
                        f"max by (arm, revision, verdict) (llmdeployment_canary_verdict{{{CHOSEN}}})",
                        "{{arm}} r{{revision}} {{verdict}}",
                    ),
                    kind=Kind.STATES,
                    note="The row with 1 holds.",
                ),
                Panel(
                    "What a rollout waits for",
                    ask(
                        f'max by (reason) (llmdeployment_condition_reason{{{CHOSEN}, condition="Ready"}})',
                        "{{reason}}",
                    ),
                    kind=Kind.STATES,
                ),
                Panel(
                    "Score in the golden set",
                    ask(
                        f"max by (revision) (llmdeployment_evaluation_score_ratio{{{CHOSEN}}})",
                        "r{{revision}}",
                    ),
                    "percentunit",
                ),
                Panel(
                    "Share of errors at replicas, by revision",
                    ask(
                        f'(sum by (revision) (rate({REQUESTS}{{{CHOSEN}, code=~"5.."}}{RATE}))'
                        f" or 0 * sum by (revision) (rate({REQUESTS}{{{CHOSEN}}}{RATE})))"
                        f" / sum by (revision) (rate({REQUESTS}{{{CHOSEN}}}{RATE}))",
                        "r{{revision}}",
                    ),
                    "percentunit",
                ),
                Panel(
                    "First token, by revision",
                    ask_percentiles("llmdeployment_time_to_first_chunk_seconds"),
                    "s",
                ),
            ),
        ),
        Row(
            "Experiment",
            (
                Panel(
                    "Outcome",
                    ask(
                        f"max by (outcome) (llmdeployment_experiment_state{{{CHOSEN}}})",
                        "{{outcome}}",
                    ),
                    kind=Kind.STATES,
                ),
                Panel(
                    "Difference to the control, with its interval",
                    ask(
                        f"max by (arm, metric, bound) (llmdeployment_experiment_difference{{{CHOSEN}}})",
                        "{{arm}} {{metric}} {{bound}}",
                    ),
                    "percentunit",
                    note="Above 0 the arm has more bad requests.",
                ),
                Panel(
                    "Requests and users that were counted",
                    (
                        Query(
                            f"max by (arm, side) (llmdeployment_experiment_requests{{{CHOSEN}}})",
                            "{{arm}} {{side}} requests",
                        ),
                        Query(
                            f"max by (arm, side) (llmdeployment_experiment_users{{{CHOSEN}}})",
                            "{{arm}} {{side}} users",
                        ),
                    ),
                ),
                Panel(
                    "By how much an arm costs more",
                    ask(
                        f"max by (arm, per) (llmdeployment_experiment_cost_difference{{{CHOSEN}}})",
                        "{{arm}} per {{per}}",
                    ),
                    "percentunit",
                ),
                Panel(
                    "Mean vote of users, by arm and revision",
                    ask(
                        divide_rates(
                            "llmdeployment_gateway_feedback_score_sum",
                            "llmdeployment_gateway_feedback_score_count",
                            "arm, revision",
                        ),
                        "{{arm}} r{{revision}}",
                    ),
                    "percentunit",
                ),
            ),
        ),
        Row(
            "Drift",
            (
                Panel(
                    "Difference to the first window",
                    ask(
                        f"max by (revision, metric) (llmdeployment_drift_difference{{{CHOSEN}}})",
                        "r{{revision}} {{metric}}",
                    ),
                    "percentunit",
                ),
                Panel(
                    "Bad answers, by revision and share",
                    ask(
                        divide_rates(
                            "llmdeployment_output_matches_total",
                            "llmdeployment_output_checked_total",
                            "revision, share",
                        ),
                        "r{{revision}} {{share}}",
                    ),
                    "percentunit",
                ),
            ),
        ),
    ),
    ONE,
    (ROLLOUTS,),
)
