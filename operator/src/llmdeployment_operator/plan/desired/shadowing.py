"""What the stable replicas are told of a canary's shadow, and what lets them reach the canary's."""

from collections.abc import Iterable, Mapping
from typing import Any

from llmdeployment_operator.api.shadow import ShadowSpec
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.revisions import Revision
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.rollout.arms import Arms
from llmdeployment_operator.plan.rollout.shadow import casts_shadow

Pair = tuple[Revision, Revision]
"""A stable revision and its canary."""


def list_shadowed(arms: Arms, revisions: Iterable[Revision]) -> list[Pair]:
    """Return who shadows whom now; two arms may have the same pair, which is one."""
    known = {revision.number: revision for revision in revisions}
    pairs = {
        (arm.step.stable, arm.target.number): None
        for arm in arms.steps
        if casts_shadow(arm.step, arm.target.number) and arm.step.stable in known
    }
    return [(known[stable], known[canary]) for stable, canary in pairs]


def cast_shadows(
    deployment: LLMDeployment, puts: Mapping[str, dict[str, Any]], pairs: Iterable[Pair]
) -> dict[str, dict[str, Any]]:
    """Return the declarations to Ray Serve, by runtime, with the shadows that the replicas cast.

    Without one it is as it was: replicas of an older image refuse a field that they do not know.
    """
    policy, found = deployment.spec.rollout.shadow, dict(puts)
    rows: dict[str, list[dict[str, Any]]] = {}
    for stable, canary in pairs:
        if policy is not None and stable.runtime in found:
            row = _build_row(deployment, policy, stable, canary)
            rows.setdefault(stable.runtime, []).append(row)
    for runtime, shadows in rows.items():
        found[runtime] = _add(found[runtime], shadows)
    return found


def _build_row(
    deployment: LLMDeployment, policy: ShadowSpec, stable: Revision, canary: Revision
) -> dict[str, Any]:
    meta = deployment.metadata
    service = names.runtime_names(meta.name, canary.runtime).name
    return {
        "stable": str(stable.number),
        "revision": str(canary.number),
        "url": f"http://{service}.{meta.namespace}.svc:{names.REPLICA_PORT}",
        "percent": policy.percent,
        "maxTokens": policy.max_tokens,
        "seconds": policy.timeout_seconds,
    }


def _add(body: Mapping[str, Any], shadows: list[dict[str, Any]]) -> dict[str, Any]:
    (application,) = body["applications"]
    (replica,) = application["deployments"]
    told = {**replica, "user_config": {**replica["user_config"], "shadows": shadows}}
    return {**body, "applications": [{**application, "deployments": [told]}]}


def build_shadow_policies(name: str, pairs: Iterable[Pair], settings: Settings) -> list[Object]:
    """Return what lets the replicas that cast a shadow reach the canary's, where these are other pods.

    Args:
        name: of the LLMDeployment.
        pairs: who shadows whom.
        settings: where a runtime may call at all; where it may call everywhere, a policy for one place would take that away.
    """
    found = []
    for stable, canary in pairs:
        if stable.runtime == canary.runtime:
            continue
        asks, asked = (
            {"matchLabels": names.selector(name, runtime=each.runtime, component="worker")}
            for each in (stable, canary)
        )
        ports = [{"protocol": "TCP", "port": names.REPLICA_PORT}]
        prefix = f"{names.revision_name(name, canary.number)}-of-{stable.number}"
        ingress = [{"from": [{"podSelector": asks}], "ports": ports}]
        found.append(_build_policy(f"{prefix}-shadowed", name, asked, {"ingress": ingress}))
        if settings.runtime_egress != "Open":
            egress = [{"to": [{"podSelector": asked}], "ports": ports}]
            found.append(_build_policy(f"{prefix}-shadow", name, asks, {"egress": egress}))
    return found


def _build_policy(name: str, owner: str, selector: Object, rules: dict[str, Any]) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        # Of the evaluation, as far as others are concerned: no runtime's, and not the front door's.
        "metadata": {"name": name, "labels": names.labels(owner, component=names.EVALUATION)},
        "spec": {
            "podSelector": selector,
            "policyTypes": [kind.capitalize() for kind in rules],
            **rules,
        },
    }
