"""The operator's settings, read from its environment; the chart sets every one of them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmdeployment_operator.api.fields import AMOUNT, is_amount
from llmdeployment_operator.plan.base.drift import parse_quantity
from llmdeployment_operator.plan.base.leadership import LONGEST_SECONDS, Election
from llmdeployment_operator.plan.base.settings import ModelCache, ServingImages, Settings
from llmdeployment_operator.plan.notify.receivers import Receiver, read_receivers

_TRUE = frozenset({"1", "true", "yes"})
_endpoint = re.compile(r"https?://[A-Za-z0-9.-]+(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~/-]*)?")
_PEER_FIELDS = frozenset({"ipBlock", "namespaceSelector", "podSelector"})


class SettingsError(ValueError):
    """A setting that cannot be used; the text names the variable and what it may be."""


@dataclass(frozen=True)
class Notifications:
    """Who is told of changes.

    Attributes:
        receivers: who; empty: nobody.
        folder: has the URL and the key of each, in files.
        console_url: where people open the console, for links; empty: without.
    """

    receivers: tuple[Receiver, ...] = ()
    folder: Path = Path("/etc/llmd/notifications")
    console_url: str = ""


@dataclass(frozen=True)
class ProcessSettings:
    """How the operator itself runs.

    Attributes:
        cluster_read: whether it may list nodes and StorageClasses.
        workers: passes at the same time.
        resync_seconds: every LLMDeployment is looked at at least this often.
        port: of `/healthz`, `/readyz` and `/metrics`.
        election: how one of several operators is elected; None: this one is alone.
        notifications: who is told of changes.
    """

    cluster_read: bool
    workers: int
    resync_seconds: float
    port: int
    election: Election | None = None
    notifications: Notifications = field(default_factory=Notifications)


def plan_settings(env: Mapping[str, str]) -> Settings:
    """Return what the plan has to know.

    Raises:
        SettingsError: a variable is missing or makes no sense.
    """
    return Settings(
        serving_images=ServingImages(
            gpu=_read_required(env, "LLMD_SERVING_IMAGE_GPU"),
            cpu=_read_required(env, "LLMD_SERVING_IMAGE_CPU"),
            simulated=_read_required(env, "LLMD_SERVING_IMAGE_SIMULATED"),
        ),
        environment_claim=env.get("LLMD_ENVIRONMENT_CLAIM", ""),
        log_format=_read_one_of(env, "LLMD_LOG_FORMAT", ("text", "json")),
        gateway_image=_read_required(env, "LLMD_GATEWAY_IMAGE"),
        operator_namespace=_read_required(env, "LLMD_OPERATOR_NAMESPACE"),
        operator_labels=_parse_labels(env, "LLMD_OPERATOR_LABELS"),
        operator_service_account=env.get("LLMD_OPERATOR_SERVICE_ACCOUNT", ""),
        image_pull_policy=env.get("LLMD_IMAGE_PULL_POLICY", "IfNotPresent"),
        image_pull_secrets=_split_list(env.get("LLMD_IMAGE_PULL_SECRETS", "")),
        head_storage=_read_one_of(env, "LLMD_HEAD_STORAGE", ("auto", "pvc", "emptyDir")),
        head_storage_size=env.get("LLMD_HEAD_STORAGE_SIZE", "1Gi"),
        runtime_egress=_read_one_of(env, "LLMD_RUNTIME_EGRESS", ("Restricted", "Open")),
        extra_egress=_parse_list(env, "LLMD_EXTRA_EGRESS", "egress rules"),
        scrapers=_parse_peers(env, "LLMD_SCRAPERS"),
        scrape_annotations=env.get("LLMD_SCRAPE_ANNOTATIONS", "false").lower() in _TRUE,
        console_labels=_parse_labels(env, "LLMD_CONSOLE_LABELS"),
        namespaces=_split_list(env.get("LLMD_NAMESPACES", "")),
        own_namespace=env.get("LLMD_OWN_NAMESPACE", "false").lower() in _TRUE,
        otlp_endpoint=_read_endpoint(env),
        otlp_headers_secret=env.get("LLMD_OTLP_HEADERS_SECRET", ""),
        image_volumes=env.get("LLMD_IMAGE_VOLUMES", "false").lower() in _TRUE,
        model_cache=_read_model_cache(env),
        allow_content=env.get("LLMD_ALLOW_CONTENT", "false").lower() in _TRUE,
    )


def runtime_settings(env: Mapping[str, str]) -> ProcessSettings:
    """Return how the operator itself runs.

    Raises:
        SettingsError: a variable makes no sense.
    """
    return ProcessSettings(
        cluster_read=env.get("LLMD_CLUSTER_READ", "false").lower() in _TRUE,
        workers=_read_positive(env, "LLMD_WORKERS", 8),
        resync_seconds=float(_read_positive(env, "LLMD_RESYNC_SECONDS", 600)),
        port=_read_positive(env, "LLMD_PORT", 8080),
        election=_read_election(env)
        if env.get("LLMD_LEADER_ELECTION", "").lower() in _TRUE
        else None,
        notifications=_read_notifications(env),
    )


def _read_notifications(env: Mapping[str, str]) -> Notifications:
    known = Notifications()
    try:
        receivers = read_receivers(env.get("LLMD_RECEIVERS") or "[]")
    except ValueError as error:
        raise SettingsError(f"LLMD_RECEIVERS is no list of receivers: {error}") from None
    return Notifications(
        receivers,
        Path(env.get("LLMD_RECEIVERS_FOLDER") or known.folder),
        env.get("LLMD_CONSOLE_URL", ""),
    )


def _read_model_cache(env: Mapping[str, str]) -> ModelCache | None:
    kind = _read_one_of(env, "LLMD_MODEL_CACHE_KIND", ("None", "HostPath", "PVC"))
    if kind == "None":
        return None
    size = env.get("LLMD_MODEL_CACHE_SIZE", "")
    if size and not is_amount(size):
        raise SettingsError(f"LLMD_MODEL_CACHE_SIZE is {size!r}. {AMOUNT}")
    path = _read_required(env, "LLMD_MODEL_CACHE_PATH") if kind == "HostPath" else ""
    if path and (not path.startswith("/") or ".." in path or path.strip("/") == ""):
        raise SettingsError(
            f"LLMD_MODEL_CACHE_PATH is {path!r}: it must be a folder of the nodes, such as /var/lib/llmdeployment/models"
        )
    return ModelCache(
        path=path,
        claim=_read_required(env, "LLMD_MODEL_CACHE_CLAIM") if kind == "PVC" else "",
        size_bytes=int(parse_quantity(size)) if size else 0,
        verify=_read_one_of(env, "LLMD_MODEL_CACHE_VERIFY", ("Changed", "Always")),
    )


def _read_election(env: Mapping[str, str]) -> Election:
    found = Election(
        namespace=_read_required(env, "LLMD_OPERATOR_NAMESPACE"),
        name=env.get("LLMD_LEASE_NAME") or "llmdeployment-operator",
        lease_seconds=_read_positive(env, "LLMD_LEASE_SECONDS", 10),
        renew_seconds=_read_positive(env, "LLMD_LEASE_RENEW_SECONDS", 7),
        retry_seconds=_read_positive(env, "LLMD_LEASE_RETRY_SECONDS", 2),
    )
    lease, renew, retry = found.lease_seconds, found.renew_seconds, found.retry_seconds
    if not retry < renew < lease <= LONGEST_SECONDS:
        raise SettingsError(
            f"LLMD_LEASE_RETRY_SECONDS ({retry}) must be below LLMD_LEASE_RENEW_SECONDS ({renew}), that below "
            f"LLMD_LEASE_SECONDS ({lease}), and that at most {LONGEST_SECONDS}"
        )
    return found


def _read_endpoint(env: Mapping[str, str]) -> str:
    """Return the base URL of the collector, or nothing without one."""
    name = "OTEL_EXPORTER_OTLP_ENDPOINT"
    if (url := env.get(name, "")) and not _endpoint.fullmatch(url):
        raise SettingsError(
            f"{name} must be a URL such as http://collector.otel:4318, without a query and without credentials, "
            "which belong into the Secret of telemetry.otlpHeadersSecret"
        )
    return url


def _read_required(env: Mapping[str, str], name: str) -> str:
    if not env.get(name):
        raise SettingsError(f"{name} is not set")
    return env[name]


def _read_one_of(env: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    """Return a setting that must be one of these words; the first is the default."""
    value = env.get(name) or allowed[0]
    if value not in allowed:
        known = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
        raise SettingsError(f"{name} is {value!r}: it must be {known}")
    return value


def _read_positive(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdecimal() or int(text) == 0:
        raise SettingsError(f"{name} is {text!r}: it must be a whole number above 0")
    return int(text)


def _split_list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _parse_list(env: Mapping[str, str], name: str, what: str) -> tuple[dict[str, Any], ...]:
    try:
        value = json.loads(env.get(name) or "[]")
    except ValueError as error:
        raise SettingsError(f"{name} is not JSON: {error}") from None
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise SettingsError(f"{name} must be a JSON list of {what}")
    return tuple(value)


def _parse_peers(env: Mapping[str, str], name: str) -> tuple[dict[str, Any], ...]:
    peers = _parse_list(env, name, "peers of a NetworkPolicy")
    if not all(peer and peer.keys() <= _PEER_FIELDS for peer in peers):
        fields = ", ".join(sorted(_PEER_FIELDS))
        raise SettingsError(f"{name} has a peer without, or with another field than, {fields}")
    return peers


def _parse_labels(env: Mapping[str, str], name: str) -> dict[str, str]:
    try:
        value = json.loads(env.get(name) or "{}")
    except ValueError as error:
        raise SettingsError(f"{name} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise SettingsError(f"{name} must be a JSON object of labels")
    return {str(key): str(part) for key, part in value.items()}
