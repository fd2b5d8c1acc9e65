"""What a replica logs of its requests, and what it needs for it.

A replica is told with its other settings of spec.monitoring, which change in place. Only a claim is a part of its pod: pods that were made
before the claim was named have none, and no pod is replaced for the sake of a log. Their next revision has it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.revisions import Revision
from llmdeployment_operator.plan.base.settings import Settings

_VOLUME = "request-log"
_FOLDER = "/var/log/llmdeployment"
"""Where the serving side looks for the claim (`log_files.MOUNT`)."""


@dataclass(frozen=True)
class RequestLogPlan:
    """What is logged.

    Attributes:
        config: the serving side's `RequestLogConfig`.
        endpoint: base URL of the collector that replicas send lines to; empty without one.
        refused: whether the content is asked for and not allowed.
        lacking: the revisions with requests whose pods have no claim, or another one.
    """

    config: dict[str, Any] = field(default_factory=dict)
    endpoint: str = ""
    refused: bool = False
    lacking: tuple[int, ...] = ()


def plan_request_log(
    deployment: LLMDeployment, settings: Settings, routed: Iterable[Revision]
) -> RequestLogPlan | None:
    """Return what replicas are told to log, or None for nothing.

    Args:
        deployment: whose requests.
        settings: what the operator was installed with; without its leave nobody's content is logged.
        routed: the revisions that get requests.
    """
    spec = deployment.spec.monitoring.request_log
    if spec is None:
        return None
    refused = spec.level == "Content" and not settings.allow_content
    config: dict[str, Any] = {
        "level": "Metadata" if refused else spec.level,
        "samplePercent": spec.sample_percent,
        "sink": spec.sink,
    }
    if spec.redact:
        config["redact"] = [{"name": each.name, "pattern": each.pattern} for each in spec.redact]
    lacking: tuple[int, ...] = ()
    if spec.pvc is not None:
        config |= {"retentionDays": spec.pvc.retention_days, "maxSizeGiB": spec.pvc.max_size_gib}
        mounts = mount_request_log(deployment)
        lacking = tuple(r.number for r in routed if not _has_mount(r.rendering, *mounts))
    endpoint = settings.otlp_endpoint if spec.sink == "OTLP" else ""
    if endpoint:
        config["endpoint"] = endpoint
    return RequestLogPlan(config, endpoint, refused, lacking)


def mount_request_log(deployment: LLMDeployment) -> tuple[list[Object], list[Object]]:
    """Return the volumes of a pod and the mounts of its container for lines on a claim; none for another sink."""
    spec = deployment.spec.monitoring.request_log
    if spec is None or spec.pvc is None:
        return [], []
    mount: Object = {"name": _VOLUME, "mountPath": _FOLDER}
    if spec.pvc.sub_path is not None:
        mount["subPath"] = spec.pvc.sub_path
    claim = {"claimName": spec.pvc.claim_name}
    return [{"name": _VOLUME, "persistentVolumeClaim": claim}], [mount]


def _has_mount(rendering: dict[str, Any], volumes: list[Object], mounts: list[Object]) -> bool:
    """Say whether the pods of a rendering have these volumes and mounts."""
    pod = rendering.get("worker", {}).get("template", {}).get("spec", {})
    container: Object = next((c for c in pod.get("containers", ()) if c.get("name") == "ray"), {})
    return all(each in pod.get("volumes", ()) for each in volumes) and all(
        each in container.get("volumeMounts", ()) for each in mounts
    )
