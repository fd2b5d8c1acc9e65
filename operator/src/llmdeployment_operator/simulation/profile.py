"""What one replica of an engine can do: the parameters of the queueing model, and their JSON file."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llmdeployment_operator.simulation.errors import InputError


class Profile(BaseModel):
    """The rates and limits of one replica; the simulated engine (`engine.name: simulated`) has the same, as flags.

    A step with `n` running sequences that admits `p` prompt tokens takes

        p / prefill + (1 / decode - 1 / batch) + n / batch      seconds

    and gives every running sequence one token. Worked example: alone a token takes 10 ms; with 20 sequences a step takes
    0.0095 + 20 / 2000 = 19.5 ms.

    >>> profile = Profile()
    >>> round(profile.step_seconds(1, 0), 4), round(profile.step_seconds(20, 0), 4)
    (0.01, 0.0195)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefill_tokens_per_second: float = Field(20_000.0, gt=0, allow_inf_nan=False)
    decode_tokens_per_second: float = Field(100.0, gt=0, allow_inf_nan=False)
    """Of one sequence alone."""
    batch_tokens_per_second: float = Field(2_000.0, gt=0, allow_inf_nan=False)
    """What all sequences together approach."""
    max_num_seqs: int = Field(64, ge=1)
    max_num_batched_tokens: int = Field(8_192, ge=1)
    """Prompt tokens admitted in one step; a single longer prompt is still admitted alone."""
    kv_cache_tokens: int = Field(100_000, ge=1)
    warm_up_seconds: float = Field(18.0, ge=0, allow_inf_nan=False)
    """From the order of a replica to its first request."""

    @model_validator(mode="after")
    def _together_no_slower(self) -> "Profile":
        if self.batch_tokens_per_second < self.decode_tokens_per_second:
            raise ValueError("batch_tokens_per_second is below decode_tokens_per_second")
        return self

    def step_seconds(self, running: int, prompt_tokens: int) -> float:
        """Return how long a step takes."""
        per_sequence = 1.0 / self.batch_tokens_per_second
        fixed = 1.0 / self.decode_tokens_per_second - per_sequence
        return prompt_tokens / self.prefill_tokens_per_second + fixed + running * per_sequence


def parse_profile(document: object, name: str) -> Profile:
    """Return the profile in `document`, which is one, or holds one under `profile` as bench/profile_engine.py writes it.

    Raises:
        InputError: naming `name`, the field and what is wrong with it.
    """
    if isinstance(document, Mapping) and "profile" in document:
        document = document["profile"]
    if not isinstance(document, Mapping):
        raise InputError(f"{name} holds no engine profile: a JSON object such as {example()}")
    try:
        return Profile.model_validate(dict(document))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        where = f"{name}: {field}" if field else name
        raise InputError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None


def read_profile(path: Path) -> Profile:
    """Return the profile in a JSON file.

    Raises:
        InputError: It cannot be read, is no JSON, or describes no engine.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    try:
        return parse_profile(json.loads(text), str(path))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no JSON: {error}") from None


def example() -> str:
    """Return a profile as one line of JSON, for messages.

    >>> example()[:39]
    '{"prefill_tokens_per_second": 20000.0, '
    """
    return json.dumps(Profile().model_dump())
