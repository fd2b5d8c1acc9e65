"""Pods that would be taken for the operator itself are not made.

An LLMDeployment in the operator's own namespace could otherwise have the operator's ServiceAccount, and with it every right of the
operator, or its labels, which every NetworkPolicy of ours lets in. Such an LLMDeployment is served only where the operator's admin
has said so, and even then without those two.
"""

from llmdeployment_operator.api.pod_template import PodTemplate
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.rollout.arms import list_arms

_ACCOUNT_FIELDS = ("serviceAccountName", "serviceAccount")


def find_impersonation(deployment: LLMDeployment, settings: Settings) -> Finding | None:
    """Return why an LLMDeployment is refused, or None."""
    if deployment.metadata.namespace != settings.operator_namespace:
        return None
    if not settings.own_namespace:
        return Finding(
            Reason.INVALID_SPEC,
            f"Namespace {settings.operator_namespace} is the operator's own, and an LLMDeployment in it is not served. "
            "Create it in another namespace, or set watch.ownNamespace=true in the values of the operator's chart.",
        )
    templates = (arm.deployment.spec.pod_template for arm in list_arms(deployment))
    found = (_check(each, settings) for each in templates if each is not None)
    return next((Finding(Reason.INVALID_SPEC, why) for why in found if why), None)


def _check(template: PodTemplate, settings: Settings) -> str:
    pod = template.spec or {}
    account = settings.operator_service_account
    if account and any(pod.get(field) == account for field in _ACCOUNT_FIELDS):
        return (
            f"spec.podTemplate.spec.serviceAccountName is {account}, the operator's own. "
            "Use another ServiceAccount."
        )
    labels = (template.metadata.labels if template.metadata else None) or {}
    own = settings.operator_labels
    if own and own.items() <= labels.items():
        return "spec.podTemplate.metadata.labels are the operator's own. Use other labels."
    return ""
