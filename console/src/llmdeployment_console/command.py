"""Runs the console on this machine: `kubectl llm console`."""

import asyncio
import contextlib
import os
import socket
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import aiohttp

from llmdeployment_cli import kube
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.flags import Flags
from llmdeployment_console.app import Console, build_app
from llmdeployment_console.cache import ReadCache
from llmdeployment_console.cluster import UserCluster
from llmdeployment_console.forwards import PortForwards
from llmdeployment_console.guard import admit_local
from llmdeployment_console.history import Histories
from llmdeployment_console.operator_points import OperatorPoints
from llmdeployment_console.rights import OwnRights
from llmdeployment_console.server import build_server
from llmdeployment_console.sessions import Sessions
from llmdeployment_console.settings import Settings, check_prometheus, read_settings

HOST = "127.0.0.1"
_CONNECTIONS = 128


def run(
    flags: Flags,
    port: int,
    *,
    everywhere: bool,
    opens: bool,
    report: Callable[[str], None],
    prometheus_url: str | None = None,
) -> None:
    """Serve the console until Ctrl-C.

    Args:
        flags: which cluster, as whom, and which namespace.
        port: of 127.0.0.1; 0 takes a free one.
        everywhere: whether the LLMDeployments of all namespaces are shown.
        opens: whether the address is opened in a browser.
        report: prints a line.
        prometheus_url: base URL of a Prometheus with older points; None for what the environment says.

    Raises:
        Refusal: the cluster cannot be read, the port is taken, or an address cannot be used.
    """
    settings = read_settings(os.environ)
    if prometheus_url is not None:
        url = check_prometheus(prometheus_url, "--prometheus-url")
        settings = replace(settings, prometheus_url=url)
    connection = kube.connect(flags)
    cluster = UserCluster(connection, None if everywhere else connection.namespace)
    # Before anybody opens a page that could only say that nothing can be read.
    cluster.list_deployments()
    with bind_port(port) as listener:
        asyncio.run(_serve(flags, cluster, listener, settings, opens=opens, report=report))


def bind_port(port: int) -> socket.socket:
    """Return a socket of 127.0.0.1.

    Raises:
        Refusal: the port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        # From here on a browser that is faster than the server waits for it.
        listener.listen(_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise Refusal(
            f"port {port} of {HOST} cannot be used ({error}). Choose another with --port."
        ) from error
    return listener


def list_hosts(port: int) -> frozenset[str]:
    """Return the values of `Host` that are those of a console at a port.

    >>> sorted(list_hosts(8001))
    ['127.0.0.1:8001', 'localhost:8001']
    """
    return frozenset(f"{name}:{port}" for name in (HOST, "localhost"))


async def _serve(
    flags: Flags,
    cluster: UserCluster,
    listener: socket.socket,
    settings: Settings,
    *,
    opens: bool,
    report: Callable[[str], None],
) -> None:
    port = int(listener.getsockname()[1])
    sessions, ways = Sessions(port), PortForwards(flags)
    # A proxy for the outer world does not lead to a port of this machine: aiohttp asks none unless it is told to.
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        points = OperatorPoints(session, cluster, ways)
        console = Console(
            cluster,
            ReadCache(cluster),
            points,
            Histories(points),
            ways,
            session,
            OwnRights(cluster.apply),
            sessions,
            settings=settings,
        )
        entrance = partial(admit_local, sessions=sessions, hosts=list_hosts(port))
        server = build_server(build_app(console, entrance), console.places.ending, _CONNECTIONS)
        address = f"http://{HOST}:{port}/?token={sessions.issue_token()}"
        report(f"{address}\nThe address works once. Ctrl-C ends the console.")
        opening = asyncio.create_task(asyncio.to_thread(_open_browser, address)) if opens else None
        try:
            await server.serve([listener])
        finally:
            if opening is not None:
                opening.cancel()
            ways.close()


def _open_browser(address: str) -> None:
    # A machine without a browser is not an error: the address is printed.
    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(address)
