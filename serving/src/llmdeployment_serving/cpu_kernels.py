"""Mends what vLLM computes wrongly on CPUs, as a vLLM plugin.

On CPUs with AMX, vLLM 0.32 takes an attention kernel for bfloat16 that computes wrongly: a model of 135 M parameters
answers a question about France with a loop of French words, where every other kernel says "Paris".
vLLM's linear layers with AMX are right, so only the attention kernel is changed.

With LoRA adapters on any CPU, a request for the log-likelihoods of its prompt ends the engine if another request is in the same batch:
the rows of the prompt are taken for rows of the batch (`einsum(): subscript b has size 2 for operand 1`). For these rows the head's
part of an adapter is left out, which most adapters do not have.

vLLM calls `register` in each of its processes (entry point `vllm.general_plugins`).
"""

import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

WRONG, RIGHT = "amx", "vec"
"""Names of instruction sets, as vLLM's CPU attention has them."""


def register() -> None:
    """Replace vLLM's choice of the attention kernel on CPUs; on other platforms change nothing."""
    from vllm.platforms import current_platform  # noqa: PLC0415  # because only vLLM's processes have vLLM

    if not current_platform.is_cpu():
        return
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU  # noqa: PLC0415  # because only vLLM's processes have vLLM
    from vllm.v1.attention.backends import cpu_attn  # noqa: PLC0415  # because it loads only where vLLM runs on a CPU

    choose = cpu_attn._get_attn_isa  # noqa: SLF001  # because vLLM has no setting for it
    if getattr(choose, "avoids_wrong_kernel", False):
        return
    cpu_attn._get_attn_isa = avoid_wrong_kernel(choose)  # noqa: SLF001  # because vLLM has no setting for it
    PunicaWrapperCPU.add_lora_logits = leave_out_prompts(PunicaWrapperCPU.add_lora_logits)


def avoid_wrong_kernel(choose: Callable[..., str]) -> Callable[..., str]:
    """Return vLLM's function with another answer where its own would be `WRONG`.

    >>> avoid_wrong_kernel(lambda *_: "amx")(), avoid_wrong_kernel(lambda *_: "vec16")()
    ('vec', 'vec16')
    """

    def chosen(*args: object, **kwargs: object) -> str:
        found = choose(*args, **kwargs)
        if found != WRONG:
            return found
        logger.info(
            "CPU attention: kernel %s instead of %s, which computes wrongly in this vLLM",
            RIGHT,
            WRONG,
        )
        return RIGHT

    chosen.avoids_wrong_kernel = True  # type: ignore[attr-defined]  # because a function takes any attribute
    return chosen


def leave_out_prompts(add: Callable[..., None]) -> Callable[..., None]:
    """Return vLLM's function that adds an adapter to the logits of a batch, for batches only: it does nothing to the rows of a prompt."""

    def chosen(self: Any, y: Any, x: Any, *args: object, **kwargs: object) -> None:  # noqa: ANN401  # because vLLM and torch have no types here
        if x.view(-1, x.shape[-1]).size(0) == self.sampler_indices.size(0):
            add(self, y, x, *args, **kwargs)

    return chosen
