"""Settings from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from llmdeployment_gateway import assignment
from llmdeployment_gateway.signed_ids import decode_key
from llmdeployment_gateway.tracing import TRACES, TracesSettings, parse_traces

FEEDBACK_KEY = "LLMD_FEEDBACK_KEY"
"""The variable with the key that ids for feedback are signed with, in base64."""
_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
REPLICA_REQUESTS = 256
"""Requests that a replica takes at once (its `maxOngoingRequests`); it refuses more with a 503."""

SOURCE_CONNECTIONS = 4000
"""Connections from one address: half of what a pod takes, so that nobody takes all."""


QUEUE_REQUESTS, QUEUE_SECONDS = 1000, 60
"""Requests that wait while all replicas have as many as they take at once, and seconds that each may wait."""


class SettingsError(Exception):
    """A variable of the environment is missing or invalid. The message is for whoever set it."""


@dataclass(frozen=True)
class KubeAccess:
    """How to reach the API server.

    Attributes:
        url: its base URL.
        token_file: holds a bearer token; read for every request, because kubelet rotates it.
        ca_file: certificate authority of an https URL; None for http.
    """

    url: str
    token_file: Path
    ca_file: Path | None


@dataclass(frozen=True)
class Settings:
    """Settings of both containers of a gateway pod.

    Attributes:
        namespace: of the LLMDeployment.
        name: of the LLMDeployment.
        auth: with `apikey` every client must send an API key.
        assignment_keys: where a request's key is looked for; the first one that is found counts.
        forcing: whether clients may choose their revision or arm.
        run_dir: folder that both containers share; a path of at most 80 bytes, because it holds sockets.
        keys_dir: folder with one file per API key; the file's name is the key's name, its content the key.
        bind: HAProxy's address, in the notation of its `bind`.
        agent_host: the agent's address.
        agent_port: the agent's port.
        haproxy: HAProxy's executable.
        replica_requests: how many requests a replica gets at once from this pod; more wait in HAProxy's queue.
        queue_requests: how many may wait there.
        queue_seconds: how long each may wait there.
        source_connections: connections that one address may have at once.
        key_requests: requests that one API key may have at once; None: any number.
        feedback_key: what ids for feedback are signed with; None: no feedback. HAProxy reads it from its own environment.
        grace_seconds: seconds for which a stopping gateway still accepts connections, for clients that do not know yet.
        pod: name of this pod, as EndpointSlices have it.
        traces: which requests get a span; None: none.
        request_log: whether votes and refusals are lines of the request log too.
    """

    namespace: str
    name: str
    auth: Literal["none", "apikey"]
    assignment_keys: tuple[assignment.Key, ...] = assignment.DEFAULT
    forcing: bool = False
    run_dir: Path = Path("/run/llmd")
    keys_dir: Path = Path("/etc/llmd/keys")
    bind: str = ":8080"
    agent_host: str = "0.0.0.0"  # noqa: S104  # because kubelet and operator connect from outside the pod
    agent_port: int = 9090
    haproxy: str = "haproxy"
    replica_requests: int = REPLICA_REQUESTS
    queue_requests: int = QUEUE_REQUESTS
    queue_seconds: int = QUEUE_SECONDS
    source_connections: int = SOURCE_CONNECTIONS
    key_requests: int | None = None
    feedback_key: bytes | None = field(default=None, repr=False)
    grace_seconds: int = 5
    pod: str = ""
    traces: TracesSettings | None = None
    request_log: bool = False


def read_settings(env: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings in the environment.

    Raises:
        SettingsError: a variable is missing or invalid.
    """
    auth = env.get("LLMD_AUTH", "none")
    if auth not in {"none", "apikey"}:
        raise SettingsError(f"LLMD_AUTH is {auth!r}; it must be none or apikey.")
    forcing = env.get("LLMD_FORCING", "false")
    if forcing not in {"true", "false"}:
        raise SettingsError(f"LLMD_FORCING is {forcing!r}; it must be true or false.")
    missing = [name for name in ("LLMD_NAMESPACE", "LLMD_NAME") if not env.get(name)]
    if missing:
        raise SettingsError(
            f"{' and '.join(missing)} must be set. The operator sets them in the pods that it creates."
        )
    try:
        return Settings(
            namespace=env["LLMD_NAMESPACE"],
            name=env["LLMD_NAME"],
            auth="apikey" if auth == "apikey" else "none",
            assignment_keys=_read_assignment_keys(env),
            forcing=forcing == "true",
            run_dir=Path(env.get("LLMD_RUN_DIR", "/run/llmd")),
            keys_dir=Path(env.get("LLMD_KEYS_DIR", "/etc/llmd/keys")),
            bind=env.get("LLMD_BIND", ":8080"),
            agent_host=env.get("LLMD_AGENT_HOST", Settings.agent_host),
            agent_port=int(env.get("LLMD_AGENT_PORT", "9090")),
            haproxy=env.get("LLMD_HAPROXY", "haproxy"),
            replica_requests=int(env.get("LLMD_REPLICA_REQUESTS", str(REPLICA_REQUESTS))),
            queue_requests=int(env.get("LLMD_QUEUE_REQUESTS", str(QUEUE_REQUESTS))),
            queue_seconds=int(env.get("LLMD_QUEUE_SECONDS", str(QUEUE_SECONDS))),
            source_connections=int(env.get("LLMD_SOURCE_CONNECTIONS", str(SOURCE_CONNECTIONS))),
            key_requests=int(env["LLMD_KEY_REQUESTS"]) if env.get("LLMD_KEY_REQUESTS") else None,
            feedback_key=_read_feedback_key(env),
            grace_seconds=int(env.get("LLMD_GRACE_SECONDS", "5")),
            # Kubernetes sets it to the pod's name.
            pod=env.get("HOSTNAME", ""),
            traces=_read_traces(env),
            request_log=env.get("LLMD_REQUEST_LOG") == "true",
        )
    except ValueError as error:
        raise SettingsError(
            "LLMD_AGENT_PORT, LLMD_REPLICA_REQUESTS, LLMD_QUEUE_REQUESTS, LLMD_QUEUE_SECONDS, LLMD_SOURCE_CONNECTIONS, "
            f"LLMD_KEY_REQUESTS and LLMD_GRACE_SECONDS must be numbers: {error}"
        ) from error


def _read_assignment_keys(env: Mapping[str, str]) -> tuple[assignment.Key, ...]:
    if not (text := env.get("LLMD_ASSIGNMENT_KEYS")):
        return assignment.DEFAULT
    try:
        return assignment.parse_keys(text)
    except ValueError as error:
        raise SettingsError(f"LLMD_ASSIGNMENT_KEYS: {error}") from error


def _read_traces(env: Mapping[str, str]) -> TracesSettings | None:
    if not (text := env.get(TRACES)):
        return None
    try:
        return parse_traces(text)
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{TRACES}: {error}. The operator sets it.") from None


def _read_feedback_key(env: Mapping[str, str]) -> bytes | None:
    if not (text := env.get(FEEDBACK_KEY)):
        return None
    try:
        return decode_key(text)
    except ValueError as error:
        raise SettingsError(
            f"{FEEDBACK_KEY}: {error}. Delete the Secret <name>-gateway-feedback: the operator writes it anew."
        ) from None


def read_kube_access(env: Mapping[str, str] = os.environ) -> KubeAccess:
    """Return how to reach the API server: by LLMD_KUBE_*, or by the service account as in every pod.

    Raises:
        SettingsError: neither is set.
    """
    if url := env.get("LLMD_KUBE_URL"):
        ca = env.get("LLMD_KUBE_CA_FILE")
        return KubeAccess(
            url.rstrip("/"), Path(env["LLMD_KUBE_TOKEN_FILE"]), Path(ca) if ca else None
        )
    host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise SettingsError(
            "the API server's address is unknown: not in a pod (no KUBERNETES_SERVICE_HOST) and no LLMD_KUBE_URL. Set LLMD_KUBE_URL."
        )
    host = f"[{host}]" if ":" in host else host
    account = Path(_SERVICE_ACCOUNT)
    return KubeAccess(f"https://{host}:{port}", account / "token", account / "ca.crt")
