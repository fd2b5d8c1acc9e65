"""The batch around a manager that a test drives, without PyTorch; tests/component/serving/test_transformers.py has the real one."""

from __future__ import annotations

import asyncio
import importlib
import queue
import sys
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest

import llmdeployment_serving
from llmdeployment_serving.errors import ENGINE_STOPPED
from llmdeployment_serving.transformers_flags import Flags
from llmdeployment_serving.transformers_request import Sampling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEEDS_TORCH = ("transformers_batch", "transformers_sampler")


@dataclass
class Router:
    """Hands out as transformers 5.19 does: to a request's handler, or else into the queue."""

    output_queue: queue.Queue[Any] = field(default_factory=queue.Queue)
    result_handlers: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)

    def deliver(self, name: str) -> None:
        output = SimpleNamespace(error=None, is_finished=lambda: False)
        with self._lock:
            handler = self.result_handlers.get(name, self.output_queue.put)
        handler(output)


class Manager(MagicMock):
    """Takes requests and notes the cancellations."""

    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.output_router = Router()
        self.batch_processor.cache.num_blocks = 4
        self.cancelled: list[str] = []
        self.cancel_request = self.cancelled.append

    def register_result_handler(self, name: str, handler: Callable[[Any], None]) -> None:
        self.output_router.result_handlers[name] = handler

    def _get_child_mock(self, **_: Any) -> MagicMock:
        return MagicMock()


def forget_modules() -> None:
    """Let the next import be a new one: these modules hold what stands in for PyTorch."""
    for name in NEEDS_TORCH:
        sys.modules.pop(f"llmdeployment_serving.{name}", None)
        vars(llmdeployment_serving).pop(name, None)


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("torch", "transformers"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    forget_modules()
    module = importlib.import_module("llmdeployment_serving.transformers_batch")
    model = MagicMock()
    model.init_continuous_batching.return_value = Manager()
    model.generation_config.eos_token_id = 0
    text = model.config.get_text_config.return_value
    text.num_key_value_heads = text.head_dim = text.num_hidden_layers = 1
    text.max_position_embeddings = 64
    model.dtype.itemsize = 2
    yield module.Batch(model, MagicMock(eos_token_id=0), Flags())
    forget_modules()


async def test_outputs_after_a_client_has_left_are_kept_nowhere(batch: Any) -> None:
    manager = batch._manager
    router = manager.output_router
    outputs = batch.generate([1, 2], 4, frozenset(), Sampling())
    waiting = asyncio.ensure_future(anext(outputs))
    await asyncio.sleep(0)  # why: the request has to be there
    (name,) = router.result_handlers
    router.deliver(name)
    await waiting
    await outputs.aclose()
    # The thread has not seen the cancellation yet.
    router.deliver(name)

    assert manager.cancelled == [name]
    assert router.result_handlers == {}
    assert router.output_queue.empty()


async def test_a_model_that_is_gone_is_an_error_that_the_self_test_knows(batch: Any) -> None:
    batch.shutdown()
    with pytest.raises(RuntimeError, match=ENGINE_STOPPED):
        batch.compute_logprobs([1, 2])
