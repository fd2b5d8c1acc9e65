"""The agent's HTTP server: `/healthz`, `/readyz`, `/stats` and `/metrics`."""

import time
from http import HTTPStatus

from aiohttp import web

from llmdeployment_gateway.kube import Kube
from llmdeployment_gateway.metrics import AgentState, MetricsPage
from llmdeployment_gateway.request_spans import RequestSpans
from llmdeployment_gateway.steering import Steering
from llmdeployment_gateway.tally import Tally


class AgentServer:
    """Answers kubelet, operator and Prometheus."""

    def __init__(
        self,
        steering: Steering,
        tally: Tally,
        kube: Kube,
        page: MetricsPage,
        spans: RequestSpans | None = None,
    ) -> None:
        self._spans = spans
        self._steering = steering
        self._tally = tally
        self._kube = kube
        self._page = page

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
        rows = self._list_routed()
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
        state = AgentState(
            ready=not self._steering.explain_unready(),
            held=held,
            refused=refused,
            steering_failures=self._steering.failures,
            kube_failures=self._kube.failures,
            services=await self._steering.count_services(),
            rows=self._tally.list_recent(self._list_routed(), time.monotonic()),
            spans=self._spans.count() if self._spans is not None else None,
        )
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._page.render(state), headers=headers)

    def _list_routed(self) -> list[tuple[str, str]]:
        routes = self._steering.inputs.routes
        return [(row.arm, str(row.revision)) for row in routes.routes] if routes else []
