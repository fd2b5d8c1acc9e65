"""The interface of an engine; the modules `engine_*` implement it."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Protocol

from llmdeployment_serving.model_tasks import ModelTask
from llmdeployment_serving.score import Score
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

    def get_task(self) -> ModelTask:
        """Return what the model does; known once there is the application."""

    def find_failure(self) -> str | None:
        """Return why the engine is dead, or None while it works. Cheap: called twice a second."""

    def take_snapshot(self) -> EngineSnapshot:
        """Return the engine's counters."""

    def render_metrics(self) -> bytes:
        """Return the engine's own metrics in Prometheus' text format."""

    async def score(self, text: str) -> Score | None:
        """Return the log-likelihoods of a text's tokens, as many as the model's context holds; None if this engine scores no text."""

    async def compute_reference(self, tokens: Sequence[int]) -> float | None:
        """Return the mean log-likelihood per token that is right, in nats; None if nobody but the engine itself could tell."""

    async def load_adapter(self, name: str, path: str) -> None:
        """Load the LoRA adapter in folder `path`, for requests with the model `name`; only after `build_app`.

        Raises:
            AdapterError: the adapter cannot be loaded; the engine works as before.
        """

    async def unload_adapter(self, name: str) -> None:
        """Unload an adapter; requests in progress finish with it."""

    def shutdown(self) -> None:
        """End the engine's processes."""
