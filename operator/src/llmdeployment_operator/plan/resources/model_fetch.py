"""How a worker pod gets its model: the init container that downloads it, and the cache of the node."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from llmdeployment_operator.api.sources import CREDENTIAL_KEYS, is_downloaded
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.fetching import ADAPTERS, CONTAINER
from llmdeployment_operator.plan.base.model_files import (
    DOWNLOADS_DIR,
    ModelFiles,
    list_adapter_downloads,
    locate_adapter,
)
from llmdeployment_operator.plan.base.serving_image import mount_environment
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.observed.model_pins import KEY

CACHE_DIR = "/model-cache"
_VOLUME = "model-cache"
_HOME = {"name": "HOME", "value": "/tmp"}  # noqa: S108  # because it is the pod's own emptyDir
_TMP = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108  # because it is the pod's own emptyDir
_PASSED_ON = "HF_"
_AWS = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    }
)
"""The client knows more, among them other names of the endpoint, which no admission policy looks at."""
_PROXIES = frozenset({"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"})
_AUTHORITIES = frozenset({"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"})


@dataclass(frozen=True)
class CacheMount:
    """What a pod and its containers have for the cache; all empty without one.

    Attributes:
        volumes: of the pod.
        read_only: mounts of the container that reads the model.
        writable: mounts of the container that downloads it.
        env: variables of both.
        limits: variables of the container that downloads it.
    """

    volumes: list[dict[str, Any]] = field(default_factory=list)
    read_only: list[dict[str, Any]] = field(default_factory=list)
    writable: list[dict[str, Any]] = field(default_factory=list)
    env: list[dict[str, Any]] = field(default_factory=list)
    limits: list[dict[str, Any]] = field(default_factory=list)


def mount_cache(deployment: LLMDeployment, settings: Settings) -> CacheMount:
    """Return what pods have for the cache, if there is one and they download their model.

    A node's folder holds one folder for each namespace, and a pod sees that of its own alone: who may write there can replace the
    files of a model, and who may read there sees which models others have.
    """
    cache = settings.model_cache
    model = deployment.spec.model
    sources = (model.source, *(adapter.source for adapter in model.adapters))
    if cache is None or not any(map(is_downloaded, sources)):
        return CacheMount()
    if cache.claim:
        volume: dict[str, Any] = {"persistentVolumeClaim": {"claimName": cache.claim}}
    else:
        path = f"{cache.path.rstrip('/')}/{deployment.metadata.namespace}"
        volume = {"hostPath": {"path": path, "type": "DirectoryOrCreate"}}
    mount = {"name": _VOLUME, "mountPath": CACHE_DIR}
    limits = [{"name": "LLMD_MODEL_CACHE_BYTES", "value": str(cache.size_bytes)}]
    if cache.verify == "Always":
        limits.append({"name": "LLMD_MODEL_CACHE_VERIFY", "value": "Always"})
    uid = {"fieldRef": {"fieldPath": "metadata.uid"}}
    return CacheMount(
        volumes=[{"name": _VOLUME, **volume}],
        read_only=[{**mount, "readOnly": True}],
        writable=[mount],
        env=[
            {"name": "LLMD_MODEL_CACHE", "value": CACHE_DIR},
            {"name": "LLMD_POD_UID", "valueFrom": uid},
        ],
        limits=limits if cache.size_bytes else limits[1:],
    )


def describe_fetches(
    deployment: LLMDeployment, runtime: str, files: ModelFiles, settings: Settings
) -> list[dict[str, Any]]:
    """Return what the containers that download have of their own, to be put over what all containers have."""
    cache, model = mount_cache(deployment, settings), deployment.spec.model
    common = {
        "env": [*_build_env(deployment), *cache.env, *cache.limits],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}},
    }
    mounts = [_TMP, *mount_environment(deployment, settings)[1], *cache.writable]
    found = []
    if files.fetch is not None:
        name = names.pin_name(deployment.metadata.name, runtime)
        pin = {"configMapKeyRef": {"name": name, "key": KEY, "optional": True}}
        own = {"name": "LLMD_MODEL_PIN", "valueFrom": pin}
        sha256 = ["--sha256", model.sha256] if model.sha256 else []
        found.append(
            {
                **common,
                "name": CONTAINER,
                "args": ["fetch-model", "--source", files.fetch, "--to", files.path, *sha256],
                "env": [*common["env"], own],
                "volumeMounts": [*mounts, *files.mounts],
            }
        )
    if downloads := list_adapter_downloads(model.model_dump(mode="json")):
        rows = [["--get", s, locate_adapter(s, model.source), sha256] for s, sha256 in downloads]
        mount = {"name": "adapter-downloads", "mountPath": DOWNLOADS_DIR}
        found.append(
            {
                **common,
                "name": ADAPTERS,
                "args": ["fetch-adapters", *(part for row in rows for part in row)],
                "volumeMounts": [*mounts, mount],
            }
        )
    return found


def _build_env(deployment: LLMDeployment) -> list[dict[str, Any]]:
    """Return the variables. An older serving image does not know those that begin with LLMD_, and does nothing about them."""
    model = deployment.spec.model
    env: list[dict[str, Any]] = [
        _HOME,
        {"name": "LLMD_PROGRESS_PORT", "value": str(names.REPLICA_PORT)},
    ]
    if (ref := model.token_secret_ref) is not None:
        # A token is sent to one place: that of the model, or of adapters beside a model that needs none.
        sources = (model.source, *(adapter.source for adapter in model.adapters))
        first = next(source for source in sources if source.startswith(("hf://", "https://")))
        name = "HF_TOKEN" if first.startswith("hf://") else "LLMD_SOURCE_TOKEN"
        source = {"secretKeyRef": {"name": ref.name, "key": ref.key}}
        env.append({"name": name, "valueFrom": source})
    if (credentials := model.credentials_secret_ref) is not None:
        env += _refer_to(credentials.name, CREDENTIAL_KEYS)
    if model.allow_pickle:
        env.append({"name": "LLMD_ALLOW_PICKLE", "value": "true"})
    known = {each["name"] for each in env}
    given = (e for e in deployment.spec.engine.env if _is_passed_on(e.name) and e.name not in known)
    env += [entry.model_dump(mode="json", by_alias=True, exclude_none=True) for entry in given]
    return env


def _refer_to(secret: str, keys: Iterable[str]) -> list[dict[str, Any]]:
    """Return a variable for each key that a Secret may have."""
    return [
        {
            "name": key,
            "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": True}},
        }
        for key in keys
    ]


def is_hidden_choice(name: str) -> bool:
    """Say whether a variable would choose a store's address or credentials where no admission policy looks.

    >>> is_hidden_choice("AWS_ENDPOINT_URL_S3"), is_hidden_choice("AWS_ENDPOINT_URL")
    (True, False)
    """
    return name.upper().startswith("AWS_") and name not in _AWS


def _is_passed_on(name: str) -> bool:
    return (
        name.startswith(_PASSED_ON)
        or name in _AWS
        or name.upper() in _PROXIES
        or name in _AUTHORITIES
    )
