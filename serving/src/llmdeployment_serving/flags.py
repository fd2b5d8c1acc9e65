"""The flags of `vllm serve` for a `ServingConfig`, as text; needs no vLLM."""

from collections.abc import Mapping, MutableMapping

from llmdeployment_serving.config import ServingConfig
from llmdeployment_serving.span_export import ENDPOINT

MAX_LORAS, MAX_CPU_LORAS, MAX_LORA_RANK = 4, 16, 64
"""Adapters in one batch, adapters in memory (others are loaded again when needed), and the highest rank."""


_TRACES_FLAG = "otlp-traces-endpoint"

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
        if isinstance(value, bool) and "." in name:
            # why: a part of a JSON flag needs a value, or vLLM takes the next flag for it.
            flags.append(f"--{name}={str(value).lower()}")
        elif isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no-{name}")
        else:
            flags.append(f"--{name}={value}")
    return flags


TRACES = "LLMD_TRACES"
"""Variable that is `true` where the engine too makes spans; the operator sets it."""


def build_trace_flags(config: ServingConfig, environment: MutableMapping[str, str]) -> list[str]:
    """Return the flags that let vLLM make spans, and set the variables that it and OpenTelemetry read; nothing where nobody wants them.

    vLLM takes the whole URL, and speaks gRPC if it is not told otherwise. It makes a span of each request that comes without a trace, so
    the sampler is one that follows the replica's decision and samples nothing else.

    >>> wanted = {"LLMD_TRACES": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}
    >>> build_trace_flags(ServingConfig(served_name="chat", model_path="m"), wanted), wanted["OTEL_TRACES_SAMPLER"]
    (['--otlp-traces-endpoint=http://collector:4318/v1/traces'], 'parentbased_always_off')
    """
    endpoint = environment.get(ENDPOINT, "").rstrip("/")
    if not endpoint or environment.get(TRACES) != "true" or _TRACES_FLAG in config.engine.args:
        return []
    environment.setdefault("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
    environment.setdefault("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    environment.setdefault("OTEL_SERVICE_NAME", "vllm")
    return [f"--{_TRACES_FLAG}={endpoint}/v1/traces"]


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
