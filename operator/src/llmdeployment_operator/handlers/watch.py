"""kopf, as glue only: every event of an LLMDeployment or of a child becomes that LLMDeployment's key."""

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from llmdeployment_operator.api.types import GROUP, PLURAL, VERSION
from llmdeployment_operator.kube.client import Access
from llmdeployment_operator.kube.resources import CHILDREN, POD, Resource
from llmdeployment_operator.plan.base.names import MANAGED_BY, MANAGER, OWNER
from llmdeployment_operator.reconcile import DeploymentKey

Enqueue = Callable[[DeploymentKey], None]

WATCH_SECONDS = 60
"""How long a watch lasts before it is opened anew."""


def build_registry(put: Enqueue) -> kopf.OperatorRegistry:
    """Return the handlers; `put` is given the key of whatever changed."""
    found = kopf.OperatorRegistry()

    async def on_deployment(namespace: str | None, name: str, **_: Any) -> None:  # noqa: ANN401  because kopf fills them
        put(DeploymentKey(namespace or "", name))

    async def on_child(namespace: str | None, labels: Mapping[str, str], **_: Any) -> None:  # noqa: ANN401  because kopf fills them
        if owner := labels.get(OWNER):
            put(DeploymentKey(namespace or "", owner))

    kopf.on.event(GROUP, VERSION, PLURAL, registry=found)(on_deployment)
    for kind in (*CHILDREN, POD):
        kopf.on.event(*_split_address(kind), registry=found, labels={OWNER: kopf.PRESENT})(on_child)
    return found


def build_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: no peering, no Events of its own, children filtered by the API server."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    # Its scan for new kinds and namespaces needs cluster-wide rights, and ours are known beforehand.
    settings.scanning.disabled = True
    # When one of kopf's watchers fails for good, kopf ends once all other streams have: within this time.
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.client_timeout = WATCH_SECONDS + 10
    settings.watching.connect_timeout = 10
    for kind in (*CHILDREN, POD):
        settings.watching.label_selectors[_split_address(kind)] = f"{MANAGED_BY}={MANAGER}"
    return settings


def make_login(way: Access) -> Callable[..., kopf.ConnectionInfo | None]:
    """Return a login for kopf that goes the same way as the operator's own calls."""

    def found(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401  because kopf fills them
        if way.inside:
            return kopf.login_with_service_account(**kwargs)
        conf = way.configuration
        return kopf.ConnectionInfo(
            server=conf.host,
            ca_path=conf.ssl_ca_cert,
            insecure=not conf.verify_ssl,
            token=(
                conf.api_key.get("BearerToken") or conf.api_key.get("authorization", "")
            ).removeprefix("Bearer ")
            or None,
            certificate_path=conf.cert_file,
            private_key_path=conf.key_file,
        )

    return found


def _split_address(kind: Resource) -> tuple[str, str, str]:
    group, _, version = kind.api_version.rpartition("/")
    return group, version, kind.plural
