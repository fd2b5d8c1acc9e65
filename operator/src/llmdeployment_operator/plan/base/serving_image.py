"""Which serving image the pods of an LLMDeployment have, unless `spec.image` names one."""

from typing import Any, Literal

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.accelerators import count_accelerators
from llmdeployment_operator.plan.base.settings import Settings

Flavor = Literal["gpu", "cpu", "simulated"]

ENVIRONMENT = "/opt/llmdeployment/venv"
"""Path of the packages in the serving image (serving/Dockerfile)."""
_VOLUME = "serving-env"

WITH_WEIGHTS = frozenset({"vllm", "transformers"})
"""The engines that read a model's files. One image has them both, because vLLM brings PyTorch and transformers."""


def choose_flavor(deployment: LLMDeployment) -> Flavor:
    """Return the flavor that has the engine.

    Only engines with weights need a large one, which has PyTorch, transformers and vLLM. They run on CPUs if no accelerator is asked
    for.
    """
    if deployment.spec.engine.name not in WITH_WEIGHTS:
        return "simulated"
    resources = deployment.spec.resources.model_dump(mode="json", exclude_none=True)
    return "gpu" if count_accelerators(resources) else "cpu"


def choose_image(deployment: LLMDeployment, settings: Settings) -> str:
    """Return the image of a runtime's containers."""
    chosen: str = getattr(settings.serving_images, choose_flavor(deployment))
    return deployment.spec.image or chosen


def mount_environment(
    deployment: LLMDeployment, settings: Settings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the volumes of a pod and the mounts of its containers for the packages that the image lacks, if it does.

    A local cluster has no registry, and would copy 7 GB onto its node: its cpu image has no packages, and the claim has them.
    """
    claim = settings.environment_claim
    if not claim or deployment.spec.image or choose_flavor(deployment) != "cpu":
        return [], []
    volume = {"name": _VOLUME, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    return [volume], [{"name": _VOLUME, "mountPath": ENVIRONMENT, "readOnly": True}]
