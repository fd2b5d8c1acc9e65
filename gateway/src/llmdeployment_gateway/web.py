"""The agent's HTTP server: `/healthz`, `/readyz`, `/stats` and `/metrics`."""

from collections.abc import Iterator
from http import HTTPStatus
from itertools import accumulate

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector
from typing_extensions import override

from llmdeployment_gateway.kube import Kube
from llmdeployment_gateway.steering import Steering
from llmdeployment_gateway.tally import BOUNDS, Tally

PREFIX = "llmdeployment_gateway_"


class AgentServer:
    """Answers kubelet, operator and Prometheus."""

    def __init__(self, steering: Steering, tally: Tally, kube: Kube) -> None:
        self._steering = steering
        self._tally = tally
        self._kube = kube

    def build_app(self) -> web.Application:
        """Return the application."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/stats", self._stats)
        app.router.add_get("/metrics", self._metrics)
        return app

    async def _healthz(self, _: web.Request) -> web.Response:
        if self._steering.is_stuck():
            return web.Response(
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                text="the agent's loop is stuck; kubelet restarts the container\n",
            )
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        why = self._steering.explain_unready()
        return web.Response(
            status=HTTPStatus.SERVICE_UNAVAILABLE if why else HTTPStatus.OK, text=f"{why or 'ok'}\n"
        )

    async def _stats(self, request: web.Request) -> web.Response:
        held, refused = await self._steering.count_held()
        routes = self._steering.inputs.routes
        rows = [(row.arm, str(row.revision)) for row in routes.routes] if routes else []
        with_users = request.query.get("users") == "true"
        return web.json_response(
            {
                "routesHash": self._steering.applied.routes_hash,
                "held": held,
                "refused": refused,
                "services": await self._steering.count_services(),
                "routes": (
                    self._tally.stats_with_users(rows) if with_users else self._tally.stats(rows)
                ),
            }
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        held, refused = await self._steering.count_held()
        steering, kube = self._steering, self._kube
        registry = CollectorRegistry()
        registry.register(
            _Page(
                [
                    _build_gauge(
                        "ready",
                        "1 when this gateway should get requests.",
                        int(not steering.explain_unready()),
                    ),
                    _build_gauge("held_requests", "Requests that wait for a replica.", held),
                    _build_counter(
                        "refused_requests",
                        "Requests that were refused because too many waited, or because they waited too long.",
                        refused,
                    ),
                    _build_counter(
                        "steering_failures",
                        "Turns of the loop in which HAProxy did not answer or refused a command.",
                        steering.failures,
                    ),
                    _build_counter(
                        "kube_failures", "Lists and watches that failed.", kube.failures
                    ),
                    *_count_servers(await steering.count_services()),
                    *_count_requests(self._tally),
                ]
            )
        )
        return web.Response(body=generate_latest(registry), content_type="text/plain")


class _Page(Collector):
    """The metrics at one moment."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    @override
    def collect(self) -> Iterator[Metric]:
        yield from self._found


def _build_gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, what, value=value)


def _build_counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, what, value=value)


def _count_servers(services: dict[str, dict[str, int]]) -> Iterator[Metric]:
    servers = GaugeMetricFamily(PREFIX + "servers", "Ready endpoints.", labels=["service"])
    up = GaugeMetricFamily(
        PREFIX + "servers_up", "Endpoints that get requests.", labels=["service"]
    )
    for service, count in services.items():
        servers.add_metric([service], count["servers"])
        up.add_metric([service], count["up"])
    yield from (servers, up)


def _count_requests(tally: Tally) -> Iterator[Metric]:
    labels = ["arm", "revision"]
    requests = CounterMetricFamily(
        PREFIX + "requests", "Requests that ended.", labels=[*labels, "code"]
    )
    cuts = CounterMetricFamily(
        PREFIX + "cut_requests",
        "Requests whose answer was cut off, by which side ended them.",
        labels=[*labels, "by"],
    )
    durations = HistogramMetricFamily(
        PREFIX + "request_seconds",
        "Seconds from a request's first byte to the last byte of its answer.",
        labels=labels,
    )
    feedback = SummaryMetricFamily(
        PREFIX + "feedback_score", "Votes on answers, from 0 (bad) to 1 (good).", labels=labels
    )
    for key, row in tally.rows.items():
        if votes := sum(row.votes):
            feedback.add_metric([*key], votes, votes - sum(row.badness) / 1000)
        for status, count in row.statuses.items():
            requests.add_metric([*key, str(status)], count)
        for by, count in row.cuts.items():
            cuts.add_metric([*key, by], count)
        bounds = [*(str(bound) for bound in BOUNDS), "+Inf"]
        steps = list(zip(bounds, accumulate(row.buckets), strict=True))
        durations.add_metric([*key], buckets=steps, sum_value=row.seconds)
    yield from (requests, cuts, durations, feedback)
