"""What the agent answers on its own port: `/healthz`, `/readyz`, `/stats` and `/metrics`."""

from collections.abc import Iterator
from itertools import accumulate

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from typing_extensions import override

from llmdeployment_gateway.kube import Kube
from llmdeployment_gateway.steering import Steering
from llmdeployment_gateway.tally import BOUNDS, Tally

PREFIX = "llmdeployment_gateway_"


class Answers:
    """The agent's side for kubelet, operator and Prometheus."""

    def __init__(self, steering: Steering, tally: Tally, kube: Kube) -> None:
        self._steering = steering
        self._tally = tally
        self._kube = kube

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/stats", self._stats)
        app.router.add_get("/metrics", self._metrics)
        return app

    async def _healthz(self, _: web.Request) -> web.Response:
        if self._steering.stuck():
            return web.Response(status=503, text="the agent's loop is stuck\n")
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        why = self._steering.unready()
        return web.Response(status=503 if why else 200, text=f"{why or 'ok'}\n")

    async def _stats(self, _: web.Request) -> web.Response:
        held, refused = await self._steering.held()
        routes = self._steering.desired.routes
        rows = [(row.arm, str(row.revision)) for row in routes.routes] if routes else []
        return web.json_response(
            {
                "routesHash": self._steering.applied.routes_hash,
                "held": held,
                "refused": refused,
                "services": await self._steering.services(),
                "routes": self._tally.stats(rows),
            }
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        held, refused = await self._steering.held()
        steering, kube = self._steering, self._kube
        registry = CollectorRegistry()
        registry.register(
            _Page(
                [
                    _gauge(
                        "ready",
                        "1 when this gateway should get requests.",
                        int(not steering.unready()),
                    ),
                    _gauge("held_requests", "Requests that wait for a replica.", held),
                    _counter(
                        "refused_requests", "Requests that could not wait, or no longer.", refused
                    ),
                    _counter(
                        "steering_failures",
                        "Times HAProxy did not do as it was told.",
                        steering.failures,
                    ),
                    _counter("kube_failures", "Lists and watches that failed.", kube.failures),
                    *_servers(await steering.services()),
                    *_requests(self._tally),
                ]
            )
        )
        return web.Response(body=generate_latest(registry), content_type="text/plain")


class _Page(Collector):
    """Metrics of one moment."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    @override
    def collect(self) -> Iterator[Metric]:
        yield from self._found


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, what, value=value)


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, what, value=value)


def _servers(services: dict[str, dict[str, int]]) -> Iterator[Metric]:
    servers = GaugeMetricFamily(PREFIX + "servers", "Ready endpoints.", labels=["service"])
    up = GaugeMetricFamily(PREFIX + "servers_up", "Endpoints that answer.", labels=["service"])
    for service, count in services.items():
        servers.add_metric([service], count["servers"])
        up.add_metric([service], count["up"])
    yield from (servers, up)


def _requests(tally: Tally) -> Iterator[Metric]:
    labels = ["arm", "revision"]
    requests = CounterMetricFamily(
        PREFIX + "requests", "Requests that ended.", labels=[*labels, "code"]
    )
    cuts = CounterMetricFamily(
        PREFIX + "cut_requests",
        "Requests that ended before their answer did, by who ended them.",
        labels=[*labels, "by"],
    )
    durations = HistogramMetricFamily(
        PREFIX + "request_seconds",
        "From a request's first byte to the last of its answer.",
        labels=labels,
    )
    for key, row in tally.rows.items():
        for status, count in row.statuses.items():
            requests.add_metric([*key, str(status)], count)
        for by, count in row.cuts.items():
            cuts.add_metric([*key, by], count)
        bounds = [*(str(bound) for bound in BOUNDS), "+Inf"]
        steps = list(zip(bounds, accumulate(row.buckets), strict=True))
        durations.add_metric([*key], buckets=steps, sum_value=row.seconds)
    yield from (requests, cuts, durations)
