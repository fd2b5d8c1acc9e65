"""LoRA adapters of the revisions: loads them into the engine, and reports their states.

A client's name for an adapter can mean different files in each revision. So the engine has an internal name for it, made of the
client's name and the path: different files under one name exist side by side, and the same files are loaded once.
(vLLM keys its prefix cache by that name, so it must not be the client's.)

A load that fails is recorded and tried again. It raises no error, because Ray Serve replaces a replica whose `reconfigure` raises:
one wrong path of a new revision would end the replicas of the stable one.
"""

import asyncio
import hashlib
import logging
from contextlib import suppress

from llmdeployment_serving.config import AdapterConfig, UserConfig
from llmdeployment_serving.engine import Engine
from llmdeployment_serving.errors import AdapterError, join_lines

logger = logging.getLogger(__name__)

LOADED = "loaded"
LOADING = "loading"
FAILED = "failed: "
RETRY_SECONDS = 30.0
"""Seconds until a failed load is tried again: the files may be there by then."""
_longest_reason = 300


def make_internal_name(adapter: AdapterConfig) -> str:
    """Return the engine's name of an adapter.

    >>> make_internal_name(AdapterConfig(name="legal", path="/adapters/team/legal"))
    'legal@d6b3a7771b56'
    """
    return f"{adapter.name}@{hashlib.sha256(adapter.path.encode()).hexdigest()[:12]}"


class Adapters:
    """Loads and unloads adapters in the background, one after the other, until the engine has those of all revisions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._desired: dict[str, AdapterConfig] = {}
        self._states: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()

    def set_desired(self, config: UserConfig) -> None:
        """Set the adapters of all listed revisions as desired; others are unloaded."""
        self._desired = {
            make_internal_name(adapter): adapter
            for revision in config.revisions.values()
            for adapter in revision.adapters
        }
        self._settled.clear()
        self._changed.set()

    def replace_engine(self, engine: Engine) -> None:
        """Load the desired adapters into another engine."""
        self._engine = engine
        self._states.clear()
        self._settled.clear()
        self._changed.set()

    def get_state(self, adapter: AdapterConfig) -> str:
        """Return `loaded`, `loading`, or `failed: ` with the reason."""
        return self._states.get(make_internal_name(adapter), LOADING)

    async def wait_until_settled(self) -> None:
        """Wait until every desired adapter is loaded or has failed."""
        await self._settled.wait()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            self._changed.clear()
            await self._settle()
            if self._changed.is_set():
                continue
            self._settled.set()
            failed = any(state.startswith(FAILED) for state in self._states.values())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), RETRY_SECONDS if failed else None)

    async def _settle(self) -> None:
        wanted = self._desired
        for name in self._states.keys() - wanted.keys():
            if self._states.pop(name) == LOADED:
                await self._unload(name)
        for name, adapter in wanted.items():
            if self._changed.is_set():
                return
            if self._states.get(name) != LOADED:
                self._states[name] = await self._load(name, adapter.path)
                logger.info("adapter %s from %s: %s", name, adapter.path, self._states[name])

    async def _unload(self, name: str) -> None:
        try:
            await self._engine.unload_adapter(name)
        except Exception:  # why: it only takes up memory; no request can name it any more
            logger.exception("adapter %s could not be unloaded and stays in memory", name)
        else:
            logger.info("unloaded adapter %s: no revision has it", name)

    async def _load(self, name: str, path: str) -> str:
        try:
            await self._engine.load_adapter(name, path)
        except AdapterError as error:
            return FAILED + str(error)[:_longest_reason]
        except Exception as error:  # noqa: BLE001  # because any error concerns this adapter alone
            return FAILED + join_lines(f"{type(error).__name__}: {error}")[:_longest_reason]
        return LOADED
