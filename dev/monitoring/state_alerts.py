"""Alerts on the operator, gateways and replicas, which no reason of a condition tells."""

from dev.monitoring.alert import Alert, Severity
from llmdeployment_operator.plan.base.reasons import HEALS_BY_WAITING, Reason

CRITICAL, WARNING = Severity.CRITICAL, Severity.WARNING
WHO = "LLMDeployment {{ $labels.namespace }}/{{ $labels.name }}"
STATUS = "kubectl llm status {{ $labels.name }} -n {{ $labels.namespace }} says what it waits for."
GATEWAY_LOG = (
    "Read the log of its gateways: kubectl logs -n {{ $labels.namespace }} "
    "-l llmdeployment.dev/name={{ $labels.name }},llmdeployment.dev/component=gateway"
)
WORKER_LOG = GATEWAY_LOG.replace("gateways", "replicas").replace("=gateway", "=worker")
OPERATOR_LOG = (
    "Read the operator's log: kubectl logs -n {{ $labels.namespace }} "
    "-l app.kubernetes.io/name=llmdeployment-operator"
)
STARTS = sorted(
    reason.value
    for reason in HEALS_BY_WAITING
    if reason.value.startswith(("Starting", "Fetching", "Loading"))
)
ERRORS_PERCENT, CUTS_PERCENT, PASSES_PERCENT = 5, 1, 10

OPERATOR = (
    Alert(
        "OperatorAbsent",
        "absent(llmdeployment_operator_leader)",
        5,
        CRITICAL,
        "No operator is scraped.",
        "kubectl get pods -A -l app.kubernetes.io/name=llmdeployment-operator lists its pods.",
    ),
    Alert(
        "OperatorNotLeading",
        "max by (namespace, job) (llmdeployment_operator_leader) == 0",
        5,
        CRITICAL,
        "Pods of the operator in {{ $labels.namespace }} run, and none of them acts.",
        OPERATOR_LOG,
    ),
    Alert(
        "OperatorQueueStuck",
        "(min by (namespace, job) (min_over_time(llmdeployment_operator_queue_length[5m])"
        " and llmdeployment_operator_leader == 1) > 0)"
        " unless (sum by (namespace, job) (rate(llmdeployment_operator_reconciles_total[5m])) > 0)",
        10,
        CRITICAL,
        "LLMDeployments wait for the operator in {{ $labels.namespace }}, and it makes no pass.",
        OPERATOR_LOG,
    ),
    Alert(
        "OperatorPassesFail",
        "sum by (namespace, job)"
        ' (rate(llmdeployment_operator_reconciles_total{result="error"}[10m]))'
        " / sum by (namespace, job) (rate(llmdeployment_operator_reconciles_total[10m]))"
        f" > {PASSES_PERCENT / 100}",
        15,
        WARNING,
        f"More than {PASSES_PERCENT} % of the operator's passes in {{{{ $labels.namespace }}}} fail.",
        OPERATOR_LOG,
    ),
    Alert(
        "OperatorWatchesBroken",
        "max by (namespace, job) (llmdeployment_operator_watches_broken) > 0",
        10,
        WARNING,
        "The operator in {{ $labels.namespace }} cannot watch some kinds or namespaces.",
        OPERATOR_LOG,
    ),
    Alert(
        "NotificationsFail",
        "(sum by (namespace, job, receiver) (increase("
        'llmdeployment_operator_notifications_total{result=~"failed|dropped"}[1h])) > 0)'
        " or (sum by (namespace, job, receiver)"
        " (min_over_time(llmdeployment_operator_notifications_waiting[10m])) > 0)",
        1,
        WARNING,
        "The receiver {{ $labels.receiver }} does not take notifications of the operator in {{ $labels.namespace }}.",
        OPERATOR_LOG,
    ),
)

GATEWAY = (
    Alert(
        "GatewayErrors",
        f"namespace_name:llmdeployment_gateway_errors:ratio_rate5m > {ERRORS_PERCENT / 100}",
        5,
        CRITICAL,
        f"More than {ERRORS_PERCENT} % of the requests to {WHO} end with a server error.",
        GATEWAY_LOG,
    ),
    Alert(
        "GatewayRefuses",
        "sum by (namespace, name) (rate(llmdeployment_gateway_refused_requests_total[5m])) > 0",
        5,
        CRITICAL,
        f"The gateway of {WHO} refuses requests that no replica is ready for.",
        STATUS,
    ),
    Alert(
        "GatewayCuts",
        'sum by (namespace, name) (rate(llmdeployment_gateway_cut_requests_total{by="replica"}[10m]))'
        " / sum by (namespace, name) (rate(llmdeployment_gateway_requests_total[10m]))"
        f" > {CUTS_PERCENT / 100}",
        10,
        WARNING,
        f"Replicas of {WHO} cut more than {CUTS_PERCENT} % of their answers off.",
        WORKER_LOG,
    ),
    Alert(
        "GatewayHolds",
        "sum by (namespace, name) (min_over_time(llmdeployment_gateway_held_requests[5m])) > 0",
        5,
        WARNING,
        f"Requests to {WHO} have waited for a ready replica for 10 minutes.",
        STATUS,
    ),
    Alert(
        "GatewayNotReady",
        "max by (namespace, name) (llmdeployment_gateway_ready) == 0",
        5,
        CRITICAL,
        f"No gateway pod of {WHO} can take requests.",
        GATEWAY_LOG,
    ),
    Alert(
        "GatewaySteeringFails",
        "sum by (namespace, name) (rate(llmdeployment_gateway_steering_failures_total[10m])) > 0.05"
        " or sum by (namespace, name) (rate(llmdeployment_gateway_kube_failures_total[10m])) > 0.05",
        10,
        WARNING,
        f"A gateway of {WHO} cannot follow changes: HAProxy or the API server does not answer it.",
        GATEWAY_LOG,
    ),
)

REPLICA = (
    Alert(
        "Unavailable",
        "max by (namespace, name) (llmdeployment_condition_reason{"
        f'condition="Available", status="False", reason!="{Reason.SCALED_TO_ZERO.value}"}}) == 1'
        " and on (namespace, name) max by (namespace, name) (max_over_time("
        'llmdeployment_condition{condition="Available", status="True"}[1d])) == 1',
        5,
        CRITICAL,
        f"{WHO} answered requests within the last day, and does not now.",
        STATUS,
    ),
    Alert(
        "StartsForLong",
        "max by (namespace, name) (llmdeployment_condition_reason{"
        f'condition="Ready", status="False", reason=~"{"|".join(STARTS)}"}}) == 1',
        60,
        WARNING,
        f"{WHO} has been starting for an hour.",
        STATUS,
    ),
    Alert(
        "ReplicasUnreached",
        "max by (namespace, name, service) (llmdeployment_gateway_servers)"
        " - min by (namespace, name, service) (llmdeployment_gateway_servers_up) > 0",
        10,
        WARNING,
        f"A gateway of {WHO} sends nothing to some ready replicas of {{{{ $labels.service }}}}.",
        GATEWAY_LOG,
    ),
    Alert(
        "ReplicaWithoutAnswers",
        # Not of an API elsewhere, which may count no tokens.
        "sum by (namespace, name, instance)"
        ' (min_over_time(llmdeployment_requests_running{engine!="external"}[10m])) > 0'
        " unless sum by (namespace, name, instance)"
        " (rate(llmdeployment_generation_tokens_total[10m])) > 0",
        5,
        CRITICAL,
        f"A replica of {WHO} has requests and generates nothing ({{{{ $labels.instance }}}}).",
        WORKER_LOG,
    ),
    Alert(
        "EngineRestarts",
        "sum by (namespace, name) (increase(llmdeployment_engine_restarts_total[1h])) > 2",
        1,
        WARNING,
        f"Engines of {WHO} stopped more than twice within an hour.",
        WORKER_LOG,
    ),
)
