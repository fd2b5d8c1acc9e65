"""Runtimes of an API somewhere else: no Ray and no head, only worker pods that pass requests on.

Their names start with `x`, which no hexadecimal digit is, so that whoever sees a name knows what to expect of it. Without Ray nobody brings
such a pod another prompt, and the pod is cheap: another prompt is another runtime.
"""

import json
from collections.abc import Mapping
from typing import Any

from llmdeployment_operator.api.engine import EngineSpec
from llmdeployment_operator.api.external import NAME, SCHEME
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.drift import digest
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.pods import (
    Capacity,
    check_pods,
    is_ready,
    is_terminating,
    read_time,
)
from llmdeployment_operator.plan.base.reasons import Finding, Reason

_MARK = "x"
_RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "2Gi"}}
"""The limit has room for 256 MiB of bodies, which take several times as much once they are parsed."""


def is_external(runtime: str) -> bool:
    """Say whether a runtime is one of an API elsewhere.

    >>> is_external("x1a2b3c4"), is_external("e1a2b3c4")
    (True, False)
    """
    return runtime.startswith(_MARK)


def name_external_runtime(template: dict[str, Any]) -> str | None:
    """Return the name of the runtime of a template whose engine is external, else None."""
    if template.get("engine", {}).get("name") != NAME:
        return None
    return _MARK + digest(template, 7)


def build_external_config(deployment: LLMDeployment) -> dict[str, Any]:
    """Return the `ServingConfig` of a pod of an external engine."""
    spec = deployment.spec
    external = spec.engine.external
    if external is None:
        raise ValueError("spec.engine.external is missing")
    prompt = spec.prompt.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude_defaults=True
    )
    taken = spec.engine.max_ongoing_requests
    # Written only when it is not the replica's own default: the text of older pods must stay what it is.
    ongoing = {} if taken == EngineSpec().max_ongoing_requests else {"maxOngoingRequests": taken}
    return {
        **ongoing,
        "servedName": spec.model.served_name or deployment.metadata.name,
        "engine": {
            "name": NAME,
            "external": {
                "baseURL": external.base_url,
                "model": spec.model.source.removeprefix(SCHEME),
                "timeoutSeconds": external.timeout_seconds,
                "prompt": prompt,
            },
        },
    }


def build_proxy_container(deployment: LLMDeployment) -> dict[str, Any]:
    """Return what is the proxy's own of its container."""
    external = deployment.spec.engine.external
    config = json.dumps(build_external_config(deployment), ensure_ascii=False, sort_keys=True)
    env: list[dict[str, Any]] = [
        {"name": "HOME", "value": "/tmp"},  # noqa: S108  # because it is the pod's own emptyDir
        # Kubernetes would put a variable's value in the place of `$(NAME)`, and a prompt may hold such.
        {"name": "LLMD_SERVING_CONFIG", "value": config.replace("$", "\\u0024")},
    ]
    if external is not None and (ref := external.api_key_secret_ref) is not None:
        source = {"secretKeyRef": {"name": ref.name, "key": ref.key}}
        env.append({"name": "LLMD_EXTERNAL_API_KEY", "valueFrom": source})
    env += [
        entry.model_dump(mode="json", by_alias=True, exclude_none=True)
        for entry in deployment.spec.engine.env
    ]
    resources = deployment.spec.resources.model_dump(mode="json", exclude_none=True)
    return {"args": ["external"], "env": env, "resources": resources or _RESOURCES}


def check_external(
    pods: list[Object], capacity: Mapping[str, Capacity], ready: int, replicas: int
) -> Finding:
    """Return what an external runtime still lacks to answer with all its replicas."""
    if (found := check_pods(pods, capacity)) is not None:
        return found
    starting = [p for p in pods if not is_ready(p) and not is_terminating(p)]
    since = min((p["metadata"].get("creationTimestamp", "") for p in starting), default="")
    message = f"{ready} of {replicas} replicas are ready. The others are starting."
    return Finding(Reason.STARTING_PODS, message, read_time(since))
