"""The operator as a whole: the queue, its workers, kopf and the health server."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp
import kopf
from kubernetes.aio.client import ApiClient
from prometheus_client import Gauge

from llmdeployment_operator.handlers.queue import WorkQueue
from llmdeployment_operator.handlers.watch import (
    Enqueue,
    build_registry,
    build_settings,
    make_login,
)
from llmdeployment_operator.health import serve_health
from llmdeployment_operator.kube.client import Access, api_client
from llmdeployment_operator.kube.errors import OperatorError
from llmdeployment_operator.kube.objects import list_by_label
from llmdeployment_operator.kube.observe import Clients
from llmdeployment_operator.kube.resources import LLMDEPLOYMENT
from llmdeployment_operator.metrics import STATES, Metrics
from llmdeployment_operator.plan.base.names import MANAGER
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.reconcile import DeploymentKey, Operator, reconcile
from llmdeployment_operator.settings import ProcessSettings

log = logging.getLogger(__name__)

CRD_SECONDS = 3.0
"""How often the API server is asked for the CRD, while it has none."""

STOP_SECONDS = 10.0
PASS_SECONDS = 120.0
"""A pass takes below a second; one that hangs is ended and tried again."""


async def run(
    way: Access, settings: Settings, runtime: ProcessSettings, stop: asyncio.Event
) -> None:
    """Operate until `stop` is set.

    Raises:
        ExceptionGroup: a part that must not end has ended; the process should exit, and be started again.
    """
    metrics = Metrics()
    async with aiohttp.ClientSession() as session, api_client(way) as client:
        clients = Clients(client, session, runtime.cluster_read, everywhere=not settings.namespaces)
        passes = Reconciler(Operator(clients, settings, metrics))
        queue = WorkQueue(passes.one, passes.failed)

        def changed(key: DeploymentKey) -> None:
            clients.read_cache.changed((key.namespace, key.name))
            queue.put(key)

        metrics.queue.set_function(lambda: len(queue))
        watching = asyncio.Event()
        async with serve_health(runtime.port, metrics, queue.stuck_for, watching.is_set):
            parts = [
                asyncio.create_task(queue.run(runtime.workers), name="workers"),
                asyncio.create_task(
                    _watch(way, client, settings.namespaces, changed, watching, stop), name="watch"
                ),
                asyncio.create_task(
                    _resync_forever(client, settings, changed, runtime.resync_seconds),
                    name="resync",
                ),
            ]
            await _until_first_ends(parts)


async def _watch(
    way: Access,
    client: ApiClient,
    namespaces: Iterable[str],
    changed: Enqueue,
    watching: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    handlers = build_registry(changed)
    kopf.on.login(registry=handlers)(make_login(way))
    places = tuple(namespaces)
    await _until_served(client, places[0] if places else None, stop)
    kopf_task = asyncio.create_task(
        kopf.operator(
            registry=handlers,
            settings=build_settings(),
            # Named here, because kopf would ask for the user's name, and uid 1000 of a container has none.
            identity=MANAGER,  # type: ignore[arg-type]  # because kopf exports no way to make one
            standalone=True,
            clusterwide=not places,
            namespaces=places,
            stop_flag=stop,
            ready_flag=watching,
        )
    )
    stop_task = asyncio.create_task(stop.wait())
    await asyncio.wait({kopf_task, stop_task}, return_when=asyncio.FIRST_COMPLETED)
    stop_task.cancel()
    # kopf 1.45 may wait for streams that it failed to close: leaving takes no longer than this.
    await asyncio.wait({kopf_task}, timeout=STOP_SECONDS)
    if kopf_task.cancel():
        await asyncio.gather(kopf_task, return_exceptions=True)
    else:
        kopf_task.result()


async def _until_served(client: ApiClient, namespace: str | None, stop: asyncio.Event) -> None:
    """Wait until LLMDeployments can be listed: kopf never looks again for a kind that is missing at its start."""
    while not stop.is_set():
        try:
            await list_by_label(client, LLMDEPLOYMENT, namespace, {})
        except OperatorError as error:
            log.warning("LLMDeployments cannot be listed yet (is the CRD installed?): %s", error)
        else:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), CRD_SECONDS)


async def _resync_forever(
    client: ApiClient, settings: Settings, changed: Enqueue, seconds: float
) -> None:
    """List every LLMDeployment now and then: an event that was lost delays its object, and no more."""
    while True:
        await asyncio.sleep(seconds)  # why: the period of the resync itself
        for namespace in settings.namespaces or (None,):
            try:
                found = await list_by_label(client, LLMDEPLOYMENT, namespace, {})
            except OperatorError as error:
                log.warning("resync: %s", error)
                continue
            for obj in found:
                changed(DeploymentKey(obj["metadata"]["namespace"], obj["metadata"]["name"]))


async def _until_first_ends(parts: list[asyncio.Task[None]]) -> None:
    try:
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in parts:
            task.cancel()
        await asyncio.gather(*parts, return_exceptions=True)


class Reconciler:
    """Makes passes for the queue, and counts them."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._states: dict[DeploymentKey, str] = {}
        self._shown: dict[tuple[Gauge, DeploymentKey], set[tuple[str, ...]]] = {}

    async def one(self, key: DeploymentKey) -> float | None:
        """Make one pass and return when the next is due, or None: when something happens."""
        metrics = self._operator.metrics
        with metrics.duration.time():
            async with asyncio.timeout(PASS_SECONDS):
                outcome = await reconcile(self._operator, key)
        metrics.reconciles.labels(result="success").inc()
        self._note(key, outcome.state)
        self._show(metrics.traffic, key, outcome.traffic)
        self._show(metrics.verdict, key, outcome.verdicts)
        self._show(metrics.desired, key, outcome.desired)
        return outcome.requeue_after

    def failed(self, key: DeploymentKey, error: Exception) -> None:
        """Count and log a pass that ended in an error; known errors without a traceback."""
        metrics = self._operator.metrics
        metrics.reconciles.labels(result="error").inc()
        metrics.errors.labels(error=type(error).__name__).inc()
        if isinstance(error, (OperatorError, TimeoutError)):
            log.warning(
                "%s/%s: %s",
                key.namespace,
                key.name,
                str(error) or f"the pass took more than {PASS_SECONDS:.0f} s",
            )
        else:
            log.error(
                "%s/%s: a pass ended in an unexpected error",
                key.namespace,
                key.name,
                exc_info=error,
            )

    def _show(self, gauge: Gauge, key: DeploymentKey, values: Mapping[Any, float]) -> None:
        for labels in self._shown.pop((gauge, key), set()) - values.keys():
            gauge.remove(key.namespace, key.name, *labels)
        for labels, value in values.items():
            gauge.labels(key.namespace, key.name, *labels).set(value)
        if values:
            self._shown[gauge, key] = set(values)

    def _note(self, key: DeploymentKey, state: str | None) -> None:
        if state is None:
            self._states.pop(key, None)
        else:
            self._states[key] = state
        counts = list(self._states.values())
        for name in STATES:
            self._operator.metrics.objects.labels(state=name).set(counts.count(name))
