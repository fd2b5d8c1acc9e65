"""Starts the engine that a configuration names."""

from llmdeployment_serving.config import ServingConfig
from llmdeployment_serving.engine import Engine


async def start_engine(config: ServingConfig) -> Engine:
    """Return the engine that `config` names, loaded. vLLM is imported only if it is that engine."""
    if config.engine.name == "simulated":
        from llmdeployment_serving.engine_simulated import (  # noqa: PLC0415  # because a process has one engine
            start_simulated,
        )

        return await start_simulated(config)
    if config.engine.name == "external":
        from llmdeployment_serving.engine_external import (  # noqa: PLC0415  # because a process has one engine
            start_external,
        )

        return await start_external(config)
    if config.engine.name == "transformers":
        from llmdeployment_serving.engine_transformers import (  # noqa: PLC0415  # because a process has one engine
            start_transformers,
        )

        return await start_transformers(config)
    from llmdeployment_serving.engine_vllm import (  # noqa: PLC0415  # because it is heavy, and absent without the extra
        start_vllm,
    )

    return await start_vllm(config)
