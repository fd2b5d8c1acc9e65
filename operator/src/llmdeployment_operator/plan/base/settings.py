"""What an operator was installed with, as the plan needs to know it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Images and defaults.

    Attributes:
        head_storage: auto, pvc or emptyDir.
        runtime_egress: Restricted or Open.
        namespaces: those that are watched; empty: all.
        own_namespace: whether an LLMDeployment in `operator_namespace` is served.
    """

    serving_image: str
    gateway_image: str
    operator_namespace: str
    operator_labels: dict[str, str]
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    head_storage: str = "auto"
    head_storage_size: str = "1Gi"
    operator_service_account: str = ""
    runtime_egress: str = "Restricted"
    extra_egress: tuple[dict[str, Any], ...] = ()
    namespaces: tuple[str, ...] = field(default=())
    own_namespace: bool = False
