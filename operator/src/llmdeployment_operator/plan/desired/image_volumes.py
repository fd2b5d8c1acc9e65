"""A model of an image needs a cluster that mounts images as volumes.

An API server without the feature drops the field, and then refuses the pods for a volume without a source, which nobody understands.
Whether it has the feature is known when the operator is installed.
"""

from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.rollout.arms import list_arms


def find_missing_image_volumes(deployment: LLMDeployment, settings: Settings) -> Finding | None:
    """Return why a model of an image cannot be served by this cluster, or None."""
    sources = (arm.deployment.spec.model.source for arm in list_arms(deployment))
    if settings.image_volumes or not any(source.startswith("oci://") for source in sources):
        return None
    return Finding(
        Reason.INVALID_SPEC,
        "spec.model.source is oci://, and this cluster does not mount images as volumes. Kubernetes does from 1.35 on. "
        "Use another source, or set imageVolumes=Enabled in the values of the operator's chart if the feature ImageVolume is on.",
    )
