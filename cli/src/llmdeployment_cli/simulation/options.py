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
