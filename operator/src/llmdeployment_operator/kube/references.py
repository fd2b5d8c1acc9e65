"""Whether what a spec names exists."""

from kubernetes.aio.client import ApiClient

from llmdeployment_operator.api.external import ApiKeyReference
from llmdeployment_operator.api.model import SecretKeyReference
from llmdeployment_operator.api.sources import CredentialsReference
from llmdeployment_operator.api.types import LLMDeployment, SecretReference, Spec
from llmdeployment_operator.kube.name_cache import NameCache
from llmdeployment_operator.kube.resources import SECRET
from llmdeployment_operator.plan.base.objects import Kind

_SecretRef = SecretReference | SecretKeyReference | ApiKeyReference | CredentialsReference | None


async def missing_secrets(
    client: ApiClient, names: NameCache, deployment: LLMDeployment
) -> tuple[str, ...]:
    """Return the Secrets that are named and do not exist, each with the field that names it. None is read."""
    evaluation = deployment.spec.rollout.evaluation
    judge = evaluation.judge if evaluation is not None else None
    judge_key = judge.api_key_secret_ref if judge is not None else None
    refs = {
        **_secrets_of_arms(deployment),
        **_secrets_of(deployment.spec),
        "spec.gateway.apiKeysSecretRef": deployment.spec.gateway.api_keys_secret_ref,
        "spec.rollout.evaluation.judge.apiKeySecretRef": judge_key,
    }
    missing = []
    for path, ref in refs.items():
        if ref is not None and not await names.exists(
            client, SECRET.kind, deployment.metadata.namespace, ref.name
        ):
            missing.append(f"Secret {ref.name} of {path}")
    return tuple(missing)


def _secrets_of_arms(deployment: LLMDeployment) -> dict[str, _SecretRef]:
    spec = deployment.spec
    return {
        path.replace("spec.", f"spec.arms {arm.name}: ", 1): ref
        for arm in spec.arms
        for path, ref in _secrets_of(spec.of_arm(arm)).items()
    }


def _secrets_of(spec: Spec) -> dict[str, _SecretRef]:
    external = spec.engine.external
    return {
        "spec.model.tokenSecretRef": spec.model.token_secret_ref,
        "spec.model.credentialsSecretRef": spec.model.credentials_secret_ref,
        "spec.engine.external.apiKeySecretRef": (
            external.api_key_secret_ref if external is not None else None
        ),
    }


async def missing_config_maps(
    client: ApiClient, names: NameCache, deployment: LLMDeployment
) -> frozenset[str]:
    """Return the ConfigMaps that are named and do not exist."""
    evaluation = deployment.spec.rollout.evaluation
    ref = evaluation.golden.config_map_ref if evaluation is not None else None
    namespace = deployment.metadata.namespace
    if ref is None or await names.exists(client, Kind.CONFIG_MAP, namespace, ref.name):
        return frozenset()
    return frozenset({ref.name})
