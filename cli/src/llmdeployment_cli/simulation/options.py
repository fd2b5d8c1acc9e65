"""The options of `kubectl llm simulate`. Imports nothing of the extra `simulate`."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class SimulationOptions:
    """What the user asked for.

    Attributes:
        file: YAML file with the LLMDeployment.
        trace: file with requests over time, or a recipe such as `poisson:rate=5,seconds=3600`.
        profile: JSON file that says what one replica can do, or None.
        speed: how many times faster than recorded the trace is replayed.
        warm_up: seconds from a replica's order to its first request; None for the profile's.
        begins: when the trace begins, or None.
        price: of one replica for an hour, in any currency, or None.
        compare: whether fixed numbers of replicas and other autoscalers run too.
        sweep: whether other targets run too.
        picture: PNG file to write, or None.
        decisions: how many decisions to list, at most.
    """

    file: Path
    trace: str
    profile: Path | None
    speed: float
    warm_up: float | None
    begins: datetime | None
    price: float | None
    compare: bool
    sweep: bool
    picture: Path | None
    decisions: int


@dataclass(frozen=True)
class RehearsalOptions:
    """What the user asked for with `--rollout`.

    Attributes:
        file: YAML file with the LLMDeployment that is to roll out.
        trace: file with requests over time, or a recipe.
        speed: how many times faster than recorded the trace is replayed.
        warm_up: seconds from a replica's order to its first request, or None.
        harms: canaries, such as `errors=5`; none for the default ones.
        stable: the stable revision's percent of bad requests, such as `ttft=8`.
        users: how many there are.
        correlation: of two requests of one user.
        replicas: instead of the spec's, or None.
        runs: of each kind of canary.
        seed: of chance.
        output: `json` or `yaml` for programs, or None.
    """

    file: Path
    trace: str
    speed: float
    warm_up: float | None
    harms: tuple[str, ...]
    stable: tuple[str, ...]
    users: int
    correlation: float
    replicas: int | None
    runs: int
    seed: int
    output: str | None
