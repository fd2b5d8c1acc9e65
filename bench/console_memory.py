"""How much memory the console's server takes with a fleet of LLMDeployments, in a cluster and on a person's machine, in one run.

It starts an API server of recorded objects and both servers before it, and has each show the fleet, every LLMDeployment once, and
streams. The last line of output is JSON: resident memory in MiB after the start, and the most there ever was, and the cluster's as a
share of the local one's. The exit status is 1 if a server in the cluster took more than the goal.
Run: `.venv/bin/python -m bench.console_memory --deployments 200` (about 20 s on 2 cores).
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
from tests.support.ports import free_port

from llmdeployment_console import serve
from llmdeployment_console.api_server import AccountTransport, Token
from llmdeployment_console.cluster_settings import PREFIX

GOAL_MIB = 80
STREAMS = 8
FLEET_READS = 30


def list_documents(count: int) -> dict[str, Any]:
    """Return what the API server has, by the end of its paths."""
    # Here, because the server in the cluster is this module too, and would be larger for them.
    from tests.unit.cli.objects import RECORDS  # noqa: PLC0415  # because of the line above
    from tests.unit.console.fakes import moving  # noqa: PLC0415  # because of the line above

    items = [moving(name=f"chat-{number}", uid=f"u-{number}") for number in range(count)]
    events = [
        {
            "involvedObject": {"namespace": "shop", "name": f"chat-{number}"},
            "type": "Normal",
            "reason": "RevisionCreated",
            "message": "revision 4: prompt differs from revision 3",
            "lastTimestamp": "2026-11-24T11:45:00Z",
        }
        for number in range(min(count, 500))
    ]
    return {
        "/llmdeployments": {"items": items},
        "/events": {"items": events},
        "/controllerrevisions": {"items": RECORDS},
        "/deployments": {"items": []},
    }


@contextmanager
def run_api_server(count: int) -> Iterator[str]:
    """Yield the URL of an API server with so many LLMDeployments."""
    bodies = {path: json.dumps(each).encode() for path, each in list_documents(count).items()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer a list."""
            path = self.path.partition("?")[0]
            body = next((each for end, each in bodies.items() if path.endswith(end)), b"{}")
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextmanager
def run_in_cluster(url: str, folder: Path) -> Iterator[tuple[int, str, str]]:
    """Start the server of a pod; yield its process, its address and no cookie."""
    port = free_port()
    (folder / "token").write_text("t")
    environment = {**os.environ, f"{PREFIX}PORT": str(port), f"{PREFIX}ACCOUNT": str(folder)}
    command = [sys.executable, "-m", "bench.console_memory", "--serve", url]
    with subprocess.Popen(command, env=environment) as child:
        try:
            wait_for(port)
            yield child.pid, f"127.0.0.1:{port}", ""
        finally:
            child.terminate()


@contextmanager
def run_locally(url: str, folder: Path) -> Iterator[tuple[int, str, str]]:
    """Start `kubectl llm console`; yield its process, its address and the cookie."""
    config = {
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": url}}],
        "users": [{"name": "it", "user": {}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    code = "from llmdeployment_cli.main import main; main()"
    command = [sys.executable, "-c", code, "console", "-A", "--no-browser"]
    environment = {**os.environ, "KUBECONFIG": str(folder / "kubeconfig")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None  # noqa: S101  # because Popen's type is wider
            parts = urlsplit(child.stdout.readline().strip())
            connection = http.client.HTTPConnection(parts.netloc, timeout=60)
            connection.request("GET", f"/?{parts.query}")
            cookie = connection.getresponse().headers["set-cookie"].partition(";")[0]
            yield child.pid, parts.netloc, cookie
        finally:
            child.terminate()


def wait_for(port: int) -> None:
    """Wait until something answers at a port.

    Raises:
        TimeoutError: nothing does.
    """
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            get(f"127.0.0.1:{port}", "/healthz", "")
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nothing answers at port {port}")


def get(address: str, path: str, cookie: str) -> bytes:
    """Return the body of an answer."""
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("GET", path, headers={"cookie": cookie})
    body = connection.getresponse().read()
    connection.close()
    return body


def use(address: str, cookie: str, count: int) -> None:
    """Look at everything, as people do."""
    with ExitStack() as stack:
        for number in range(STREAMS):
            stream = http.client.HTTPConnection(address, timeout=60)
            stack.callback(stream.close)
            path = f"/api/llmdeployments/shop/chat-{number % count}/live"
            stream.request("GET", path, headers={"cookie": cookie})
            stream.getresponse().readline()
        for number in range(count):
            get(address, f"/api/llmdeployments/shop/chat-{number}", cookie)
        for _ in range(FLEET_READS):
            items = json.loads(get(address, "/api/fleet", cookie))["items"]
            if len(items) != count:
                raise ValueError(f"the fleet has {len(items)} of {count}")


def read_memory(process: int) -> Mapping[str, float]:
    """Return the resident memory of a process in MiB, now and at most."""
    rows = Path(f"/proc/{process}/status").read_text().splitlines()
    found = {row.split(":")[0]: row.split()[1] for row in rows if row.startswith("Vm")}
    return {
        name: round(int(found[key]) / 1024, 1)
        for name, key in (("now", "VmRSS"), ("most", "VmHWM"))
    }


def measure(count: int) -> dict[str, Any]:
    """Return the memory of both servers."""
    result: dict[str, Any] = {"deployments": count, "goalMiB": GOAL_MIB}
    for name, run in (("cluster", run_in_cluster), ("local", run_locally)):
        with (
            run_api_server(count) as url,
            tempfile.TemporaryDirectory() as folder,
            run(url, Path(folder)) as (process, address, cookie),
        ):
            started = read_memory(process)
            use(address, cookie, count)
            result[name] = {"started": started["now"], **read_memory(process)}
    result["ratio"] = round(result["cluster"]["most"] / result["local"]["most"], 2)
    return result


def main() -> None:
    """Measure and print, or be the server in the cluster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployments", type=int, default=200)
    parser.add_argument("--serve", metavar="URL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:

        def open_plain(_: str, __: str, folder: Path) -> AccountTransport:
            return AccountTransport(arguments.serve, urllib3.PoolManager(), Token(folder / "token"))

        serve.open_account = open_plain
        serve.run(os.environ)
        return
    result = measure(arguments.deployments)
    print(json.dumps(result))
    sys.exit(result["cluster"]["most"] > GOAL_MIB)


if __name__ == "__main__":
    main()
