"""An alert for each reason of a condition that needs a person."""

from dataclasses import dataclass

from dev.monitoring.alert import Alert, Severity
from llmdeployment_operator.plan.base.reasons import Reason

INFO, WARNING = Severity.INFO, Severity.WARNING
TROUBLE = 'condition=~"Accepted|Degraded"'
"""The conditions that have the reason of what does not heal by waiting: Accepted where the spec is refused, else Degraded. The operator
calls a missing node Degraded after 15 minutes only, so the alert needs no such wait of its own."""
AVAILABLE = 'condition="Available", status="Unknown"'
SCALING = 'condition="Scaling"'
DRIFTING = 'condition="Drifting"'
BUDGET = 'condition="BudgetExceeded"'
EXPERIMENT = 'condition="Experimenting"'
REQUEST_LOG = 'condition="RequestLog"'
READY = 'condition="Ready", status="False"'
HOUR, DAY = 60, 24 * 60


@dataclass(frozen=True)
class ReasonRow:
    """A reason that needs a person.

    Attributes:
        what: what is wrong, as the end of a sentence that begins with the LLMDeployment.
        minutes: how long it must last.
        severity: how soon somebody must act.
        condition: matchers of the conditions that have it.
    """

    what: str
    minutes: int = 5
    severity: Severity = WARNING
    condition: str = TROUBLE


ROWS = {
    Reason.INVALID_SPEC: ReasonRow("has a spec that the operator cannot act on"),
    Reason.NOT_OWNED: ReasonRow("needs the name of an object that belongs to somebody else"),
    Reason.API_ERROR: ReasonRow("cannot be changed: the API server refuses or does not answer", 10),
    Reason.OPERATOR_ERROR: ReasonRow("makes the operator fail", 10),
    Reason.SECRET_MISSING: ReasonRow("refers to a Secret that does not exist"),
    Reason.CONFIG_MAP_MISSING: ReasonRow("refers to a ConfigMap that does not exist"),
    Reason.WAITING_FOR_GPU: ReasonRow("has waited for a free accelerator for 15 minutes", 1),
    Reason.UNSCHEDULABLE: ReasonRow("has a pod that has fitted no node for 15 minutes", 1),
    Reason.FAILED_CREATE: ReasonRow("is not allowed to make a pod"),
    Reason.VOLUME_MISSING: ReasonRow("needs a PersistentVolumeClaim that is missing or not bound"),
    Reason.IMAGE_PULL_FAILED: ReasonRow("has an image that a node cannot pull"),
    Reason.POD_CONFIG_ERROR: ReasonRow("has a pod that refers to something that is missing"),
    Reason.MODEL_UNAVAILABLE: ReasonRow("has a model that cannot be downloaded"),
    Reason.CRASH_LOOP: ReasonRow("has a container that ends again and again"),
    Reason.OUT_OF_MEMORY: ReasonRow("has a container that was killed at its memory limit"),
    Reason.ENGINE_FAILED: ReasonRow("has a replica that cannot start its engine"),
    Reason.SELF_TEST_FAILED: ReasonRow("has a replica that computes wrongly", 1),
    Reason.ADAPTER_FAILED: ReasonRow("has an adapter that replicas cannot load"),
    Reason.GATEWAY_SILENT: ReasonRow(
        "has a gateway that does not answer the operator", condition=AVAILABLE
    ),
    Reason.ROUTE_NOT_ACCEPTED: ReasonRow("has an HTTPRoute that no Gateway accepts"),
    Reason.CRD_MISSING: ReasonRow("needs a kind that the cluster does not know"),
    Reason.CANARY_PAUSED: ReasonRow(
        "has a rollout that has waited for a person for a day", DAY, INFO, READY
    ),
    Reason.ROLLED_BACK: ReasonRow("rolled its newest revision back", 1),
    Reason.TOO_MANY_REPLICAS: ReasonRow(
        "needs more replicas than spec.scaling.maxReplicas allows", 15, condition=SCALING
    ),
    Reason.METRICS_UNAVAILABLE: ReasonRow(
        "has a replica without valid metrics, which blocks scale-down", 15, condition=SCALING
    ),
    Reason.TARGET_OUT_OF_REACH: ReasonRow(
        "misses a latency target that more replicas would not meet", 15, condition=SCALING
    ),
    Reason.SCORE_FELL: ReasonRow("answers its golden set worse than at first", condition=DRIFTING),
    Reason.DIFFERS_FROM_FIRST: ReasonRow(
        "has prompts or answers that differ from those of its first window", condition=DRIFTING
    ),
    Reason.DRIFT_UNKNOWN: ReasonRow(
        "cannot be compared with its first answers for a day", DAY, INFO, DRIFTING
    ),
    Reason.NEAR_BUDGET: ReasonRow("has spent 80 % of the month's budget", 5, INFO, BUDGET),
    Reason.OVER_BUDGET: ReasonRow("has spent all of the month's budget", condition=BUDGET),
    Reason.LOG_SINK_MISSING: ReasonRow(
        "has nothing to write its request log to", 15, condition=REQUEST_LOG
    ),
    Reason.LOG_LINES_DROPPED: ReasonRow("drops lines of its request log", condition=REQUEST_LOG),
    Reason.CONTENT_NOT_ALLOWED: ReasonRow(
        "asks for the content of requests in its log, which is not allowed", 15, INFO, REQUEST_LOG
    ),
    Reason.EXPERIMENT_CONCLUDED: ReasonRow(
        "has an experiment that ended with an answer", HOUR, INFO, EXPERIMENT
    ),
    Reason.EXPERIMENT_TIMED_OUT: ReasonRow(
        "has an experiment that ended without an answer", HOUR, INFO, EXPERIMENT
    ),
}
"""The reasons that need a person."""

NEEDS_NOBODY = {
    Reason.ACCEPTED: "nothing is wrong",
    Reason.SERVING: "nothing is wrong",
    Reason.AS_EXPECTED: "nothing is wrong",
    Reason.NO_DRIFT: "nothing is wrong",
    Reason.WITHIN_BUDGET: "nothing is wrong",
    Reason.LOG_WRITTEN: "nothing is wrong",
    Reason.LOG_UNKNOWN: "replicas that are not ready have conditions of their own",
    Reason.SCALING_ACTIVE: "nothing is wrong",
    Reason.TOO_FEW_REPLICAS: "somebody set the minimum, and requests are served",
    Reason.PAUSED: "somebody set spec.paused",
    Reason.SCALED_TO_ZERO: "somebody asked for it, or a request brings a replica back",
    Reason.EXPERIMENT_RUNNING: "it goes on by itself",
    Reason.EXPERIMENT_WAITING: "it goes on by itself",
    Reason.FIRST_WINDOW: "it goes on by itself",
}
"""The reasons that need nobody although the operator does not count them as waiting, and why."""


def list_reason_alerts() -> list[Alert]:
    """Return the alerts in the order of the table."""
    return [_build_alert(reason, row) for reason, row in ROWS.items()]


def _build_alert(reason: Reason, row: ReasonRow) -> Alert:
    who = "{{ $labels.namespace }}/{{ $labels.name }}"
    expression = (
        "max by (namespace, name) "
        f'(llmdeployment_condition_reason{{{row.condition}, reason="{reason.value}"}}) == 1'
    )
    if reason is Reason.SELF_TEST_FAILED:
        # why: a replica that was replaced computes well, and its node may still not.
        failed = (
            "sum by (namespace, name) (increase(llmdeployment_self_tests_failed_total[1h])) > 0"
        )
        expression = f"({expression}) or ({failed})"
    return Alert(
        reason.value,
        expression,
        row.minutes,
        row.severity,
        f"LLMDeployment {who} {row.what}.",
        "The message of its conditions says more: "
        "kubectl describe llm {{ $labels.name }} -n {{ $labels.namespace }}",
    )
