"""kopf, as glue only: events of LLMDeployments. What belongs to them is watched by `kube/reflector.py`, which says why."""

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from llmdeployment_operator.api.types import GROUP, PLURAL, VERSION
from llmdeployment_operator.kube.client import Access

Take = Callable[[str, Mapping[str, Any]], None]

WATCH_SECONDS = 60
"""How long a watch lasts before it is opened anew."""


def build_registry(take: Take) -> kopf.OperatorRegistry:
    """Return the handlers; `take` is given each event of an LLMDeployment: its type, and the object."""
    found = kopf.OperatorRegistry()

    async def on_deployment(event: Mapping[str, Any], **_: Any) -> None:  # noqa: ANN401  # because kopf fills them
        take(event.get("type") or "", event["object"])

    kopf.on.event(GROUP, VERSION, PLURAL, registry=found)(on_deployment)
    return found


def build_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: no peering, and no Events of its own."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    # Its scan for new kinds and namespaces needs cluster-wide rights, and ours are known beforehand.
    settings.scanning.disabled = True
    # When one of kopf's watchers fails for good, kopf ends once all other streams have: within this time.
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.client_timeout = WATCH_SECONDS + 10
    settings.watching.connect_timeout = 10
    return settings


def make_login(way: Access) -> Callable[..., kopf.ConnectionInfo | None]:
    """Return a login for kopf that goes the same way as the operator's own calls."""

    def found(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401  # because kopf fills them
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
