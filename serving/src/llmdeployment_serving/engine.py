"""What a replica asks of an engine; `engine_vllm`, `engine_simulated` and `engine_external` answer."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from llmdeployment_serving.stats import EngineSnapshot

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Engine(Protocol):
    """An OpenAI-compatible server in this process."""

    async def build_app(self) -> ASGIApp:
        """Returns the engine's own HTTP application, ready to answer."""

    def failure(self) -> str | None:
        """Returns why the engine cannot go on, or None while it can. Cheap: asked twice a second."""

    def snapshot(self) -> EngineSnapshot:
        """Returns the engine's counters."""

    def exposition(self) -> bytes:
        """Returns the engine's own metrics in Prometheus' text format."""

    async def load_adapter(self, name: str, path: str) -> None:
        """Makes the LoRA adapter in folder `path` answer to requests for the model `name`; after `build_app` only.

        Raises:
            AdapterError: It cannot be loaded; the engine is as it was.
        """

    async def unload_adapter(self, name: str) -> None:
        """Takes an adapter away that was loaded; requests under way end as they began."""

    def shutdown(self) -> None:
        """Ends the engine's processes."""
