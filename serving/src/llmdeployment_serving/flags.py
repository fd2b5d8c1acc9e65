"""The flags of `vllm serve` for a `ServingConfig`, as text; needs no vLLM."""

from collections.abc import Mapping

from llmdeployment_serving.config import ServingConfig

MAX_LORAS, MAX_CPU_LORAS, MAX_LORA_RANK = 4, 16, 64
"""Adapters in one batch, adapters in memory (others are loaded again when needed), and the highest rank."""


NO_MEDIA_DOMAIN = "media-urls-are-off.invalid"
"""A host that cannot exist (RFC 2606), as the only one that images and other media may come from: by default vLLM fetches any
address that a client names, inside of the cluster too. Media in the request itself are not concerned."""


_POOLING = "--runner=pooling"
_TASK_FLAGS = {
    "Generate": ("--runner=generate",),
    "Embed": (_POOLING, "--convert=embed"),
    "Rerank": (_POOLING, "--convert=classify"),
    "Classify": (_POOLING, "--convert=classify"),
    # Reward models have classes of their own, which need no other head.
    "Reward": (_POOLING,),
}
"""How vLLM is told a task. A model whose class has the right head already is not converted."""


def build_vllm_flags(config: ServingConfig) -> list[str]:
    """Return the flags: the operator's first, then the user's. `true` is `--flag`, `false` is `--no-flag`, the rest `--flag=value`."""
    flags = [
        f"--model={config.model_path}",
        f"--served-model-name={config.served_name}",
        f"--tensor-parallel-size={config.tensor_parallel_size}",
        f"--pipeline-parallel-size={config.pipeline_parallel_size}",
    ]
    if config.tensor_parallel_size * config.pipeline_parallel_size > 1:
        # why: inside a Ray actor vLLM would start more actors instead of processes of this pod.
        flags.append("--distributed-executor-backend=mp")
    flags += _TASK_FLAGS[config.task] if config.task else ()
    if config.adapters:
        flags += _build_lora_flags(config.engine.args)
    if "allowed-media-domains" not in config.engine.args:
        flags.append(f"--allowed-media-domains={NO_MEDIA_DOMAIN}")
    for name, value in config.engine.args.items():
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no-{name}")
        else:
            flags.append(f"--{name}={value}")
    return flags


def _build_lora_flags(given: Mapping[str, object]) -> list[str]:
    """Return the flags that let vLLM load adapters, without the sizes that a user sets.

    >>> _build_lora_flags({"max-loras": 32})
    ['--enable-lora', '--max-cpu-loras=32', '--max-lora-rank=64']
    """
    batch = given.get("max-loras", MAX_LORAS)
    sizes = {
        "max-loras": batch,
        # why: vLLM refuses fewer than max-loras.
        "max-cpu-loras": max(MAX_CPU_LORAS, batch) if isinstance(batch, int) else MAX_CPU_LORAS,
        "max-lora-rank": MAX_LORA_RANK,
    }
    return ["--enable-lora", *(f"--{k}={v}" for k, v in sizes.items() if k not in given)]
