"""From `spec.scaling` to the policy and the schedules that the autoscaler keeps."""

from llmdeployment_operator.api.rollout import parse_seconds
from llmdeployment_operator.api.scaling import ScalingSpec
from llmdeployment_operator.autoscaler.schedules import Schedule
from llmdeployment_operator.autoscaler.types import METRICS, ScalingPolicy, Target


def read_policy(spec: ScalingSpec) -> ScalingPolicy:
    """Return what the law is to keep, for all requests.

    >>> from llmdeployment_operator.api.scaling import TargetsSpec, TargetSpec
    >>> read_policy(ScalingSpec(min_replicas=0, max_replicas=4, targets=TargetsSpec(ttft=TargetSpec(milliseconds=500))))
    ScalingPolicy(minimum=0, maximum=4, targets=(Target(metric='ttft', percentile=90, seconds=0.5),), scale_to_zero_after=300.0)
    """
    promised = ((metric, getattr(spec.targets, metric)) for metric in METRICS)
    targets = tuple(
        Target(metric, each.percentile, each.milliseconds / 1000)
        for metric, each in promised
        if each is not None
    )
    return ScalingPolicy(spec.min_replicas, spec.max_replicas, targets, spec.idle_seconds)


def read_schedules(spec: ScalingSpec) -> tuple[Schedule, ...]:
    """Return the windows of time that raise the minimum."""
    return tuple(
        Schedule(
            each.schedule, float(parse_seconds(each.duration)), each.min_replicas, each.time_zone
        )
        for each in spec.schedules
    )
