"""`spec.engine.name: transformers`: what this engine has no way to do, refused with the field."""

from collections.abc import Iterable

NAME = "transformers"

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
"""Its flags, which mean what they mean to vLLM; serving has the same list."""

NO_ADAPTERS = (
    "spec.model.adapters cannot be set with spec.engine.name transformers, which loads no LoRA adapters. "
    "Use vllm, or merge the adapter into the model."
)
NO_PARALLELISM = (
    "spec.parallelism cannot be set with spec.engine.name transformers, which runs a replica on one GPU. "
    "Use vllm, or remove it."
)
SPEC_RULES = (
    (
        "self.engine.name != 'transformers' || !has(self.model.adapters) || self.model.adapters.size() == 0",
        NO_ADAPTERS,
    ),
    (
        "self.engine.name != 'transformers' || (self.parallelism.tensor == 1 && self.parallelism.pipeline == 1)",
        NO_PARALLELISM,
    ),
)


def check_transformers(args: Iterable[str], adapters: int, accelerators: int) -> None:
    """Check a spec with this engine. CEL cannot list the names of free flags, so `args` are checked here alone.

    Args:
        args: names of the flags.
        adapters: how many adapters the model has.
        accelerators: tensor times pipeline parallelism.

    Raises:
        ValueError: a sentence with the field and the fix.
    """
    if adapters:
        raise ValueError(NO_ADAPTERS)
    if accelerators != 1:
        raise ValueError(NO_PARALLELISM)
    for flag in args:
        if flag.removeprefix("no-") not in FLAGS:
            raise ValueError(describe_unknown_flag(flag))


def describe_unknown_flag(flag: str) -> str:
    """Return the sentence for a flag that only vLLM has."""
    return (
        f"spec.engine.args cannot contain {flag} with spec.engine.name transformers, "
        f"which has {', '.join(FLAGS)}. Remove it, or use vllm."
    )
