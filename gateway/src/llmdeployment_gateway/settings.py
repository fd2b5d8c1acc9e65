"""What the environment says."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llmdeployment_gateway import assignment

_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


REPLICA_REQUESTS = 256
"""What a replica takes at once (its `maxOngoingRequests`); it refuses what is more with a 503."""


class SettingsError(Exception):
    """The environment does not say what the gateway must know. The message is for whoever set it."""


@dataclass(frozen=True)
class KubeAccess:
    """How to reach the API server.

    Attributes:
        url: its base URL.
        token_file: a bearer token; read again for every request, because kubelet rotates it.
        ca_file: the certificate authority of an https url; None for http.
    """

    url: str
    token_file: Path
    ca_file: Path | None


@dataclass(frozen=True)
class Settings:
    """What both containers of a gateway pod know.

    Attributes:
        namespace: of the LLMDeployment.
        name: of the LLMDeployment.
        auth: `apikey` asks every client for one.
        assignment_keys: where a request's key is; the first that is there counts.
        forcing: whether clients may choose their revision or arm.
        run_dir: what the two containers share; a path of at most 80 bytes, because it holds sockets.
        keys_dir: one file per API key: its name is the key's name, its content the key.
        bind: HAProxy's address, as its `bind` takes it.
        agent_host: the agent's address.
        agent_port: the agent's port.
        haproxy: the HAProxy program.
        replica_requests: how many requests a replica gets at once from this pod; more wait their turn here.
        grace_seconds: how long a gateway that was told to stop goes on accepting, so that who still knows it is answered.
    """

    namespace: str
    name: str
    auth: Literal["none", "apikey"]
    assignment_keys: tuple[assignment.Key, ...] = assignment.DEFAULT
    forcing: bool = False
    run_dir: Path = Path("/run/llmd")
    keys_dir: Path = Path("/etc/llmd/keys")
    bind: str = ":8080"
    agent_host: str = "0.0.0.0"  # noqa: S104  because the kubelet and the operator ask from outside the pod
    agent_port: int = 9090
    haproxy: str = "haproxy"
    replica_requests: int = REPLICA_REQUESTS
    grace_seconds: int = 5


def settings_of(env: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings an environment describes.

    Raises:
        SettingsError: a variable is missing or makes no sense.
    """
    auth = env.get("LLMD_AUTH", "none")
    if auth not in {"none", "apikey"}:
        raise SettingsError(f"LLMD_AUTH is {auth!r}; it must be none or apikey")
    forcing = env.get("LLMD_FORCING", "false")
    if forcing not in {"true", "false"}:
        raise SettingsError(f"LLMD_FORCING is {forcing!r}; it must be true or false")
    missing = [name for name in ("LLMD_NAMESPACE", "LLMD_NAME") if not env.get(name)]
    if missing:
        raise SettingsError(f"{' and '.join(missing)} must be set")
    try:
        return Settings(
            namespace=env["LLMD_NAMESPACE"],
            name=env["LLMD_NAME"],
            auth="apikey" if auth == "apikey" else "none",
            assignment_keys=_assignment_keys(env),
            forcing=forcing == "true",
            run_dir=Path(env.get("LLMD_RUN_DIR", "/run/llmd")),
            keys_dir=Path(env.get("LLMD_KEYS_DIR", "/etc/llmd/keys")),
            bind=env.get("LLMD_BIND", ":8080"),
            agent_host=env.get("LLMD_AGENT_HOST", Settings.agent_host),
            agent_port=int(env.get("LLMD_AGENT_PORT", "9090")),
            haproxy=env.get("LLMD_HAPROXY", "haproxy"),
            replica_requests=int(env.get("LLMD_REPLICA_REQUESTS", str(REPLICA_REQUESTS))),
            grace_seconds=int(env.get("LLMD_GRACE_SECONDS", "5")),
        )
    except ValueError as error:
        raise SettingsError(
            f"LLMD_AGENT_PORT, LLMD_REPLICA_REQUESTS and LLMD_GRACE_SECONDS must be numbers: {error}"
        ) from error


def _assignment_keys(env: Mapping[str, str]) -> tuple[assignment.Key, ...]:
    if not (text := env.get("LLMD_ASSIGNMENT_KEYS")):
        return assignment.DEFAULT
    try:
        return assignment.parse(text)
    except ValueError as error:
        raise SettingsError(f"LLMD_ASSIGNMENT_KEYS: {error}") from error


def kube_access_of(env: Mapping[str, str] = os.environ) -> KubeAccess:
    """Return how this pod reaches the API server: by LLMD_KUBE_*, or as every pod does.

    Raises:
        SettingsError: neither is there.
    """
    if url := env.get("LLMD_KUBE_URL"):
        ca = env.get("LLMD_KUBE_CA_FILE")
        return KubeAccess(
            url.rstrip("/"), Path(env["LLMD_KUBE_TOKEN_FILE"]), Path(ca) if ca else None
        )
    host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise SettingsError("not in a pod (no KUBERNETES_SERVICE_HOST) and no LLMD_KUBE_URL")
    host = f"[{host}]" if ":" in host else host
    account = Path(_SERVICE_ACCOUNT)
    return KubeAccess(f"https://{host}:{port}", account / "token", account / "ca.crt")
