"""The condition RequestLog: whether the lines that the spec asks for are written."""

from collections.abc import Mapping

from llmdeployment_operator.api.request_log import RequestLogSpec
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.conditions import Condition
from llmdeployment_operator.plan.base.reasons import Reason
from llmdeployment_operator.plan.base.request_log import RequestLogPlan
from llmdeployment_operator.plan.base.sentences import join_sentences
from llmdeployment_operator.plan.observed.request_log import RequestLogReport

LOG_SECONDS = 60.0
"""How often replicas are asked for the lines that they dropped."""
CONDITION = "RequestLog"
_WHAT = {"Metadata": ("Metadata", "goes"), "Content": ("Prompts, answers and metadata", "go")}
_SINKS = {
    "Stdout": "standard output of the replicas' pods",
    "OTLP": "the collector",
    "PVC": "the claim",
}
_WHY = {
    "queue": "the sink is slower than the requests",
    "full": "the claim is full. Make it larger, or lower spec.monitoring.requestLog.pvc.maxSizeGiB",
    "missing": "there is nothing to write to",
    "failed": "a write is refused. The replica's log says why",
    "collector": "the collector does not take them. Check that it runs and can be reached",
}
NOT_ALLOWED = (
    "spec.monitoring.requestLog.level is Content, which the chart value requestLog.allowContent does not allow. Metadata is logged. "
    "Set level to Metadata, or ask whoever installed the operator"
)
_NO_COLLECTOR = (
    "spec.monitoring.requestLog.sink is OTLP, and the chart value telemetry.otlpEndpoint is empty, so nothing is logged. "
    "Set it, or choose another sink"
)


def check_request_log(
    deployment: LLMDeployment,
    plan: RequestLogPlan | None,
    reports: Mapping[str, RequestLogReport],
) -> Condition | None:
    """Return the condition, or None without a request log.

    Args:
        deployment: whose requests.
        plan: what its replicas are told to log.
        reports: what replicas say, by pod.
    """
    spec = deployment.spec.monitoring.request_log
    if spec is None or plan is None:
        return None
    if (lack := _describe_lack(spec, plan)) is not None:
        return _build(False, Reason.LOG_SINK_MISSING, lack)
    if failing := {pod: each for pod, each in reports.items() if each.failing}:
        return _build(False, Reason.LOG_LINES_DROPPED, _describe_drops(failing))
    if plan.refused:
        return _build(False, Reason.CONTENT_NOT_ALLOWED, NOT_ALLOWED)
    if not reports:
        text = "No replica says whether it logs. It is not ready, or its image is older than this field"
        return _build(None, Reason.LOG_UNKNOWN, text)
    what, go = _WHAT[spec.level]
    share = "" if spec.sample_percent == 100 else f" of {spec.sample_percent} % of the requests"  # noqa: PLR2004  # because it is all of them
    return _build(True, Reason.LOG_WRITTEN, f"{what}{share} {go} to {_SINKS[spec.sink]}")


def _build(status: bool | None, reason: Reason, *parts: str) -> Condition:  # noqa: FBT001  # because a condition has a status
    return Condition(CONDITION, status, reason, join_sentences(*parts))


def _describe_lack(spec: RequestLogSpec, plan: RequestLogPlan) -> str | None:
    if spec.sink == "OTLP" and not plan.endpoint:
        return _NO_COLLECTOR
    if spec.pvc is None or not plan.lacking:
        return None
    numbers = ", ".join(str(number) for number in plan.lacking)
    return (
        f"The pods of revision {numbers} do not mount claim {spec.pvc.claim_name}, because they are older than "
        "spec.monitoring.requestLog.pvc. Their lines are dropped until their next revision. Change an annotation in "
        "spec.podTemplate.metadata.annotations to make one"
    )


def _describe_drops(failing: Mapping[str, RequestLogReport]) -> str:
    """Return which replicas dropped lines, and why. How many is in the metrics: a number that grows would be a write at each look."""
    pod = min(failing, key=lambda name: (-failing[name].dropped, name))
    others = f" and {len(failing) - 1} more" if len(failing) > 1 else ""
    return f"Replica {pod}{others} dropped lines of the request log: {_WHY[failing[pod].failing]}"
