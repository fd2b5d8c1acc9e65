"""How the operator reaches the API server: from inside a pod, or by a kubeconfig."""

import copy
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from llmdeployment_operator.kube.errors import OperatorError
from llmdeployment_operator.kube.fence import Fence, make_fenced_request


class NoCluster(OperatorError):
    """Neither a service account nor a kubeconfig leads to a cluster."""


@dataclass(frozen=True)
class Access:
    """What a client needs; kopf is given the same as the operator's own calls use."""

    configuration: Configuration
    inside: bool


async def access(kubeconfig: str | None = None, context: str | None = None) -> Access:
    """Return the way to the cluster: the kubeconfig if one is given, else the pod's service account, else `~/.kube`.

    Raises:
        NoCluster: none of them works.
    """
    configuration = Configuration()
    inside = kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ
    try:
        if inside:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # because the client has no types here
        else:
            await config.load_kube_config(  # type: ignore[no-untyped-call]  # because the client has no types here
                config_file=kubeconfig, context=context, client_configuration=configuration
            )
    except (config.ConfigException, OSError) as error:
        raise NoCluster(f"no way to a Kubernetes API server: {error}") from error
    return Access(configuration, inside)


def api_client(way: Access, fence: Fence | None = None) -> ApiClient:
    """Return a client; close it after use. With a fence, it sends writes only while that is open."""
    configuration = copy.copy(way.configuration)
    # Else aiohttp reads netrc and the proxies of the environment anew for every request, in a thread.
    session: dict[str, Any] = {"trust_env": False}
    if fence is not None:
        session["request_class"] = make_fenced_request(fence)
    configuration.client_session_kwargs = session
    configuration.proxy = configuration.proxy or _find_proxy(configuration.host)
    client = ApiClient(configuration=configuration)
    # `kube/objects.py` sends on these connections itself; the client makes them at its own first request only.
    rest = client.rest_client
    rest.pool_manager = rest._create_pool_manager()  # noqa: SLF001  # because the client has no other way to have them made
    return client


def _find_proxy(host: str) -> str | None:
    """Return the proxy that the environment names for the API server, or None."""
    parts = urlsplit(host)
    if proxy_bypass(parts.netloc):
        return None
    return getproxies().get(parts.scheme)
