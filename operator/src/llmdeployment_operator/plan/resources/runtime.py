"""The objects of one runtime: a Ray cluster whose every worker pod holds one replica."""

import base64
import json
from typing import Any

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.accelerators import NVIDIA, count_accelerators
from llmdeployment_operator.plan.base.external import build_proxy_container, is_external
from llmdeployment_operator.plan.base.model_files import locate_model, mount_adapters
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.output_patterns import mount_patterns
from llmdeployment_operator.plan.base.request_log import mount_request_log
from llmdeployment_operator.plan.base.serving_image import choose_image, mount_environment
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.base.telemetry import build_model_env, build_replica_env
from llmdeployment_operator.plan.resources.model_fetch import (
    describe_fetches,
    is_hidden_choice,
    mount_cache,
)
from llmdeployment_operator.plan.resources.overlay import apply_overlay
from llmdeployment_operator.plan.resources.pod_security import container_security, pod_defaults
from llmdeployment_operator.plan.resources.scraping import annotate_pods

DRAIN_SECONDS = 660
"""How long a worker pod may take to end its streams: the 600 s its preStop hook waits, and a minute for the rest."""

_GCS_DIR = "/var/lib/ray-gcs"
_RAY_METRICS = {"name": "ray-metrics", "containerPort": names.RAY_METRICS_PORT}
_METRICS = {"name": "LLMD_METRICS_PORT", "value": str(names.METRICS_PORT)}
"""What an older serving image does not know, and does nothing about."""


def render_runtime(
    deployment: LLMDeployment, runtime: str, settings: Settings, *, head_volume: str
) -> dict[str, Any]:
    """Return the specs of head and worker as today's operator writes them; a runtime of an API elsewhere has no head.

    Args:
        deployment: what the user asked for.
        runtime: the runtime's hash.
        settings: images and defaults of this operator.
        head_volume: "pvc" keeps Ray's state on a PersistentVolumeClaim, "emptyDir" for the life of the pod.
    """
    if is_external(runtime):
        return {"worker": _build_proxy(deployment, runtime, settings)}
    return {
        "head": _build_head(deployment, runtime, settings, head_volume),
        "worker": _build_worker(deployment, runtime, settings),
    }


def build_runtime(
    deployment: LLMDeployment, runtime: str, rendered: dict[str, Any], token: str, replicas: int
) -> list[Object]:
    """Return every object of a runtime but its ControllerRevision, in the order they are needed."""
    name = deployment.metadata.name
    made = names.runtime_names(name, runtime)
    worker = names.selector(name, runtime=runtime, component="worker")
    ray = _build_ray(name, runtime, rendered, token) if "head" in rendered else ()
    objects = [
        *ray[:-1],
        _build_service(made.name, worker),
        *ray[-1:],
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": made.name},
            "spec": {"replicas": replicas, **rendered["worker"]},
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": made.name},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": worker}},
        },
    ]
    for obj in objects:
        obj["metadata"]["labels"] = names.labels(name, runtime=runtime)
    return objects


def _build_ray(name: str, runtime: str, rendered: dict[str, Any], token: str) -> tuple[Object, ...]:
    """Return the head and, before it, what it needs."""
    made = names.runtime_names(name, runtime)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": made.token},
        "data": {"token": base64.b64encode(token.encode()).decode()},
    }
    head = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": made.head},
        "spec": {"replicas": 1, **rendered["head"]},
    }
    selector = names.selector(name, runtime=runtime, component="head")
    return secret, _build_headless_service(made.head, selector), head


def _build_headless_service(name: str, selector: dict[str, str]) -> Object:
    ports = [
        {"name": "gcs", "port": names.GCS_PORT, "targetPort": names.GCS_PORT},
        {"name": "dashboard", "port": names.DASHBOARD_PORT, "targetPort": names.DASHBOARD_PORT},
    ]
    # Workers must find the head before it is ready, and again after it has moved.
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": selector,
        "ports": ports,
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def _build_service(name: str, selector: dict[str, str]) -> Object:
    ports = [{"name": "http", "port": names.REPLICA_PORT, "targetPort": names.REPLICA_PORT}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector, "ports": ports},
    }


def _build_head(
    deployment: LLMDeployment, runtime: str, settings: Settings, head_volume: str
) -> dict[str, Any]:
    made = names.runtime_names(deployment.metadata.name, runtime)
    container = {
        **_build_ray_container(deployment, made.token, settings),
        "args": ["head"],
        "ports": [
            {"name": "gcs", "containerPort": names.GCS_PORT},
            {"name": "dashboard", "containerPort": names.DASHBOARD_PORT},
            _RAY_METRICS,
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
        "readinessProbe": {
            "httpGet": {"path": "/api/gcs_healthz", "port": names.DASHBOARD_PORT},
            "periodSeconds": 2,
            "timeoutSeconds": 5,
        },
    }
    container["env"] = [*container["env"], {"name": "LLMD_GCS_DIR", "value": _GCS_DIR}]
    container["volumeMounts"] = [*container["volumeMounts"], {"name": "gcs", "mountPath": _GCS_DIR}]
    pod = {
        **_build_pod(deployment, settings),
        "terminationGracePeriodSeconds": 15,
        "containers": [container],
    }
    spec: dict[str, Any] = {
        "serviceName": made.head,
        "podManagementPolicy": "Parallel",
        "selector": {
            "matchLabels": names.selector(
                deployment.metadata.name, runtime=runtime, component="head"
            )
        },
    }
    if head_volume == "pvc":
        spec |= _build_claim(settings)
    else:
        pod["volumes"] = [*pod["volumes"], {"name": "gcs", "emptyDir": {}}]
    return {**spec, "template": _build_template(deployment, runtime, "head", pod, settings)}


def _build_claim(settings: Settings) -> dict[str, Any]:
    claim = {
        "metadata": {"name": "gcs"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": settings.head_storage_size}},
        },
    }
    return {
        "volumeClaimTemplates": [claim],
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"},
    }


def _build_worker(deployment: LLMDeployment, runtime: str, settings: Settings) -> dict[str, Any]:
    made = names.runtime_names(deployment.metadata.name, runtime)
    files = locate_model(deployment.spec.model.source)
    volumes, mounts = mount_adapters(deployment.spec.model.model_dump(mode="json"))
    resources = deployment.spec.resources.model_dump(mode="json", exclude_none=True)
    container = {
        **_build_ray_container(deployment, made.token, settings),
        "args": ["worker"],
        "resources": resources,
        **_build_replica_port(),
    }
    container["ports"] = [*container["ports"], _RAY_METRICS]
    cache = mount_cache(deployment, settings)
    container["env"] = [
        *container["env"],
        *build_replica_env(deployment, settings),
        *_build_worker_env(deployment, made.head, resources),
        *cache.env,
    ]
    logged = mount_request_log(deployment)
    container["volumeMounts"] = [
        *container["volumeMounts"],
        *files.mounts,
        *mounts,
        *cache.read_only,
        *logged[1],
    ]
    pod = {
        **_build_pod(deployment, settings),
        "terminationGracePeriodSeconds": DRAIN_SECONDS,
        "containers": [container],
    }
    pod["volumes"] = [*pod["volumes"], *files.volumes, *volumes, *cache.volumes, *logged[0]]
    if fetches := describe_fetches(deployment, runtime, files, settings):
        common = _build_container(deployment, settings)
        pod["initContainers"] = [{**common, **own} for own in fetches]
    return _build_workers(deployment, runtime, pod, settings)


def _build_proxy(deployment: LLMDeployment, runtime: str, settings: Settings) -> dict[str, Any]:
    # The container is `ray` here too: an overlay of podTemplate means all engines that an A/B test has.
    container = {
        **_build_container(deployment, settings),
        **build_proxy_container(deployment),
        **_build_replica_port(),
    }
    volume, mount, variable = mount_patterns(deployment.metadata.name)
    logged = mount_request_log(deployment)
    container["volumeMounts"] = [*container["volumeMounts"], mount, *logged[1]]
    container["env"] = [
        variable,
        *build_model_env(deployment, settings),
        *container["env"],
        *_name_deployment(deployment),
        _METRICS,
    ]
    pod = {
        **_build_pod(deployment, settings),
        "terminationGracePeriodSeconds": DRAIN_SECONDS,
        "containers": [container],
    }
    pod["volumes"] = [*pod["volumes"], volume, *logged[0]]
    return _build_workers(deployment, runtime, pod, settings)


def _build_replica_port() -> dict[str, Any]:
    """Return what a container has that answers on the replica's port."""
    return {
        "ports": [
            {"name": "http", "containerPort": names.REPLICA_PORT},
            {"name": "metrics", "containerPort": names.METRICS_PORT},
        ],
        "readinessProbe": {
            "httpGet": {"path": "/-/healthz", "port": names.REPLICA_PORT},
            "periodSeconds": 2,
            "timeoutSeconds": 5,
            "failureThreshold": 2,
        },
        # Ends when the replica has no request left: a pod that goes takes no stream with it.
        "lifecycle": {"preStop": {"exec": {"command": ["llmdeployment-serving", "drain"]}}},
    }


def _build_workers(
    deployment: LLMDeployment, runtime: str, pod: dict[str, Any], settings: Settings
) -> dict[str, Any]:
    return {
        "selector": {
            "matchLabels": names.selector(
                deployment.metadata.name, runtime=runtime, component="worker"
            )
        },
        # A replica that loads for an hour is not a failed one: progress is judged by conditions, not by a clock.
        "progressDeadlineSeconds": 2147483647,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
        },
        "template": _build_template(deployment, runtime, "worker", pod, settings),
    }


def _build_worker_env(
    deployment: LLMDeployment, head: str, resources: dict[str, Any]
) -> list[dict[str, Any]]:
    devices = count_accelerators(resources)
    custom = {name: count for name, count in devices.items() if name != NVIDIA}
    own = {
        "LLMD_HEAD_ADDRESS": f"{head}.{deployment.metadata.namespace}.svc:{names.GCS_PORT}",
        "LLMD_GPUS": str(devices.get(NVIDIA, 0)),
        "LLMD_RAY_RESOURCES": json.dumps(custom, sort_keys=True),
    }
    given = [
        entry.model_dump(mode="json", by_alias=True, exclude_none=True)
        for entry in deployment.spec.engine.env
    ]
    return [*({"name": key, "value": value} for key, value in own.items()), _METRICS, *given]


def _build_ray_container(
    deployment: LLMDeployment, token_secret: str, settings: Settings
) -> dict[str, Any]:
    token = {"secretKeyRef": {"name": token_secret, "key": "token"}}
    return {
        **_build_container(deployment, settings),
        "env": [
            {"name": "HOME", "value": "/tmp"},  # noqa: S108  # because it is the pod's own emptyDir
            {"name": "RAY_AUTH_MODE", "value": "token"},
            {"name": "RAY_AUTH_TOKEN", "valueFrom": token},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "LLMD_LOG_FORMAT", "value": settings.log_format},
            *_name_deployment(deployment),
        ],
    }


def _name_deployment(deployment: LLMDeployment) -> list[dict[str, Any]]:
    return [
        {"name": "LLMD_NAMESPACE", "value": deployment.metadata.namespace},
        {"name": "LLMD_NAME", "value": deployment.metadata.name},
    ]


def _build_container(deployment: LLMDeployment, settings: Settings) -> dict[str, Any]:
    return {
        "name": "ray",
        "image": choose_image(deployment, settings),
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["llmdeployment-serving"],
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # because it is the pod's own emptyDir
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108  # because Ray's object store lives there
            *mount_environment(deployment, settings)[1],
        ],
    }


def _build_pod(deployment: LLMDeployment, settings: Settings) -> dict[str, Any]:
    pod = {
        **pod_defaults(),
        # A container's first process is deaf to SIGTERM until it asks for it, and Ray takes seconds to: a pod that was deleted
        # while it started, or while it fetched its model, kept its accelerator for all of its grace period.
        "shareProcessNamespace": True,
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}},
            *mount_environment(deployment, settings)[0],
        ],
    }
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    return pod


def _build_template(
    deployment: LLMDeployment,
    runtime: str,
    component: str,
    pod: dict[str, Any],
    settings: Settings,
) -> dict[str, Any]:
    name = deployment.metadata.name
    port = names.RAY_METRICS_PORT if component == "head" else names.METRICS_PORT
    labels = names.labels(name, runtime=runtime, component=component)
    base = {"metadata": {"labels": labels, **annotate_pods(settings, port)}, "spec": pod}
    if deployment.spec.pod_template is None:
        return base
    patch = deployment.spec.pod_template.model_dump(mode="json", by_alias=True, exclude_none=True)
    if "initContainers" in pod and (shared := _select_shared(patch)):
        names_of = [container["name"] for container in pod["initContainers"]]
        more = [{"name": each, **shared} for each in names_of]
        patch = apply_overlay(patch, {"spec": {"initContainers": more}})
    merged = apply_overlay(base, patch)
    # The labels by which pods are found are ours, whatever the overlay says.
    merged["metadata"]["labels"] |= names.selector(name, runtime=runtime, component=component)
    merged["metadata"]["labels"][names.MANAGED_BY] = names.MANAGER
    return merged


def _select_shared(patch: dict[str, Any]) -> dict[str, Any]:
    """Return what an overlay of the `ray` container means for the containers that download too: one image, one set of needs."""
    containers = (patch.get("spec") or {}).get("containers") or []
    ray: dict[str, Any] = next((c for c in containers if c.get("name") == "ray"), {})
    shared: dict[str, Any] = {
        field: ray[field] for field in ("env", "volumeMounts") if field in ray
    }
    if "env" in shared:
        shared["env"] = [e for e in shared["env"] if not is_hidden_choice(str(e.get("name", "")))]
    return shared
