"""What an operator was installed with, as the plan needs to know it."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Settings:
    """Images and defaults; `head_storage` is auto, pvc or emptyDir."""

    serving_image: str
    gateway_image: str
    operator_namespace: str
    operator_labels: dict[str, str]
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    head_storage: str = "auto"
    head_storage_size: str = "1Gi"
    operator_service_account: str = ""
    namespaces: tuple[str, ...] = field(default=())
