"""How replicas learn of spec.monitoring: its patterns, its traces and its request log.

Replicas under Ray get them with their user config. Pods of an API elsewhere have no Ray: they read a ConfigMap, which is mounted and
optional, so that a change needs no other pods.
"""

import json
from typing import Any

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.request_log import RequestLogPlan
from llmdeployment_operator.plan.base.telemetry import render_traces

TELEMETRY = frozenset({"traces", "requestLog"})
"""Fields that replicas of an older release do not know."""
_VOLUME = "monitoring"
_FOLDER = "/etc/llmdeployment/monitoring"
_FILE = "monitoring.json"


def render_monitoring(
    deployment: LLMDeployment, request_log: RequestLogPlan | None = None
) -> dict[str, Any]:
    """Return the serving side's `MonitoringConfig`, only with what is wanted, since replicas of an older image refuse other fields."""
    found: dict[str, Any] = {}
    if patterns := deployment.spec.monitoring.output_patterns:
        found["outputPatterns"] = [{"name": p.name, "pattern": p.pattern} for p in patterns]
    if traces := render_traces(deployment):
        found["traces"] = traces
    if request_log is not None:
        found["requestLog"] = request_log.config
    return found


def build_patterns_config_map(
    deployment: LLMDeployment, request_log: RequestLogPlan | None = None
) -> Object | None:
    """Return the ConfigMap that pods of an API elsewhere read, or None if they have nothing to learn."""
    monitoring = render_monitoring(deployment, request_log)
    if not monitoring:
        return None
    name = deployment.metadata.name
    labels = names.labels(name, component="worker")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": names.patterns_name(name), "labels": labels},
        "data": {_FILE: json.dumps(monitoring, ensure_ascii=False, sort_keys=True)},
    }


def mount_patterns(deployment: str) -> tuple[Object, Object, Object]:
    """Return the volume, its mount and the variable with the file's path, for pods of an API elsewhere."""
    source = {"name": names.patterns_name(deployment), "optional": True}
    return (
        {"name": _VOLUME, "configMap": source},
        {"name": _VOLUME, "mountPath": _FOLDER, "readOnly": True},
        {"name": "LLMD_MONITORING", "value": f"{_FOLDER}/{_FILE}"},
    )
