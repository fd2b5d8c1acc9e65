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
        """Return the engine's own HTTP application, ready to answer."""

    def find_failure(self) -> str | None:
        """Return why the engine cannot go on, or None while it can. Cheap: asked twice a second."""

    def take_snapshot(self) -> EngineSnapshot:
        """Return the engine's counters."""

    def render_metrics(self) -> bytes:
        """Return the engine's own metrics in Prometheus' text format."""

    async def load_adapter(self, name: str, path: str) -> None:
        """Make the LoRA adapter in folder `path` answer to requests for the model `name`; after `build_app` only.

        Raises:
            AdapterError: it cannot be loaded; the engine is as it was.
        """

    async def unload_adapter(self, name: str) -> None:
        """Take an adapter away that was loaded; requests under way end as they began."""

    def shutdown(self) -> None:
        """End the engine's processes."""
