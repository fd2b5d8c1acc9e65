"""What it costs the pods of many LLMDeployments to be scraped.

    python -m bench.scrape [--crs 100] [--gateways 2] [--replicas 1] [--interval 30] [--scrapes 100] [--rounds 3]

Each kind of page is served by a process of its own, by the code that serves it in a cluster, and asked as Prometheus asks. CPU time of that
process per scrape is from the kernel's clock of it. The operator's page has all LLMDeployments, each with a canary, autoscaling
and costs; a gateway's has one revision, and a replica's two, with as many series of an engine as vLLM has, about.
The peer is prometheus_client's own server with as many series as the replica's page, all of them gauges.
Not in it: what HAProxy takes to tell the agent its counts, Ray's own page, and what Prometheus takes itself.
Last line: one JSON object. `percentOfACore` is for all pods of all LLMDeployments together.
"""

import argparse
import asyncio
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    start_http_server,
)
from tests.component.prometheus_pages import SAMPLE, build_agent
from tests.support.ports import free_port

from llmdeployment_operator.autoscaler.types import ScalingReason
from llmdeployment_operator.health import serve_health
from llmdeployment_operator.metrics import Metrics
from llmdeployment_serving.exposition import write_page
from llmdeployment_serving.metrics import Owner, render_metrics
from llmdeployment_serving.metrics_port import serve_metrics
from llmdeployment_serving.stats import EngineSnapshot, RevisionStats, build_stats

HOST = "127.0.0.1"
GOAL_PERCENT = 2.0
"""The project's goal for 100 LLMDeployments."""
PAGES = ("operator", "gateway", "replica", "peer")
HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
}
"""What Prometheus 2.42 sends."""
REVISIONS = ("1", "2")
CONDITIONS = ("Accepted", "Available", "Ready", "Progressing", "Degraded", "Scaling", "Drifting")
STATUSES = ("True", "False", "Unknown")
ENGINE_HISTOGRAMS, ENGINE_BUCKETS, ENGINE_GAUGES = 15, 20, 30
"""Sizes of vLLM's own page, about."""


def fill_operator(crs: int) -> Metrics:
    """Return the operator's metrics with so many LLMDeployments."""
    metrics = Metrics()
    families = [each for each in vars(metrics).values() if isinstance(each, Gauge | Counter | Histogram)]  # fmt: skip
    names = [f"model-{number}" for number in range(crs)]
    for family in families:
        labels = family._labelnames  # noqa: SLF001  # because the client does not say which labels a metric has
        for name in names if "name" in labels else ("",):
            for values in vary_labels(labels, name):
                count_once(family.labels(**values) if labels else family)
    return metrics


def count_once(child: Gauge | Counter | Histogram) -> None:
    """Give a series its first value."""
    if isinstance(child, Histogram):
        child.observe(1)
    else:
        child.inc()


def vary_labels(labels: tuple[str, ...], name: str) -> Iterator[dict[str, str]]:
    """Yield the series of a metric for one LLMDeployment, as sets of labels."""
    base = {label: SAMPLE[label] for label in labels} | ({"name": name} if name else {})
    if "status" in labels and "reason" not in labels:
        yield from (base | {"condition": c, "status": s} for c in CONDITIONS for s in STATUSES)
    elif "condition" in labels:
        yield from (base | {"condition": condition} for condition in CONDITIONS)
    elif "revision" in labels:
        yield from (base | {"revision": revision} for revision in REVISIONS)
    elif "reason" in labels:
        yield from (base | {"reason": reason.value} for reason in ScalingReason)
    else:
        yield base


def fill_engine() -> CollectorRegistry:
    """Return as many series as an engine has, about."""
    registry = CollectorRegistry()
    for number in range(ENGINE_HISTOGRAMS):
        bounds = [float(bound) for bound in range(1, ENGINE_BUCKETS + 1)]
        Histogram(f"vllm_h{number}", "An engine's.", ["model"], registry=registry, buckets=bounds).labels("chat").observe(3)  # fmt: skip
    for number in range(ENGINE_GAUGES):
        Gauge(f"vllm_g{number}", "An engine's.", ["model"], registry=registry).labels("chat").set(1)
    return registry


def render_replica(stats: dict[str, RevisionStats], engine: CollectorRegistry) -> bytes:
    """Return a replica's page, made anew from its counts as in a replica."""
    snapshot = EngineSnapshot(1, 2, 0.5, 1000, 2000, {})
    page = render_metrics(build_stats("vllm", "chat", snapshot, stats), Owner("team", "chat"))
    return write_page(engine.collect()) + page


def build_replica() -> tuple[dict[str, RevisionStats], CollectorRegistry]:
    """Return a replica's counts, after a few answers, and its engine's."""
    stats = {revision: RevisionStats() for revision in REVISIONS}
    for each in stats.values():
        each.requests["200"] += 10
        whole = each.whole
        for histogram in (whole.ttft, whole.itl, whole.e2e, whole.output_tokens):
            histogram.observe(0.2, 0)
    return stats, fill_engine()


def count_series(page: bytes) -> int:
    """Return how many series a page has."""
    return sum(bool(line) and not line.startswith(b"#") for line in page.splitlines())


async def serve(page: str, port: int, crs: int) -> None:
    """Serve one page until the process is ended."""
    forever = asyncio.Event()
    if page == "operator":
        async with serve_health(port, fill_operator(crs), lambda: 0.0, lambda: "ok"):
            await forever.wait()
    elif page == "gateway":
        runner = web.AppRunner(build_agent(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, HOST, port).start()
        await forever.wait()
    elif page == "replica":
        stats, engine = build_replica()
        async with serve_metrics(lambda: render_replica(stats, engine), HOST, port):
            await forever.wait()
    else:
        registry = CollectorRegistry()
        gauge = Gauge("peer", "A peer's.", ["number"], registry=registry)
        for number in range(count_series(render_replica(*build_replica()))):
            gauge.labels(str(number)).set(1)
        start_http_server(port, HOST, registry)
        await forever.wait()


@contextmanager
def run_page(page: str, crs: int) -> Iterator[tuple[int, int]]:
    """Serve a page inside of `with`, by a process of its own; yields its port and its process id."""
    port = free_port()
    command = [sys.executable, "-m", "bench.scrape", f"--serve={page}", f"--port={port}"]
    process = subprocess.Popen([*command, f"--crs={crs}"])
    try:
        for _ in range(400):
            try:
                scrape(http.client.HTTPConnection(HOST, port, timeout=10))
                break
            except OSError:
                time.sleep(0.05)  # why: it starts
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process and all threads it has had have used; Linux has a clock for each process."""
    return time.clock_gettime((~pid << 3) | 2)


def scrape(client: http.client.HTTPConnection) -> bytes:
    """Ask for the page once, and return it as it was sent."""
    client.request("GET", "/metrics", headers=HEADERS)
    answer = client.getresponse()
    page = answer.read()
    if answer.status != http.HTTPStatus.OK:
        sys.exit(f"answered {answer.status}")
    return page


def measure(port: int, pid: int, scrapes: int) -> float:
    """Return the CPU milliseconds of a process for a scrape."""
    client = http.client.HTTPConnection(HOST, port, timeout=10)
    scrape(client)
    began = cpu_seconds(pid)
    for _ in range(scrapes):
        scrape(client)
    return (cpu_seconds(pid) - began) / scrapes * 1e3


def sum_percent(milliseconds: dict[str, float], options: argparse.Namespace) -> float:
    """Return percent of one core for all pods: CPU seconds of all pages, each scraped once in an interval.

    >>> options = argparse.Namespace(crs=100, gateways=2, replicas=1, interval=30)
    >>> sum_percent({"operator": 60, "gateway": 1, "replica": 2}, options)  # (60 + 100 * (2 * 1 + 1 * 2)) ms in 30 s
    1.5333333333333334
    """
    each = options.gateways * milliseconds["gateway"] + options.replicas * milliseconds["replica"]
    return (milliseconds["operator"] + options.crs * each) / 1e3 / options.interval * 100


def main() -> None:
    """Measure in turns, and print the least of each page as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crs", type=int, default=100, help="LLMDeployments")
    parser.add_argument("--gateways", type=int, default=2, help="gateway pods of each")
    parser.add_argument("--replicas", type=int, default=1, help="replicas of each")
    parser.add_argument("--interval", type=float, default=30, help="seconds between two scrapes")
    parser.add_argument("--scrapes", type=int, default=100, help="of each page in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", choices=PAGES, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve, options.port, options.crs))
        return
    with ExitStack() as stack:
        servers = {page: stack.enter_context(run_page(page, options.crs)) for page in PAGES}
        rounds = [
            {page: measure(*server, options.scrapes) for page, server in servers.items()}
            for _ in range(options.rounds)
        ]
        sizes = {page: count_page(port) for page, (port, _) in servers.items()}
    least = {page: min(row[page] for row in rounds) for page in PAGES}
    print(json.dumps(describe(least, sizes, options)))


def count_page(port: int) -> int:
    """Return how many series a page has."""
    client = http.client.HTTPConnection(HOST, port, timeout=10)
    client.request("GET", "/metrics")
    return count_series(client.getresponse().read())


def describe(
    least: dict[str, float], sizes: dict[str, int], options: argparse.Namespace
) -> dict[str, Any]:
    """Return the result: milliseconds and series of each page, and what all pods take together."""
    percent = sum_percent(least, options)
    # A series of the peer is the cheapest there is.
    per_series = {page: least[page] / sizes[page] for page in PAGES}
    return {
        "llmDeployments": options.crs,
        "gateways": options.gateways,
        "replicas": options.replicas,
        "intervalSeconds": options.interval,
        "cpuMilliseconds": {page: round(value, 3) for page, value in least.items()},
        "series": sizes,
        "perSeriesRatioToPeer": {
            page: round(per_series[page] / per_series["peer"], 2) for page in PAGES
        },
        "percentOfACore": round(percent, 2),
        "goalPercent": GOAL_PERCENT,
        "met": percent <= GOAL_PERCENT,
    }


if __name__ == "__main__":
    main()
