"""The flags of `engine: transformers`: a few of those of `vllm serve`, under the same names and with the same meaning.

A manifest that sets no other flags can change its engine by one word.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from llmdeployment_serving.errors import ConfigError

FLAGS = (
    "block-size",
    "dtype",
    "enable-prefix-caching",
    "gpu-memory-utilization",
    "kv-cache-memory-bytes",
    "max-model-len",
    "max-num-batched-tokens",
    "max-num-seqs",
    "seed",
)
"""The operator refuses others when the object is applied; a test holds both lists to be the same."""
DTYPES = ("auto", "bfloat16", "float16", "float32")

Value = bool | int | float | str


@dataclass(frozen=True)
class Flags:
    """The engine's settings.

    Attributes:
        block_size: tokens in a block of the KV cache; prompts share whole blocks only.
        dtype: of weights and KV cache; `auto` is what the model's files say.
        enable_prefix_caching: whether prompts that begin alike share their blocks.
        gpu_memory_utilization: share of the free memory of a GPU that the KV cache takes.
        kv_cache_memory_bytes: of the KV cache; None derives it from the memory.
        max_model_len: tokens of prompt and answer together; None takes what model and KV cache hold.
        max_num_batched_tokens: tokens of one step; None takes 512 on a CPU and 2,048 on a GPU.
        max_num_seqs: requests of one step.
        seed: of requests without a seed; None takes a new one at each start.
    """

    block_size: int = 32
    dtype: str = "auto"
    enable_prefix_caching: bool = True
    gpu_memory_utilization: float = 0.9
    kv_cache_memory_bytes: int | None = None
    max_model_len: int | None = None
    max_num_batched_tokens: int | None = None
    max_num_seqs: int = 256
    seed: int | None = None


_LEAST = {
    "block-size": 4,
    "kv-cache-memory-bytes": 1,
    "max-model-len": 2,
    "max-num-batched-tokens": 1,
    "max-num-seqs": 1,
    "seed": 0,
}


def parse_flags(args: Mapping[str, Value]) -> Flags:
    """Return the flags.

    >>> parse_flags({"max-model-len": "4096"}).max_model_len
    4096

    Raises:
        ConfigError: a flag is unknown, or has a value that it cannot have.
    """
    values: dict[str, Value] = {}
    for flag, value in args.items():
        name = flag.removeprefix("no-")
        if name not in FLAGS:
            raise ConfigError(describe_unknown_flag(flag))
        values[name.replace("-", "_")] = _read(name, flag != name, value)
    return Flags(**values)  # type: ignore[arg-type]  # because `_read` gives each flag its type


def describe_unknown_flag(flag: str) -> str:
    """Return the message about a flag of another engine."""
    return (
        f"the transformers engine has no flag {flag}: remove it from spec.engine.args. "
        f"It has {', '.join(FLAGS)}."
    )


def _read(name: str, is_negated: bool, value: Value) -> Value:  # noqa: FBT001  # because it is a part of the flag's name
    if name == "enable-prefix-caching":
        if not isinstance(value, bool):
            raise ConfigError(f"engine flag {name}: {value!r} is neither true nor false")
        return value is not is_negated
    if is_negated:
        raise ConfigError(f"engine flag no-{name}: {name} needs a value, so it has no opposite")
    if name == "dtype":
        if value not in DTYPES:
            raise ConfigError(f"engine flag dtype: {value!r} is none of {', '.join(DTYPES)}")
        return value
    if name == "gpu-memory-utilization":
        return _read_share(name, value)
    return _read_integer(name, value)


def _read_share(name: str, value: Value) -> float:
    try:
        share = float(value) if not isinstance(value, bool) else -1.0
    except ValueError:
        share = -1.0
    if not 0.0 < share <= 1.0:
        raise ConfigError(f"engine flag {name}: {value!r} is not a number above 0 and up to 1")
    return share


def _read_integer(name: str, value: Value) -> int:
    least = _LEAST[name]
    try:
        found = int(value) if not isinstance(value, (bool, float)) else least - 1
    except ValueError:
        found = least - 1
    if found < least:
        raise ConfigError(
            f"engine flag {name}: {value!r} is not a whole number of at least {least}"
        )
    return found
