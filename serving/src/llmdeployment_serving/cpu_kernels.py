"""Attention kernels for CPUs that compute right, as a vLLM plugin.

On CPUs with AMX, vLLM 0.32 takes an attention kernel for bfloat16 that computes wrongly: a model of 135 M parameters
answers a question about France with a loop of French words, where every other kernel says "Paris".
vLLM's linear layers with AMX are right, so only the attention kernel is changed.

vLLM calls `register` in each of its processes (entry point `vllm.general_plugins`).
"""

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)

WRONG, RIGHT = "amx", "vec"
"""Names of instruction sets, as vLLM's CPU attention has them."""


def register() -> None:
    """Replace vLLM's choice of the attention kernel on CPUs; on other platforms change nothing."""
    from vllm.platforms import current_platform  # noqa: PLC0415  # because only vLLM's processes have vLLM

    if not current_platform.is_cpu():
        return
    from vllm.v1.attention.backends import cpu_attn  # noqa: PLC0415  # because it loads only where vLLM runs on a CPU

    choose = cpu_attn._get_attn_isa  # noqa: SLF001  # because vLLM has no setting for it
    if getattr(choose, "avoids_wrong_kernel", False):
        return
    cpu_attn._get_attn_isa = avoid_wrong_kernel(choose)  # noqa: SLF001  # because vLLM has no setting for it


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
