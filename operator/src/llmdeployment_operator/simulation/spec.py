"""What an LLMDeployment says that a simulation needs: its scaling, its engine's flags.

The object may be one that the API server would refuse for other reasons: only what is simulated is read.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from llmdeployment_operator.api.fields import describe_error
from llmdeployment_operator.api.scaling import ScalingSpec
from llmdeployment_operator.autoscaler.policy import read_policy, read_schedules
from llmdeployment_operator.autoscaler.schedules import Schedule, find_minimum
from llmdeployment_operator.autoscaler.types import ScalingPolicy
from llmdeployment_operator.simulation.errors import InputError
from llmdeployment_operator.simulation.profile import Profile, parse_profile


@dataclass(frozen=True)
class Subject:
    """What is simulated."""

    name: str
    policy: ScalingPolicy
    engine: str
    args: Mapping[str, Any]
    schedules: tuple[Schedule, ...] = ()

    def minimum_at(self, begins: float, speed: float) -> Callable[[float], int]:
        """Return what the schedules ask for, by the time since the start of a trace that was recorded from `begins` on.

        Args:
            begins: seconds since 1970.
            speed: how many times as fast the trace is replayed; its day is shorter, too.
        """
        return lambda at: find_minimum(self.schedules, begins + at * speed)


def subject(documents: Iterable[object], file: str) -> Subject:
    """Return what the one LLMDeployment among a file's YAML documents says.

    Raises:
        InputError: There is none, or more than one, or its scaling is wrong; the sentence names the file and the field.
    """
    found = [d for d in documents if isinstance(d, Mapping) and d.get("kind") == "LLMDeployment"]
    if len(found) != 1:
        how = "no LLMDeployment" if not found else f"{len(found)} LLMDeployments"
        raise InputError(f"{file} holds {how}; it is to hold one")
    spec = _mapping(found[0].get("spec"))
    if not spec.get("scaling"):
        raise InputError(f"{file}: spec.scaling is missing: say maxReplicas and targets")
    scaling, engine = _scaling(spec["scaling"], file), _mapping(spec.get("engine"))
    return Subject(
        name=str(_mapping(found[0].get("metadata")).get("name", "llm")),
        policy=read_policy(scaling),
        engine=str(engine.get("name", "vllm")),
        args=_mapping(engine.get("args")),
        schedules=read_schedules(scaling),
    )


def profile_for(wanted: Subject, profile: Profile | None) -> Profile:
    """Return the profile to simulate `wanted` with: `profile` where it fits, else what the flags of a simulated engine say.

    Raises:
        InputError: There is none, or it was measured with other limits than the spec's.
    """
    if profile is None:
        return _of_flags(wanted)
    for name in ("max_num_seqs", "max_num_batched_tokens"):
        flag = name.replace("_", "-")
        asked, measured = wanted.args.get(flag), getattr(profile, name)
        if asked is not None and str(asked) != str(measured):
            raise InputError(
                f"the engine profile does not fit spec.engine.args: {flag} is {asked} there and {measured} in the profile; measure again, "
                "or change one of them"
            )
    length = wanted.args.get("max-model-len")
    if isinstance(length, int) and length > profile.kv_cache_tokens:
        raise InputError(
            f"the engine profile does not fit spec.engine.args: max-model-len is {length}, but the profile's KV cache holds "
            f"{profile.kv_cache_tokens} tokens"
        )
    return profile


def _of_flags(wanted: Subject) -> Profile:
    if wanted.engine != "simulated":
        raise InputError(
            f"the engine is {wanted.engine}: say what one replica can do with --engine-profile FILE (bench/profile_engine.py measures it)"
        )
    flags = {flag.replace("-", "_"): value for flag, value in wanted.args.items()}
    fields = {name: flags[name] for name in Profile.model_fields if name in flags}
    return parse_profile({"warm_up_seconds": 0.0, **fields}, "spec.engine.args")


def _scaling(scaling: object, file: str) -> ScalingSpec:
    try:
        return ScalingSpec.model_validate(scaling)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InputError(f"{file}: spec.scaling: {describe_error(first)}") from None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
