"""A runtime's Ray cluster on this machine: one head and one worker as the pods run them, for tests and measurements.

Ends only what it started, by process group; never `ray stop`, which acts by process name.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from llmdeployment_serving.node import AGENT_PORTS

TOKEN = "a-token-of-the-tests-0123456789abcdef"  # noqa: S105  # because it is a throwaway cluster's
_start_seconds = 240.0


def until(condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Returns the first true answer of `condition`, or fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.1)  # why: polling
    raise TimeoutError(f"{what} did not happen in {seconds:.0f} s")


def free_port(start: int) -> int:
    """Returns a free port at or above `start`. Ray wants its fixed ports outside the range of its workers' (21000-21999 here)."""
    for port in range(start, start + 500):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise RuntimeError(f"no free port from {start}")


@dataclass
class RayRuntime:
    """Head, worker and their addresses."""

    folder: Path
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    logs: list[IO[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gcs_port = free_port(6400)
        self.dashboard_port = free_port(8300)
        self.replica_port = free_port(30100)
        self.metrics_port = free_port(30700)
        self.ray_metrics_port = free_port(8600)

    def start(self) -> None:
        """Returns once the Serve REST API answers and the worker has joined."""
        (self.folder / "gcs").mkdir(parents=True, exist_ok=True)
        self.start_head()
        self.start_worker()
        until(self._serve_answers, seconds=_start_seconds, what="the Serve API's answer")

    def start_head(self) -> None:
        """Starts the head pod's process; again, when it was killed: it finds its state in the same folder."""
        # why: a new pod has its own /tmp and its own processes; here `ray start` would take the worker's for a cluster that runs.
        (self.folder / "ray" / "ray_current_cluster").unlink(missing_ok=True)
        self.start_node(
            "head",
            *("--port", str(self.gcs_port), "--dashboard-port", str(self.dashboard_port)),
            *("--dashboard-host", "127.0.0.1", "--temp-dir", str(self.folder / "ray")),
            *_agent_ports(8400),
            *("--min-worker-port", "20000", "--max-worker-port", "20999"),
            *("--ray-client-server-port", str(free_port(10100))),
        )

    def start_worker(self) -> None:
        """Starts the worker pod's process."""
        self.start_node(
            "worker",
            *_agent_ports(8500),
            *("--metrics-export-port", str(self.ray_metrics_port)),
            *("--min-worker-port", "21000", "--max-worker-port", "21999"),
        )

    def start_node(self, kind: str, *options: str) -> None:
        """Starts `llmdeployment-serving head | worker` as a process group of its own."""
        log = (self.folder / f"{kind}.log").open("ab")
        self.logs.append(log)
        self.processes[kind] = subprocess.Popen(
            [*self.command(kind), "--", *options],
            env=self.pod_environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def command(self, name: str) -> list[str]:
        """Returns the command line of `llmdeployment-serving name`."""
        return [self.python, "-m", "llmdeployment_serving.main", name]

    def pod_environment(self) -> dict[str, str]:
        """Returns the environment of the runtime's pods."""
        return {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "LLMD_GCS_DIR": str(self.folder / "gcs"),
            "LLMD_HEAD_ADDRESS": f"127.0.0.1:{self.gcs_port}",
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(self.replica_port),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(self.replica_port + 1),
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "3",
            "LLMD_METRICS_PORT": str(self.metrics_port),
            "LLMD_NAMESPACE": "team",
            "LLMD_NAME": "shop",
            **self.environment,
        }

    def kill_node(self, kind: str) -> None:
        """Ends a node and everything it started, all at once, as a lost machine does."""
        process = self.processes.pop(kind)
        family = descendants({process.pid})
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)
        for pid, born in family.items():
            if _stat(pid)[1:] == (born,):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """Ends both nodes and everything they started."""
        for kind in tuple(self.processes):
            self.kill_node(kind)
        for log in self.logs:
            log.close()

    def call(
        self, method: str, path: str, body: object = None, *, token: str = TOKEN
    ) -> tuple[int, Any]:
        """Returns status and parsed body of a call to the head's REST API."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.dashboard_port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json", "authorization": f"Bearer {token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # because it is http to this machine
                text = answer.read()
                return answer.status, json.loads(text) if text[:1] == b"{" else text.decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")

    def put(self, document: object) -> int:
        """PUTs a Serve config; returns the status."""
        return self.call("PUT", "/api/serve/applications/", document)[0]

    def application(self) -> dict[str, Any]:
        """Returns Serve's view of the application, {} when there is none."""
        answer = self.call("GET", "/api/serve/applications/")[1]
        return dict(answer["applications"].get("llm", {}))

    def replicas(self) -> list[dict[str, Any]]:
        """Returns the replicas that serve; one that takes a new user config is UPDATING meanwhile."""
        deployment = self.application().get("deployments", {}).get("replica", {})
        serving = ("RUNNING", "UPDATING")
        return [item for item in deployment.get("replicas", ()) if item["state"] in serving]

    def scale(self, replicas: int) -> None:
        """Asks for so many replicas."""
        path = "/api/v1/applications/llm/deployments/replica/scale"
        status, text = self.call("POST", path, {"target_num_replicas": replicas})
        if status != 200:
            raise RuntimeError(f"{status}: {text}")

    def stats(self) -> dict[str, Any]:
        """Returns the replica's `/stats`."""
        with urllib.request.urlopen(self.replica_url("/stats"), timeout=5) as answer:  # noqa: S310  # because it is http to this machine
            return dict(json.load(answer))

    def replica_url(self, path: str) -> str:
        """Returns the URL of the replica."""
        return f"http://127.0.0.1:{self.replica_port}{path}"

    def metrics_url(self, path: str = "/metrics") -> str:
        """Returns a URL of the port for scrapers."""
        return f"http://127.0.0.1:{self.metrics_port}{path}"

    def until_replicas(self, seconds: float) -> None:
        """Returns once a replica serves; a failure says what Serve says of it, and the ends of both nodes' logs.

        Raises:
            RuntimeError: none serves within `seconds`.
        """
        try:
            until(self.replicas, seconds=seconds, what="a running replica")
        except TimeoutError as error:
            ends = {
                kind: (self.folder / f"{kind}.log").read_text()[-500:] for kind in self.processes
            }
            raise RuntimeError(f"{error}; Serve: {self.application()}; logs: {ends}") from None

    def _serve_answers(self) -> bool:
        for kind, process in self.processes.items():
            if process.poll() is not None:
                raise RuntimeError((self.folder / f"{kind}.log").read_text()[-2000:])
        try:
            return self.call("GET", "/api/serve/applications/")[0] == 200
        except OSError:
            return False


def _agent_ports(start: int) -> list[str]:
    """Returns free ports for a node's agents, at or above `start`: two nodes share this machine's."""
    return [
        word
        for place, option in enumerate(AGENT_PORTS)
        for word in (option, str(free_port(start + 20 * place)))
    ]


def status_of(url: str) -> int:
    """Returns the HTTP status of a GET, 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # because it is http to this machine
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def descendants(roots: set[int]) -> dict[int, str]:
    """Returns every process below `roots` and when it began; Ray moves some into other process groups."""
    table = {int(path.name): _stat(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
    found = set(roots)
    while more := {pid for pid, (parent, *_) in table.items() if int(parent) in found} - found:
        found |= more
    return {pid: table[pid][1] for pid in found - roots}


def _stat(pid: int) -> tuple[str, str]:
    """Returns a process's parent and start time; a process that is gone has neither."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ("-1", "")
    return (fields[1], fields[19])
