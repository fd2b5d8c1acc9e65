"""The objects of the gateway, one per LLMDeployment."""

import base64
import json
import re
from typing import Any

from llmdeployment_operator.api.assignment import API_KEY, DEFAULT_KEYS
from llmdeployment_operator.api.placement import GatewayServiceSpec, SpreadConstraint
from llmdeployment_operator.api.types import GatewaySpec, LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.drift import digest
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.base.telemetry import (
    build_export_env,
    exports_traces,
    render_traces,
)
from llmdeployment_operator.plan.resources.pod_security import container_security, pod_defaults
from llmdeployment_operator.plan.resources.scraping import annotate_pods

_RUN_DIR = "/run/llmd"
_KEYS_DIR = "/etc/llmd/keys"
_FEEDBACK_KEY = "key"
_DRAIN_SECONDS = 660
"""A gateway pod that goes lets its streams end: a minute more than a worker's longest stream."""

_PLACEMENT = frozenset(
    {
        "affinity",
        "node_selector",
        "priority_class_name",
        "tolerations",
        "topology_spread_constraints",
    }
)
"""Fields of spec.gateway that its pods have too."""


def choose_feedback_key(found: str, randomness: str) -> str:
    """Return what gateways sign ids for feedback with, 32 bytes in base64: the key that was found, if it is one, else a new one.

    >>> key = choose_feedback_key("", "some randomness")
    >>> len(base64.b64decode(key)), choose_feedback_key(key, "other randomness") == key
    (32, True)
    """
    if re.fullmatch(r"[A-Za-z0-9+/]{43}=", found):
        return found
    return base64.b64encode(bytes.fromhex(digest([randomness, "feedback"], 64))).decode()


def build_gateway(deployment: LLMDeployment, settings: Settings, feedback_key: str) -> list[Object]:
    """Return every object of the gateway but its routes and its NetworkPolicy."""
    name = deployment.metadata.name
    gateway = names.gateway_name(name)
    selector = names.selector(name, component="gateway")
    objects: list[Object] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": gateway}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": gateway},
            "rules": _build_rules(name),
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": gateway},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": gateway},
            "subjects": [
                {
                    "kind": "ServiceAccount",
                    "name": gateway,
                    "namespace": deployment.metadata.namespace,
                }
            ],
        },
        # All gateway pods sign with one key, and a pod that is replaced signs with the same.
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": names.feedback_name(name)},
            "data": {_FEEDBACK_KEY: base64.b64encode(feedback_key.encode()).decode()},
        },
        _build_service(deployment, selector),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": gateway},
            "spec": _build_deployment_spec(deployment, settings, selector),
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": gateway},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector}},
        },
    ]
    for obj in objects:
        obj["metadata"]["labels"] = names.labels(name)
    return objects


def _build_service(deployment: LLMDeployment, selector: dict[str, str]) -> Object:
    wanted = deployment.spec.gateway.service or GatewayServiceSpec()
    metadata: dict[str, Any] = {"name": deployment.metadata.name}
    if wanted.annotations:
        metadata["annotations"] = dict(wanted.annotations)
    more = {
        "loadBalancerClass": wanted.load_balancer_class,
        "externalTrafficPolicy": wanted.external_traffic_policy,
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": wanted.type,
            "selector": selector,
            "ports": [{"name": "http", "port": 80, "targetPort": names.GATEWAY_PORT}],
            **{field: value for field, value in more.items() if value is not None},
        },
    }


def _build_rules(name: str) -> list[dict[str, Any]]:
    verbs = ["get", "list", "watch"]
    return [
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": [names.routes_name(name)],
            "verbs": verbs,
        },
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs},
    ]


def _build_deployment_spec(
    deployment: LLMDeployment, settings: Settings, selector: dict[str, str]
) -> dict[str, Any]:
    labels = names.labels(deployment.metadata.name, component="gateway")
    return {
        "replicas": deployment.spec.gateway.replicas,
        "selector": {"matchLabels": selector},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        },
        "template": {
            "metadata": {"labels": labels, **annotate_pods(settings, names.AGENT_PORT)},
            "spec": _build_pod(deployment, settings),
        },
    }


def _build_pod(deployment: LLMDeployment, settings: Settings) -> dict[str, Any]:
    pod: dict[str, Any] = {
        **pod_defaults(),
        "automountServiceAccountToken": True,
        # A container's first process is deaf to a signal that comes before it has asked for it, so a pod that was deleted in its first
        # second stayed for all of its grace period. Both containers have one user and one token in any case.
        "shareProcessNamespace": True,
        "serviceAccountName": names.gateway_name(deployment.metadata.name),
        "terminationGracePeriodSeconds": _DRAIN_SECONDS,
        "containers": [_build_haproxy(deployment, settings), _build_agent(deployment, settings)],
        "volumes": [{"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "32Mi"}}],
    }
    if (keys := deployment.spec.gateway.api_keys_secret_ref) is not None:
        pod["volumes"].append(
            {"name": "keys", "secret": {"secretName": keys.name, "defaultMode": 0o440}}
        )
    pod |= _place_pods(
        deployment.spec.gateway, names.selector(deployment.metadata.name, component="gateway")
    )
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    return pod


def _place_pods(gateway: GatewaySpec, selector: dict[str, str]) -> dict[str, Any]:
    """Return the fields of the pods that say where they run: several spread over nodes unless the spec says how."""
    given = gateway.model_dump(
        mode="json", by_alias=True, exclude_none=True, include=set(_PLACEMENT)
    )
    spread = given["topologySpreadConstraints"]
    if not spread and gateway.replicas > 1:
        anywhere = SpreadConstraint(topology_key="kubernetes.io/hostname")
        spread = [anywhere.model_dump(mode="json", by_alias=True)]
    labels = {"labelSelector": {"matchLabels": selector}}
    given["topologySpreadConstraints"] = [{**constraint, **labels} for constraint in spread]
    return {field: value for field, value in given.items() if value}


def _build_haproxy(deployment: LLMDeployment, settings: Settings) -> dict[str, Any]:
    resources = deployment.spec.gateway.resources.model_dump(mode="json", exclude_none=True)
    return {
        **_build_container("haproxy", deployment, settings),
        "ports": [{"name": "http", "containerPort": names.GATEWAY_PORT}],
        # Measured: beside an engine that computes on CPUs, a share of 50m let HAProxy wait 5 s for its turn.
        "resources": resources
        or {"requests": {"cpu": "200m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
    }


def _build_agent(deployment: LLMDeployment, settings: Settings) -> dict[str, Any]:
    agent = {
        **_build_container("agent", deployment, settings),
        "ports": [{"name": "agent", "containerPort": names.AGENT_PORT}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": names.AGENT_PORT},
            "periodSeconds": 2,
            "timeoutSeconds": 3,
        },
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": names.AGENT_PORT},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "initialDelaySeconds": 10,
        },
    }
    if deployment.spec.gateway.api_keys_secret_ref is not None:
        agent["volumeMounts"].append({"name": "keys", "mountPath": _KEYS_DIR, "readOnly": True})
    return agent


def _build_key_limit(gateway: GatewaySpec) -> list[dict[str, str]]:
    limit = gateway.limits.requests_per_key
    return [{"name": "LLMD_KEY_REQUESTS", "value": str(limit)}] if limit is not None else []


def _build_request_log(deployment: LLMDeployment) -> list[dict[str, str]]:
    logs = deployment.spec.monitoring.request_log is not None
    return [{"name": "LLMD_REQUEST_LOG", "value": "true"}] if logs else []


def _build_feedback_key(name: str) -> dict[str, Any]:
    source = {"secretKeyRef": {"name": names.feedback_name(name), "key": _FEEDBACK_KEY}}
    return {"name": "LLMD_FEEDBACK_KEY", "valueFrom": source}


def _build_traces(deployment: LLMDeployment, settings: Settings) -> list[dict[str, Any]]:
    if not exports_traces(deployment, settings):
        return []
    wanted = json.dumps(render_traces(deployment), sort_keys=True)
    return [{"name": "LLMD_TRACES", "value": wanted}, *build_export_env(settings)]


def _list_assignment_keys(gateway: GatewaySpec) -> tuple[str, ...]:
    if gateway.assignment.keys is not None:
        return gateway.assignment.keys
    without = set() if gateway.api_keys_secret_ref is not None else {API_KEY}
    return tuple(key for key in DEFAULT_KEYS if key not in without)


def _build_container(name: str, deployment: LLMDeployment, settings: Settings) -> dict[str, Any]:
    gateway = deployment.spec.gateway
    auth = "none" if gateway.api_keys_secret_ref is None else "apikey"
    return {
        "name": name,
        "image": settings.gateway_image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["llmdeployment-gateway"],
        "args": [name],
        "env": [
            {"name": "LLMD_NAMESPACE", "value": deployment.metadata.namespace},
            {"name": "LLMD_NAME", "value": deployment.metadata.name},
            {"name": "LLMD_LOG_FORMAT", "value": settings.log_format},
            {"name": "LLMD_AUTH", "value": auth},
            {"name": "LLMD_ASSIGNMENT_KEYS", "value": ",".join(_list_assignment_keys(gateway))},
            {"name": "LLMD_FORCING", "value": "true" if gateway.allow_forcing else "false"},
            {
                "name": "LLMD_SOURCE_CONNECTIONS",
                "value": str(gateway.limits.connections_per_source),
            },
            {"name": "LLMD_QUEUE_REQUESTS", "value": str(gateway.queue.max_requests)},
            {"name": "LLMD_QUEUE_SECONDS", "value": str(gateway.queue.max_seconds)},
            *_build_key_limit(gateway),
            *_build_request_log(deployment),
            _build_feedback_key(deployment.metadata.name),
            *_build_traces(deployment, settings),
        ],
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "run", "mountPath": _RUN_DIR}],
    }
