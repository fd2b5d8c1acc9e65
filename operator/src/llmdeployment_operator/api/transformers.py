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

CANNOT = frozenset(
    {"add_generation_prompt", "add_special_tokens", "allowed_token_ids", "audio"}
    | {"bad_words", "best_of", "cache_salt", "chat_template"}
    | {"continue_final_message", "documents", "ec_transfer_params", "echo"}
    | {"frequency_penalty", "function_call", "functions", "guided_choice"}
    | {"guided_grammar", "guided_json", "guided_regex", "include_reasoning"}
    | {"include_stop_str_in_output", "kv_transfer_params", "length_penalty"}
    | {"logit_bias", "logprob_token_ids", "logprobs", "media_io_kwargs", "min_tokens"}
    | {"mm_payload", "mm_processor_kwargs", "modalities", "n", "presence_penalty"}
    | {"priority", "prompt_embeds", "prompt_logprobs", "reasoning_effort"}
    | {"repetition_detection", "repetition_penalty", "response_format"}
    | {"return_mm_kwargs", "return_prompt_text", "return_token_ids"}
    | {"return_token_offsets", "return_tokens_as_token_ids"}
    | {"routed_experts_prompt_start", "skip_special_tokens"}
    | {"spaces_between_special_tokens", "stream_interval", "structured_outputs"}
    | {"suffix", "thinking_token_budget", "tool_choice", "tools", "top_logprobs"}
    | {"truncate_prompt_tokens", "truncation_side", "use_beam_search", "vllm_xargs"}
    | {"watermarking"}
)
"""Request fields that it refuses; serving has the same list, with the values of each that ask for nothing."""

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


def check_transformers(
    args: Iterable[str], defaults: Iterable[str], adapters: int, accelerators: int
) -> None:
    """Check a spec with this engine. CEL cannot list free names, so `args` and `defaults` are checked here alone.

    Args:
        args: names of the flags.
        defaults: names of the request fields in `spec.prompt.defaults`.
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
    for name in defaults:
        if name in CANNOT:
            raise ValueError(
                f"spec.prompt.defaults cannot contain {name} with spec.engine.name transformers, "
                "which would refuse every request for it. Remove it, or use vllm."
            )


def describe_unknown_flag(flag: str) -> str:
    """Return the sentence for a flag that only vLLM has."""
    return (
        f"spec.engine.args cannot contain {flag} with spec.engine.name transformers, "
        f"which has {', '.join(FLAGS)}. Remove it, or use vllm."
    )
