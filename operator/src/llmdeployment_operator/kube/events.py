"""The Kubernetes Event that is posted for an Event of the plan."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from llmdeployment_operator.api.types import API_VERSION, KIND
from llmdeployment_operator.plan.base.conditions import format_time
from llmdeployment_operator.plan.base.events import Event
from llmdeployment_operator.plan.base.names import MANAGER
from llmdeployment_operator.plan.base.objects import Object


def build_event(meta: Mapping[str, Any], event: Event, now: datetime) -> Object:
    """Return the object for the API server.

    Args:
        meta: the metadata of the LLMDeployment that it is about.
        event: what it says.
        now: the current time, UTC.
    """
    stamp = format_time(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{meta['name']}.{uuid.uuid4().hex[:12]}",
            "namespace": meta["namespace"],
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
