"""What is rehearsed: the rollout of one LLMDeployment, as the API server would take it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmdeployment_operator.api.rollout import RolloutSpec, parse_seconds
from llmdeployment_operator.api.types import KIND, LLMDeployment, SpecError, parse
from llmdeployment_operator.plan.base.accelerators import count_accelerators
from llmdeployment_operator.plan.rollout.surge import count_room
from llmdeployment_operator.simulation.errors import InputError


@dataclass(frozen=True)
class Change:
    """A rollout.

    Attributes:
        name: of the LLMDeployment.
        policy: `spec.rollout`.
        replicas: what carries all requests, all the time.
        accelerators: of one replica, by name.
        keeps_users: whether the gateway keeps a user with a revision, as it does unless it is an HTTPRoute.
    """

    name: str
    policy: RolloutSpec
    replicas: int
    accelerators: Mapping[str, int]
    keeps_users: bool = True

    @property
    def shortest(self) -> int:
        """The seconds that the rollout takes at least, warm-ups left out."""
        analysis = self.policy.analysis
        least = parse_seconds(analysis.min_duration) if analysis is not None else 0
        return sum(
            max(
                parse_seconds(step.pause.duration) if step.pause and step.pause.duration else 0,
                least if step.analysis else 0,
            )
            for step in self.policy.steps
        )

    @property
    def warm_ups(self) -> int:
        """How many times replicas are waited for at most: before each step, and with maxSurge each time that some are replaced.

        A step of a canary and the promotion, and 4 replicas that are replaced one at a time: 2 + 4 times.
        """
        moves, limit = len(self.policy.steps) + 1, self.policy.max_surge
        if limit is None:
            return moves
        return moves - -self.replicas // count_room(limit, self.replicas)

    @property
    def warm_window(self) -> int:
        """The seconds for which the previous revision is kept warm after the promotion."""
        return parse_seconds(self.policy.rollback_window)


def read_change(documents: Iterable[object], file: str, replicas: int | None = None) -> Change:
    """Return the rollout of the one LLMDeployment among a file's YAML documents.

    Args:
        documents: of the file.
        file: its name, for people.
        replicas: instead of those that the spec asks for.

    Raises:
        InputError: there is none, the API server would refuse it, or it has no rollout that can be rehearsed.
    """
    found = [each for each in documents if isinstance(each, dict) and each.get("kind") == KIND]
    if len(found) != 1:
        how = "no LLMDeployment" if not found else f"{len(found)} LLMDeployments"
        raise InputError(f"{file} holds {how}. Give a file that holds one.")
    deployment = _parse(found[0], file)
    if (why := _explain_refusal(deployment)) is not None:
        raise InputError(f"{file}: {why}")
    number = _count_replicas(deployment) if replicas is None else replicas
    if not number:
        raise InputError(
            f"{file}: spec.replicas is 0, so nothing rolls out. Give a number with --replicas."
        )
    resources = deployment.spec.resources.model_dump(mode="json", exclude_none=True)
    return Change(
        deployment.metadata.name,
        deployment.spec.rollout,
        number,
        count_accelerators(resources),
        keeps_users=deployment.spec.gateway.mode != "HTTPRoute",
    )


def _parse(document: dict[str, Any], file: str) -> LLMDeployment:
    metadata = document.get("metadata")
    # What the API server adds to an object that is new.
    filled = {"namespace": "default", "uid": "rehearsal"}
    filled |= metadata if isinstance(metadata, dict) else {}
    try:
        return parse({**document, "metadata": filled})
    except SpecError as error:
        raise InputError(f"{file}: {error}") from None


def _explain_refusal(deployment: LLMDeployment) -> str | None:
    spec = deployment.spec
    if spec.rollout.strategy == "Recreate":
        return (
            "spec.rollout.strategy is Recreate, which stops the old revision first. "
            "Set Canary or BlueGreen to rehearse it."
        )
    if spec.arms:
        return (
            "spec.arms has several arms, and each has a rollout of its own. "
            "Rehearse a copy without arms."
        )
    if spec.paused:
        return "spec.paused is true, so nothing rolls out. Set it to false to rehearse it."
    return None


def _count_replicas(deployment: LLMDeployment) -> int:
    scaling = deployment.spec.scaling
    return deployment.spec.replicas if scaling is None else max(1, scaling.min_replicas)
