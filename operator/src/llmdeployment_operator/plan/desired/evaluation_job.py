"""The Job that asks a revision the golden set, and who may talk to whom for it.

A Job's pod template cannot be changed, so a Job that exists is left as it was born; other questions or another attempt are a Job of
another name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.reasons import Reason
from llmdeployment_operator.plan.base.revisions import Revision
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.desired.golden_source import (
    GOLDEN_DIR,
    build_options,
    build_volume,
    choose_resources,
)
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.readiness import count_ready
from llmdeployment_operator.plan.resources.overlay import apply_overlay
from llmdeployment_operator.plan.resources.pod_security import container_security, pod_defaults
from llmdeployment_operator.plan.rollout.arms import Arms, ArmStep, list_arms
from llmdeployment_operator.plan.rollout.commands import read_commands
from llmdeployment_operator.plan.rollout.evaluation_result import (
    ATTEMPT,
    CONTAINER,
    GOLDEN,
    REVISION,
    EvaluationResult,
    hash_golden_set,
    is_finished,
    read_recorded,
    select_jobs,
)
from llmdeployment_operator.plan.rollout.gate import build_gate

_DNS = 53
_OF_RAY = ("env", "volumeMounts")
_SHARED = ("volumes", "imagePullSecrets", "nodeSelector", "tolerations")
"""Of the overlay on the runtime's pods, what the evaluation's pod has too: it runs in the same places."""


@dataclass(frozen=True)
class Ask:
    """What one Job is for.

    Attributes:
        target: the revision that is asked.
        name: the Job's.
        labels: what tells it from other Jobs of the revision and the golden set.
        baseline: the answers that the result is compared with, as `format_baseline` gives them.
    """

    target: Revision
    name: str
    labels: Mapping[str, str]
    baseline: str = ""


def plan_evaluations(
    deployment: LLMDeployment, arms: Arms, cluster: ClusterState, settings: Settings
) -> tuple[list[Object], list[Object]]:
    """Return the objects of all arms' evaluations: those to be made as they are here, and Jobs that exist and stay as they are.

    A Job is made when a rollout waits for it, and for a revision that serves and has no score yet: the next one is compared with
    it. It stays, ended, until its revision is not asked for any more or another attempt begins.

    Args:
        deployment: what the user asked for.
        arms: what each arm's rollout does now.
        cluster: the cluster.
        settings: images and defaults of this operator.
    """
    policy = deployment.spec.rollout.evaluation
    if policy is None:
        return [], []
    made, left = build_evaluation_policies(deployment.metadata.name, policy), []
    templates = {arm.name: arm.deployment for arm in list_arms(deployment)}
    for arm in arms.steps:
        if arm.name not in templates:
            continue
        jobs = select_jobs(cluster, arm.target.number, hash_golden_set(policy))
        attempt = _count_attempt(deployment, arm, cluster)
        if not _is_due(deployment, arm, cluster):
            left += _select_kept(arm, jobs, attempt)
        elif attempt in jobs:
            left.append(jobs[attempt])
        else:
            ask = _build_ask(deployment, policy, arm, attempt, cluster)
            made.append(build_job(templates[arm.name], policy, ask, settings))
    return made, left


def _is_on_its_way(arm: ArmStep) -> bool:
    return arm.step.canary == arm.target.number and not arm.step.weight


def _count_attempt(deployment: LLMDeployment, arm: ArmStep, cluster: ClusterState) -> int:
    """Return which attempt an evaluation would be: that of the rollout, or of an arm that has no requests yet."""
    if _is_on_its_way(arm):
        return arm.step.state.attempt
    gate = build_gate(deployment, cluster, arm.target.number, arm.target.number)
    if arm.weight or gate is None:
        return 1
    retry = read_commands(deployment.metadata.annotations).retry
    return gate.attempt(retry.get(arm.target.number))


def _is_due(deployment: LLMDeployment, arm: ArmStep, cluster: ClusterState) -> bool:
    stage = arm.step.stage
    waits = stage is not None and stage.reason is Reason.EVALUATING
    return (_is_on_its_way(arm) and waits) or _lacks_score(deployment, arm, cluster)


def _select_kept(arm: ArmStep, jobs: Mapping[int, Object], attempt: int) -> list[Object]:
    """Return the Job of a revision that stays: the last that ended, or one that is at it while its rollout is."""
    # A replica that is away for a moment ends no evaluation.
    going = _is_on_its_way(arm)
    kept = [n for n, job in jobs.items() if is_finished(job) or (going and n == attempt)]
    return [jobs[max(kept)]] if kept else []


def _lacks_score(deployment: LLMDeployment, arm: ArmStep, cluster: ClusterState) -> bool:
    """Say whether the target serves all of its arm, or is about to, and was not asked this golden set yet, or is to be again."""
    target = arm.target
    serves = arm.step.stable == arm.step.state.stable == target.number
    if not serves or not count_ready(cluster, target.runtime):
        return False
    gate = build_gate(deployment, cluster, target.number, target.number)
    if gate is None or gate.missing is not None:
        return False
    again = gate.verdict(_count_attempt(deployment, arm, cluster)).pending
    return not gate.outcomes or (not arm.weight and again is not None)


def _build_ask(
    deployment: LLMDeployment,
    policy: EvaluationSpec,
    arm: ArmStep,
    attempt: int,
    cluster: ClusterState,
) -> Ask:
    golden, target = hash_golden_set(policy), arm.target
    name = names.revision_name(deployment.metadata.name, target.number)
    baseline = ""
    if arm.step.stable != target.number:
        baseline = format_baseline(read_recorded(cluster, arm.step.stable, golden))
    return Ask(target, f"{name}-eval-{attempt}-{golden}", {ATTEMPT: str(attempt)}, baseline)


def format_baseline(before: EvaluationResult | None) -> str:
    """Return the answers to compare with as the Job's program reads them, so that it can name the questions that changed."""
    if before is None or before.answers is None:
        return ""
    return f"{before.answers.contents}:{before.answers.packed}"


def build_job(
    deployment: LLMDeployment, policy: EvaluationSpec, ask: Ask, settings: Settings
) -> Object:
    """Return the Job that asks a revision the golden set.

    Args:
        deployment: what the user asked for, of the revision's arm.
        policy: `spec.rollout.evaluation`.
        ask: the revision, and what the Job is called.
        settings: images and defaults of this operator.
    """
    labels = names.labels(deployment.metadata.name, component=names.EVALUATION) | {
        REVISION: str(ask.target.number),
        GOLDEN: hash_golden_set(policy),
        **ask.labels,
    }
    pod = {
        **pod_defaults(),
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        "containers": [_build_container(deployment, policy, ask, settings)],
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {"name": "golden", **build_volume(policy.golden)},
        ],
    }
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret} for secret in settings.image_pull_secrets]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": ask.name, "labels": labels},
        "spec": {
            "activeDeadlineSeconds": policy.timeout_seconds,
            "backoffLimit": 1,
            "template": {"metadata": {"labels": labels}, "spec": _apply_overlay(deployment, pod)},
        },
    }


def _build_container(
    deployment: LLMDeployment, policy: EvaluationSpec, ask: Ask, settings: Settings
) -> dict[str, Any]:
    target, baseline = ask.target, ask.baseline
    meta = deployment.metadata
    service = names.runtime_names(meta.name, target.runtime).name
    options = {
        "--url": f"http://{service}.{meta.namespace}.svc:{names.REPLICA_PORT}",
        "--revision": str(target.number),
        "--model": target.template["model"].get("servedName") or meta.name,
        **build_options(policy.golden),
        "--concurrency": str(policy.concurrency),
    }
    if policy.max_tokens is not None:
        options["--max-tokens"] = str(policy.max_tokens)
    env: list[dict[str, Any]] = [{"name": "HOME", "value": "/tmp"}]  # noqa: S108  # because it is the pod's own emptyDir
    if baseline:
        # An option would fail an older image, which does not know it.
        env.append({"name": "LLMD_BASELINE", "value": baseline})
    if (judge := policy.judge) is not None:
        options |= {"--judge-url": judge.url, "--judge-model": judge.model}
        options |= {"--judge-prompt": judge.prompt} if judge.prompt else {}
        if (ref := judge.api_key_secret_ref) is not None:
            source = {"secretKeyRef": {"name": ref.name, "key": ref.key}}
            env.append({"name": "LLMD_JUDGE_API_KEY", "valueFrom": source})
    return {
        "name": CONTAINER,
        "image": policy.image or deployment.spec.image or settings.serving_images.simulated,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["llmdeployment-serving"],
        "args": ["evaluate", *(_format_argument(*option) for option in options.items())],
        "env": env,
        "resources": choose_resources(policy.golden),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # because it is the pod's own emptyDir
            {"name": "golden", "mountPath": GOLDEN_DIR, "readOnly": True},
        ],
    }


def _format_argument(option: str, value: str) -> str:
    """Return an argument of a container: one text, so that a dash begins no option, and without `$(NAME)`, which kubelet fills in.

    >>> _format_argument("--judge-prompt", "- $(HOME) costs $5")
    '--judge-prompt=- $$(HOME) costs $$5'
    """
    return f"{option}={value.replace('$', '$$')}"


def _apply_overlay(deployment: LLMDeployment, pod: dict[str, Any]) -> dict[str, Any]:
    """Return the pod with its share of the overlay on the runtime's pods."""
    template = deployment.spec.pod_template
    given: dict[str, Any] = dict(template.spec or {}) if template is not None else {}
    containers = given.get("containers") or []
    ray: dict[str, Any] = next((c for c in containers if c.get("name") == "ray"), {})
    patch = {field: given[field] for field in _SHARED if field in given}
    patch["containers"] = [{"name": CONTAINER, **{f: ray[f] for f in _OF_RAY if f in ray}}]
    return apply_overlay(pod, patch)


def build_evaluation_policies(name: str, policy: EvaluationSpec) -> list[Object]:
    """Return what lets the evaluation's pods reach replicas and judge and nothing else, and lets them in at the replicas."""
    asks = names.selector(name, component=names.EVALUATION)
    workers = names.selector(name, component="worker")
    replicas = [_tcp(names.REPLICA_PORT)]
    egress: list[dict[str, Any]] = [
        {"ports": [_tcp(_DNS), {"protocol": "UDP", "port": _DNS}]},
        {"to": [{"podSelector": {"matchLabels": workers}}], "ports": replicas},
    ]
    if policy.judge is not None:
        url = urlsplit(policy.judge.url)
        egress.append({"ports": [_tcp(url.port or (443 if url.scheme == "https" else 80))]})
    ingress = [{"from": [{"podSelector": {"matchLabels": asks}}], "ports": replicas}]
    return [
        _build_policy(f"{name}-evaluation", name, asks, {"ingress": [], "egress": egress}),
        _build_policy(f"{name}-evaluated", name, workers, {"ingress": ingress}),
    ]


def _build_policy(name: str, owner: str, selector: dict[str, str], rules: dict[str, Any]) -> Object:
    spec = {
        "podSelector": {"matchLabels": selector},
        "policyTypes": [kind.capitalize() for kind in rules],
        **rules,
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": names.labels(owner, component=names.EVALUATION)},
        "spec": spec,
    }


def _tcp(port: int) -> dict[str, Any]:
    return {"protocol": "TCP", "port": port}
