"""The operator as a whole: the queue, its workers, kopf and the health server."""

import asyncio
import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import aiohttp
import kopf
from kubernetes.aio.client import ApiClient
from prometheus_client import Counter, Gauge

from llmdeployment_operator.api.types import API_VERSION, KIND
from llmdeployment_operator.handlers.backlog import Urgency
from llmdeployment_operator.handlers.queue import WorkQueue
from llmdeployment_operator.handlers.watch import (
    Take,
    build_registry,
    build_settings,
    make_login,
)
from llmdeployment_operator.health import serve_health
from llmdeployment_operator.kube.client import Access, api_client
from llmdeployment_operator.kube.errors import OperatorError
from llmdeployment_operator.kube.fence import Fence, make_fenced_request
from llmdeployment_operator.kube.lease import Leadership
from llmdeployment_operator.kube.objects import list_by_label
from llmdeployment_operator.kube.observe import Clients
from llmdeployment_operator.kube.outbox import Outbox
from llmdeployment_operator.kube.poller import Poller
from llmdeployment_operator.kube.reflector import Reflector, wait_until_synced
from llmdeployment_operator.kube.resources import CHILDREN, LLMDEPLOYMENT, POD
from llmdeployment_operator.kube.store import Owner, Store
from llmdeployment_operator.live_api import build_live_routes
from llmdeployment_operator.metrics import STATES, Metrics
from llmdeployment_operator.notifier import Notifier
from llmdeployment_operator.plan.base.names import MANAGED_BY, MANAGER
from llmdeployment_operator.plan.base.settings import Settings
from llmdeployment_operator.plan.experiment.figures import ExperimentFigures
from llmdeployment_operator.reconcile import (
    DeploymentKey,
    Operator,
    PassResult,
    reconcile,
    report_failure,
)
from llmdeployment_operator.settings import ProcessSettings
from llmdeployment_operator.tracing import start_spans

log = logging.getLogger(__name__)

CRD_SECONDS = 3.0
"""How often the API server is asked for the CRD, while it has none."""

STOP_SECONDS = 10.0
REPORTED_FAILURES = 3
"""Failed passes in a row before the conditions say so, about 2 s after the first: most troubles are over by then."""

PASS_SECONDS = 120.0
"""A pass takes below a second; one that hangs is ended and tried again."""


async def run(
    way: Access,
    settings: Settings,
    runtime: ProcessSettings,
    stop: asyncio.Event,
    fence: Fence | None = None,
) -> None:
    """Operate until `stop` is set, after waiting for the Lease if several operators run.

    Args:
        way: how to reach the API server.
        settings: of the plan.
        runtime: of the operator itself.
        stop: ends the operator.
        fence: is open while this process may write.

    Raises:
        LeaseLost: another operator may act now; the process should exit, and be started again.
        ExceptionGroup: a part that must not end has ended; the process should exit, and be started again.
    """
    metrics, fence = Metrics(), fence or Fence()
    async with (
        aiohttp.ClientSession(request_class=make_fenced_request(fence)) as session,
        # Receivers are outside of the cluster, so a proxy of the environment is used for them.
        aiohttp.ClientSession(
            request_class=make_fenced_request(fence),
            trust_env=True,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as outside,
        api_client(way, fence) as client,
        api_client(way) as lease_client,
    ):
        leadership = Leadership(lease_client, runtime.election, fence)
        store = Store()

        def changed(owner: Owner) -> None:
            queue.put(DeploymentKey(*owner))

        def edited(owner: Owner) -> None:
            key = DeploymentKey(*owner)
            queue.put(key, Urgency.EDIT if passes.has_passed(key) else Urgency.NEW)

        poller = Poller(session, changed)
        everywhere = not settings.namespaces
        clients = Clients(client, store, poller, runtime.cluster_read, everywhere)
        told = runtime.notifications
        outbox = Outbox(outside, told.receivers, told.folder, metrics, told.console_url)
        notifier = Notifier(outbox) if told.receivers else None
        operator = Operator(
            clients, settings, metrics, notifier=notifier, spans=start_spans(settings, metrics)
        )
        passes = Reconciler(operator)
        queue = WorkQueue(passes.one, passes.failed)
        reflectors = _build_reflectors(client, settings.namespaces, store, changed, edited)
        watching = asyncio.Event()

        def take(event: str, obj: Mapping[str, Any]) -> None:
            whole = {"apiVersion": API_VERSION, "kind": KIND, **obj}
            if store.remove(whole) if event == "DELETED" else store.put(whole):
                edited((obj["metadata"]["namespace"], obj["metadata"]["name"]))

        def readiness() -> str | None:
            if not leadership.leads:
                return "standby"
            return "ok" if watching.is_set() else None

        metrics.queue.set_function(lambda: len(queue))
        metrics.store_objects.set_function(lambda: len(store))
        metrics.watches_broken.set_function(lambda: sum(bool(each.broken) for each in reflectors))
        metrics.leader.set_function(lambda: float(leadership.leads))
        live = build_live_routes(operator.live, time.time, changed)
        async with serve_health(runtime.port, metrics, queue.stuck_for, readiness, live):
            if not await leadership.acquire(stop):
                return
            watch = asyncio.create_task(
                _watch(way, client, settings.namespaces, take, watching, stop), name="watch"
            )
            parts = [
                asyncio.create_task(_reflect(client, reflectors, stop), name="reflectors"),
                asyncio.create_task(_work(queue, reflectors, runtime.workers), name="workers"),
                asyncio.create_task(
                    _resync_forever(store, changed, runtime.resync_seconds), name="resync"
                ),
            ]
            keep = asyncio.create_task(leadership.keep(), name="lease")
            send = asyncio.create_task(outbox.run(), name="notifications")
            try:
                await _until_first_ends([watch, keep, *parts], stop)
            finally:
                # The Lease is renewed while passes end, and given up before kopf does, which only reads and takes seconds.
                await _cancel(parts)
                await poller.close()
                await outbox.drain()
                await _cancel([send, keep])
                await leadership.release()
                stop.set()
                await asyncio.wait({watch}, timeout=2 * STOP_SECONDS)
                await _cancel([watch])


async def _watch(
    way: Access,
    client: ApiClient,
    namespaces: Iterable[str],
    take: Take,
    watching: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    handlers = build_registry(take)
    kopf.on.login(registry=handlers)(make_login(way))
    places = tuple(namespaces)
    await _until_served(client, places[0] if places else None, stop)
    kopf_task = asyncio.create_task(_run_kopf(handlers, places, watching, stop))
    stop_task = asyncio.create_task(stop.wait())
    await asyncio.wait({kopf_task, stop_task}, return_when=asyncio.FIRST_COMPLETED)
    stop_task.cancel()
    # kopf 1.45 may wait for streams that it failed to close: leaving takes no longer than this.
    await asyncio.wait({kopf_task}, timeout=STOP_SECONDS)
    if kopf_task.cancel():
        await asyncio.gather(kopf_task, return_exceptions=True)
    else:
        kopf_task.result()


async def _run_kopf(
    handlers: kopf.OperatorRegistry,
    namespaces: tuple[str, ...],
    watching: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=handlers,
        settings=build_settings(),
        # Named here, because kopf would ask for the user's name, and uid 1000 of a container has none.
        identity=MANAGER,  # type: ignore[arg-type]  # because kopf exports no way to make one
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=stop,
        ready_flag=watching,
    )
    # kopf has taken the signals, and would end by itself first: passes and the Lease come before it.
    stop_on_signals(stop)
    await kopf.run_tasks(tasks, ignored=others)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` at SIGTERM and SIGINT; in a thread, which gets no signals, do nothing."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)


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


def _build_reflectors(
    client: ApiClient,
    namespaces: Iterable[str],
    store: Store,
    changed: Callable[[Owner], None],
    edited: Callable[[Owner], None],
) -> list[Reflector]:
    """Return what keeps the store like the API server: LLMDeployments, and what carries the operator's label."""
    ours = {MANAGED_BY: MANAGER}
    places = tuple(namespaces) or (None,)
    return [
        *(Reflector(client, LLMDEPLOYMENT, place, {}, store, edited) for place in places),
        *(
            Reflector(client, kind, place, ours, store, changed)
            for place in places
            for kind in (*CHILDREN, POD)
        ),
    ]


async def _reflect(client: ApiClient, reflectors: list[Reflector], stop: asyncio.Event) -> None:
    await _until_served(client, reflectors[0].namespace, stop)
    async with asyncio.TaskGroup() as group:
        for reflector in reflectors:
            group.create_task(reflector.run())


async def _work(queue: WorkQueue[DeploymentKey], reflectors: list[Reflector], workers: int) -> None:
    """Make passes once everything is known: a child that is not in the store yet would be written again."""
    await wait_until_synced(reflectors)
    await queue.run(workers)


async def _resync_forever(store: Store, changed: Callable[[Owner], None], seconds: float) -> None:
    """Make a pass over every LLMDeployment now and then, though nothing tells of a change."""
    while True:
        await asyncio.sleep(seconds)  # why: the period of the resync itself
        for owner in store.list_owners(KIND):
            changed(owner)


async def _until_first_ends(parts: list[asyncio.Task[None]], stop: asyncio.Event) -> None:
    """Wait until `stop` is set or a part ends; raise what it ended with."""
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({*parts, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    for task in done:
        task.result()


async def _cancel(parts: list[asyncio.Task[None]]) -> None:
    for task in parts:
        task.cancel()
    await asyncio.gather(*parts, return_exceptions=True)


class Reconciler:
    """Makes passes for the queue, and counts them."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._states: dict[DeploymentKey, str] = {}
        self._shown: dict[tuple[Gauge, DeploymentKey], set[tuple[str, ...]]] = {}
        self._counted: dict[tuple[Counter, DeploymentKey], dict[tuple[str, ...], float]] = {}

    def has_passed(self, key: DeploymentKey) -> bool:
        """Say whether an LLMDeployment had a pass that ended well."""
        return key in self._states

    async def one(self, key: DeploymentKey) -> float | None:
        """Make one pass and return when the next is due, or None: when something happens, or when those who are asked have answered."""
        metrics = self._operator.metrics
        with metrics.duration.time():
            async with asyncio.timeout(PASS_SECONDS):
                outcome = await reconcile(self._operator, key)
        if outcome is None:
            return None
        metrics.reconciles.labels(result="success").inc()
        self._note(key, outcome.state)
        self._show(metrics.traffic, key, outcome.traffic)
        self._show(metrics.verdict, key, outcome.verdicts)
        self._show_conditions(key, outcome)
        self._show(metrics.desired, key, outcome.desired)
        self._show(metrics.score, key, outcome.scores)
        self._show(metrics.drift, key, outcome.drift)
        self._show(metrics.cost_per_hour, key, outcome.cost_per_hour)
        self._show_experiment(key, outcome.experiment)
        if outcome.state is None:
            self._stop_counting(metrics.cost, key)
            metrics.forget(key.namespace, key.name)
        else:
            self._count(metrics.cost, key, outcome.cost)
        return outcome.requeue_after

    async def failed(self, key: DeploymentKey, error: Exception, failures: int) -> None:
        """Count and log a pass that ended in an error, known errors without a traceback, and report one that stays."""
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
        if failures >= REPORTED_FAILURES:
            reported = await report_failure(self._operator, key, error)
            if reported is not None:
                self._show_conditions(key, reported)

    def _show_conditions(self, key: DeploymentKey, outcome: PassResult) -> None:
        self._show(self._operator.metrics.condition, key, outcome.conditions)
        self._show(self._operator.metrics.condition_reason, key, outcome.reasons)

    def _show_experiment(self, key: DeploymentKey, figures: ExperimentFigures) -> None:
        metrics = self._operator.metrics
        self._show(metrics.experiment_state, key, figures.outcomes)
        self._show(metrics.experiment_difference, key, figures.differences)
        self._show(metrics.experiment_requests, key, figures.requests)
        self._show(metrics.experiment_users, key, figures.users)
        self._show(metrics.experiment_cost_difference, key, figures.costs)

    def _show(self, gauge: Gauge, key: DeploymentKey, values: Mapping[Any, float]) -> None:
        for labels in self._shown.pop((gauge, key), set()) - values.keys():
            gauge.remove(key.namespace, key.name, *labels)
        for labels, value in values.items():
            gauge.labels(key.namespace, key.name, *labels).set(value)
        if values:
            self._shown[gauge, key] = set(values)

    def _count(self, counter: Counter, key: DeploymentKey, totals: Mapping[Any, float]) -> None:
        """Bring a counter to these totals; one that went down began anew, and one that is gone ends. Without any, nothing is known."""
        before = self._counted.setdefault((counter, key), {})
        for labels in before.keys() - totals.keys() if totals else ():
            del before[labels]
            counter.remove(key.namespace, key.name, *labels)
        for labels, total in totals.items():
            old = before.get(labels, 0.0)
            counter.labels(key.namespace, key.name, *labels).inc(
                total - old if total >= old else total
            )
            before[labels] = total

    def _stop_counting(self, counter: Counter, key: DeploymentKey) -> None:
        """Remove the counters of an LLMDeployment that is gone."""
        for labels in self._counted.pop((counter, key), {}):
            counter.remove(key.namespace, key.name, *labels)

    def _note(self, key: DeploymentKey, state: str | None) -> None:
        if state is None:
            self._states.pop(key, None)
        else:
            self._states[key] = state
        counts = list(self._states.values())
        for name in STATES:
            self._operator.metrics.objects.labels(state=name).set(counts.count(name))
