"""What an operator was installed with, as the plan needs to know it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ServingImages:
    """The flavors of the serving image.

    Attributes:
        gpu: holds vLLM for NVIDIA GPUs.
        cpu: holds vLLM for CPUs.
        simulated: holds no engine but the simulated one and the one for an API elsewhere; it is small.
    """

    gpu: str
    cpu: str
    simulated: str


@dataclass(frozen=True)
class ModelCache:
    """The cache of models that pods share.

    Attributes:
        path: folder of each node, below which each namespace has its own; empty with a claim.
        claim: name of a PersistentVolumeClaim in each namespace; empty with a path.
        size_bytes: bytes that a namespace may have there; 0: as many as the volume has.
        verify: Changed or Always.
    """

    path: str = ""
    claim: str = ""
    size_bytes: int = 0
    verify: str = "Changed"


@dataclass(frozen=True)
class Settings:
    """Images and defaults.

    Attributes:
        environment_claim: a claim with the packages that the cpu image lacks, in each namespace; empty: it lacks none.
        log_format: json or text, of the operator and of the pods that it makes.
        head_storage: auto, pvc or emptyDir.
        runtime_egress: Restricted or Open.
        scrapers: who may read the metrics of gateways, replicas and Ray, as peers of a NetworkPolicy; empty: nobody.
        scrape_annotations: whether new pods say by annotations where their metrics are.
        console_labels: of the console's pods in `operator_namespace`, if viewers may ask replicas there; empty: nobody may.
        namespaces: those that are watched; empty: all.
        image_volumes: whether the cluster mounts images as volumes.
        model_cache: where downloaded models are kept; None: in each pod.
        own_namespace: whether an LLMDeployment in `operator_namespace` is served.
        otlp_endpoint: base URL of a collector that takes OTLP over HTTP; empty: there is none.
        otlp_headers_secret: name of a Secret in each namespace, with the headers that it wants; empty: it wants none.
        allow_content: whether request logs may have prompts and answers.
    """

    serving_images: ServingImages
    gateway_image: str
    operator_namespace: str
    operator_labels: dict[str, str]
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    head_storage: str = "auto"
    head_storage_size: str = "1Gi"
    operator_service_account: str = ""
    environment_claim: str = ""
    log_format: str = "text"
    runtime_egress: str = "Restricted"
    extra_egress: tuple[dict[str, Any], ...] = ()
    scrapers: tuple[dict[str, Any], ...] = ()
    scrape_annotations: bool = False
    console_labels: dict[str, str] = field(default_factory=dict)
    namespaces: tuple[str, ...] = field(default=())
    own_namespace: bool = False
    otlp_endpoint: str = ""
    otlp_headers_secret: str = ""
    image_volumes: bool = False
    model_cache: ModelCache | None = None
    allow_content: bool = False
