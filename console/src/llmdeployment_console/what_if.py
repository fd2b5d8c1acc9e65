"""What another target or another number of replicas would have made of the last hour's traffic: the simulator, run twice.

The operator's own law decides in both runs: once with the spec as it is, and once with what the page asks for. What the simulator needs
and nobody recorded is assumed, and said.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from llmdeployment_cli.arms import Object
from llmdeployment_cli.errors import Refusal
from llmdeployment_console.recording import Recording, make_rate
from llmdeployment_operator.api.status_document import read_status
from llmdeployment_operator.api.types import LLMDeployment, SpecError, parse
from llmdeployment_operator.autoscaler.types import BOUNDS, ScalingPolicy, Target
from llmdeployment_operator.plan.cost.charge import find_price
from llmdeployment_operator.simulation.errors import InputError
from llmdeployment_operator.simulation.generators import arrivals, lognormal_tokens
from llmdeployment_operator.simulation.profile import Profile, parse_profile
from llmdeployment_operator.simulation.result import Result
from llmdeployment_operator.simulation.series import slots
from llmdeployment_operator.simulation.spec import Subject, profile_for, subject
from llmdeployment_operator.simulation.study import Setting
from llmdeployment_operator.simulation.trace import Request

SLOTS = 120
MOST_REPLICAS = 64
"""That the page can ask for."""
PROMPT_TOKENS, OUTPUT_TOKENS = 500.0, 200.0
"""Of a request whose length nobody recorded, on average."""
_DEFAULT = Target("ttft", 90, 0.5)
_SEED = 1


class Choice(BaseModel):
    """What the page asks for instead of the spec. The target is the first of the spec, or one on the time to first token."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    milliseconds: float = Field(gt=0, le=600_000, allow_inf_nan=False)
    minimum: int = Field(ge=1, le=MOST_REPLICAS)
    maximum: int = Field(ge=1, le=MOST_REPLICAS)
    profile: dict[str, Any] | None = None


class WhatIfRequest(BaseModel):
    """What the page sends; without a choice only the spec as it is runs."""

    model_config = ConfigDict(extra="forbid")
    choice: Choice | None = None


@dataclass(frozen=True)
class Money:
    """What a replica costs for an hour."""

    replica_hour: float
    currency: str


@dataclass(frozen=True)
class Study:
    """All that two runs have in common.

    Attributes:
        setting: traffic, one replica, and the policy as it is.
        price: of a replica; None without one.
        assumptions: sentences on what nobody recorded.
    """

    setting: Setting
    price: Money | None
    assumptions: tuple[str, ...]


def run(deployment: Object, recording: Recording, choice: Choice | None) -> dict[str, Any]:
    """Return both runs; `changed` is None without a choice.

    Raises:
        Refusal: there is nothing that can be simulated; the message says why.
    """
    if choice is not None and choice.minimum > choice.maximum:
        raise Refusal("the least number of replicas is above the most. Move one of them.")
    try:
        study = prepare(deployment, recording, choice)
    except InputError as error:
        raise Refusal(f"this cannot be simulated: {error}.") from error
    policy = study.setting.policy
    changed = None
    if choice is not None:
        changed = _run_policy(study, change_policy(policy, choice))
    target = policy.targets[0]
    now = _run_policy(study, policy)
    return {
        "begins": recording.begins,
        "now": now,
        "changed": changed,
        "assumptions": list(study.assumptions),
        "choice": {
            "metric": target.metric,
            "percentile": target.percentile,
            "milliseconds": target.seconds * 1000,
            "minimum": max(1, policy.minimum),
            "maximum": min(policy.maximum, MOST_REPLICAS),
        },
        "steps": list_steps(target.seconds),
        "mostReplicas": MOST_REPLICAS,
    }


def change_policy(policy: ScalingPolicy, choice: Choice) -> ScalingPolicy:
    """Return a policy with another first target and other bounds.

    >>> change_policy(ScalingPolicy(1, 4, (Target("ttft", 90, 0.5),)), Choice(milliseconds=300, minimum=2, maximum=8)).targets
    (Target(metric='ttft', percentile=90, seconds=0.3),)
    """
    first, *others = policy.targets
    return ScalingPolicy(
        choice.minimum,
        choice.maximum,
        (replace(first, seconds=choice.milliseconds / 1000), *others),
    )


def list_steps(seconds: float) -> list[float]:
    """Return the values of a target that can be chosen, in milliseconds: its own, and the buckets' bounds from a tenth to ten times it.

    >>> list_steps(0.5)[:4], list_steps(0.5)[-1]
    ([50.0, 75.0, 100.0, 150.0], 5000.0)
    """
    slack = 1e-9
    near = {each for each in BOUNDS if seconds / 10 - slack <= each <= seconds * 10 + slack}
    return [round(each * 1000, 3) for each in sorted(near | {seconds})]


def prepare(deployment: Object, recording: Recording, choice: Choice | None) -> Study:
    """Return what is simulated, with all that is assumed.

    Raises:
        Refusal: the spec cannot be read, or has no replicas.
        InputError: the profile or the scaling cannot be used.
    """
    try:
        found = parse(deployment)
    except SpecError as error:
        raise Refusal(f"the spec cannot be read: {error}") from error
    if found.spec.engine.name == "external":
        raise Refusal("an API elsewhere has no replicas here, so there is nothing to simulate.")
    assumptions: list[str] = []
    wanted = _read_subject(deployment, found, assumptions)
    profile = _choose_profile(wanted, choice, assumptions)
    prompt, output = _choose_lengths(deployment, recording, assumptions)
    assumptions.append(
        "Requests arrive by chance (Poisson) at the recorded rate: what is shorter than a point is not on record."
    )
    if wanted.schedules:
        assumptions.append(
            "spec.scaling.schedules raise the least number of replicas at their times."
        )
    if recording.uncounted_seconds:
        assumptions.append(
            f"For {recording.uncounted_seconds / 60:.0f} min nobody counted; no requests are assumed there."
        )
    assumptions.append(
        f"A replica takes {profile.warm_up_seconds:g} s from its order to its first request."
    )
    assumptions.append("All replicas are of one kind: arms and revisions are not told apart.")

    def traffic() -> Iterable[Request]:
        tokens = lognormal_tokens(prompt, output)
        return arrivals(make_rate(recording), recording.seconds, tokens, seed=_SEED)

    floor = wanted.minimum_at(recording.begins, 1.0) if wanted.schedules else None
    price = _read_price(found, assumptions)
    return Study(Setting(traffic, profile, wanted.policy, floor), price, tuple(assumptions))


def _read_subject(deployment: Object, found: LLMDeployment, assumptions: list[str]) -> Subject:
    if found.spec.scaling is not None:
        return subject([{**deployment, "kind": "LLMDeployment"}], "the LLMDeployment")
    replicas = max(1, found.spec.replicas)
    assumptions.append(
        f"spec.scaling is missing. The number of replicas is fixed ({replicas}), and the target is "
        f"{_DEFAULT.metric} p{_DEFAULT.percentile} {_DEFAULT.seconds * 1000:g} ms."
    )
    engine = deployment["spec"].get("engine") or {}
    policy = ScalingPolicy(replicas, replicas, (_DEFAULT,))
    return Subject(found.metadata.name, policy, found.spec.engine.name, engine.get("args") or {})


def _choose_profile(wanted: Subject, choice: Choice | None, assumptions: list[str]) -> Profile:
    if choice is not None and choice.profile is not None:
        return profile_for(wanted, parse_profile(choice.profile, "the profile"))
    if wanted.engine == "simulated":
        assumptions.append("One replica is as spec.engine.args says.")
        return profile_for(wanted, None)
    profile = Profile()
    assumptions.append(
        f"Nobody measured this engine, so one replica is assumed to prefill {profile.prefill_tokens_per_second:g} tokens/s and to "
        f"decode {profile.decode_tokens_per_second:g} tokens/s for one request and up to {profile.batch_tokens_per_second:g} tokens/s "
        "for many. Give a profile of bench/profile_engine.py for figures that mean something."
    )
    return profile


def _choose_lengths(
    deployment: Object, recording: Recording, assumptions: list[str]
) -> tuple[float, float]:
    """Return the mean tokens of prompts and of answers."""
    cost = read_status(deployment.get("status")).cost
    rows = [row for row in (cost.revisions if cost else ()) if row.prompt_tokens]
    requests = sum(row.requests for row in rows)
    prompt, source = PROMPT_TOKENS, "as nobody recorded them"
    if requests:
        prompt, source = (
            sum(row.prompt_tokens for row in rows) / requests,
            "as this month (status.cost)",
        )
    assumptions.append(f"Prompts have {prompt:.0f} tokens on average, {source}.")
    output, source = recording.output_tokens, "as in this hour"
    if output is None:
        output, source = OUTPUT_TOKENS, "as nobody recorded them"
    assumptions.append(
        f"Answers have {output:.0f} tokens on average, {source}. Both spread log-normally."
    )
    return max(1.0, prompt), max(1.0, output)


def _read_price(found: LLMDeployment, assumptions: list[str]) -> Money | None:
    cost = found.spec.cost
    resources = found.spec.resources.model_dump(by_alias=True, exclude_none=True)
    pod = {"spec": {"containers": [{"resources": resources}]}}
    price = find_price(cost, pod, external=False).replica_hour if cost is not None else None
    if cost is None or not price:
        assumptions.append("spec.cost has no price of a replica, so there is no cost.")
        return None
    return Money(float(price), cost.currency)


def _run_policy(study: Study, policy: ScalingPolicy) -> dict[str, Any]:
    setting = replace(study.setting, policy=policy)
    result = setting.run(setting.law())
    over = slots(result, SLOTS)
    return {
        "minimum": policy.minimum,
        "maximum": policy.maximum,
        "targets": [_describe_target(result, each) for each in policy.targets],
        "requests": result.requests,
        "failed": result.failed,
        "meanReplicas": result.mean_replicas,
        "ttftP90": _finite(result.percentile("ttft", 90)),
        "cost": _describe_cost(study.price, result),
        "slotSeconds": over.seconds,
        "load": list(over.load),
        "replicas": list(over.existing),
        "decisions": len(result.decisions),
    }


def _describe_target(result: Result, target: Target) -> dict[str, Any]:
    return {
        "metric": target.metric,
        "percentile": target.percentile,
        "milliseconds": target.seconds * 1000,
        "share": result.attainment(target),
    }


def _describe_cost(price: Money | None, result: Result) -> dict[str, Any] | None:
    """Return the cost per hour: the mean number of replicas times the price of one."""
    if price is None:
        return None
    return {"amount": result.mean_replicas * price.replica_hour, "currency": price.currency}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
