"""The command line of `vllm serve` that a `ServingConfig` stands for, as text; vLLM itself is not needed here."""

from llmdeployment_serving.config import ServingConfig


def vllm_flags(config: ServingConfig) -> list[str]:
    """Returns the flags: the operator's first, then the user's. `true` is `--flag`, `false` is `--no-flag`, the rest `--flag=value`."""
    flags = [
        f"--model={config.model_path}",
        f"--served-model-name={config.served_name}",
        f"--tensor-parallel-size={config.tensor_parallel_size}",
        f"--pipeline-parallel-size={config.pipeline_parallel_size}",
    ]
    if config.tensor_parallel_size * config.pipeline_parallel_size > 1:
        # why: inside a Ray actor vLLM would ask Ray for more actors; this pod's processes are meant.
        flags.append("--distributed-executor-backend=mp")
    for name, value in config.engine.args.items():
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no-{name}")
        else:
            flags.append(f"--{name}={value}")
    return flags
