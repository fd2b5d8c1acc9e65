"""A stand-in for Ray inside a runtime's pods, for `bench.rollout` on a small machine. It is no part of the product.

The operator renders heads and workers as always; a `podTemplate` replaces their command with this file (a ConfigMap holds it). As a
head it answers Ray Serve's REST API as far as the operator uses it (`kube/serve.py`), from memory. As a worker it asks the head for
its application and serves it: the real front and the simulated engine of the serving package behind uvicorn, with Ray Serve's health
path. What is left out is Ray: its processes, its actors, its own failures, and 35 s and 1 GB for each cluster.

    python plain_runtime.py head|worker
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DASHBOARD_PORT = 8265
REPLICA_PORT = 30000
GONE_SECONDS = 4.0
"""A worker that did not ask for this long has no replica any more."""
ASK_SECONDS = 0.5
DRAIN_SECONDS = 5.0
"""A replica that is told to go stays reachable at least this long; Ray Serve's is set to 30 s."""
APPLICATIONS = "/api/serve/applications/"
Message = dict[str, Any]


@dataclass
class Worker:
    """What a worker last said of itself."""

    address: str
    joined: int
    state: str = "idle"
    version: int = 0
    seen: float = 0.0


@dataclass
class Cluster:
    """What a head knows: the application as it was last declared, and who carries it."""

    app: Message | None = None
    version: int = 0
    declared_at: float = 0.0
    workers: dict[str, Worker] = field(default_factory=dict)

    def declare(self, body: Message, now: float) -> None:
        """Take a declaration; one that says what the last one said changes nothing."""
        app = next(iter(body["applications"]), None)
        if app != self.app:
            self.app, self.version, self.declared_at = app, self.version + 1, now

    def answer(self, address: str, state: str, version: int, now: float) -> Message:
        """Note what a worker says of itself and return what it should do."""
        gone = [a for a, worker in self.workers.items() if now - worker.seen > GONE_SECONDS]
        for each in gone:
            del self.workers[each]
        joined = max((worker.joined for worker in self.workers.values()), default=0) + 1
        worker = self.workers.setdefault(address, Worker(address, joined))
        worker.state, worker.version, worker.seen = state, version, now
        run = address in {each.address for each in self.chosen(now)}
        return {"app": self.app, "version": self.version, "run": run}

    def chosen(self, now: float) -> list[Worker]:
        """Return the workers that should carry a replica: who came first stays."""
        alive = [worker for worker in self.workers.values() if now - worker.seen <= GONE_SECONDS]
        return sorted(alive, key=lambda worker: worker.joined)[: self.wanted]

    @property
    def wanted(self) -> int:
        """How many replicas are declared."""
        return int(self.app["deployments"][0]["num_replicas"]) if self.app else 0

    def document(self, now: float) -> Message:
        """Return the body of `GET /api/serve/applications/`."""
        if self.app is None:
            return {"applications": {}}
        chosen = self.chosen(now)
        names = {"running": "RUNNING", "draining": "STOPPING"}
        replicas: list[Message] = [
            {"state": names.get(worker.state, "STARTING"), "node_ip": worker.address}
            for worker in chosen
        ]
        replicas += [{"state": "STARTING", "node_ip": None}] * (self.wanted - len(chosen))
        replicas += [
            {"state": "STOPPING", "node_ip": worker.address}
            for worker in self.workers.values()
            if worker not in chosen and worker.state == "draining"
        ]
        at_rest = sum(w.state == "running" and w.version == self.version for w in chosen)
        app = {
            "status": "RUNNING" if at_rest == self.wanted else "DEPLOYING",
            "message": "",
            "last_deployed_time_s": self.declared_at,
            "deployed_app_config": self.app,
            "deployments": {"replica": {"message": "", "replicas": replicas}},
        }
        return {"applications": {"llm": app}}


class Handler(BaseHTTPRequestHandler):
    """The head's API; all requests share one cluster."""

    protocol_version = "HTTP/1.1"
    cluster = Cluster()
    lock = threading.Lock()

    def do_GET(self) -> None:
        """Answer the operator, the kubelet and the workers."""
        path, _, query = self.path.partition("?")
        if path == "/api/gcs_healthz":
            self._send(200, "success")
        elif not self._known():
            self._send(401, {"error": "no token"})
        elif path == APPLICATIONS:
            with self.lock:
                self._send(200, self.cluster.document(time.time()))
        elif path == "/worker":
            said = dict(urllib.parse.parse_qsl(query))
            with self.lock:
                told = self.cluster.answer(
                    said["address"], said["state"], int(said["version"]), time.time()
                )
            self._send(200, told)
        else:
            self._send(404, {"error": path})

    def do_PUT(self) -> None:
        """Take the operator's declaration."""
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        if not self._known():
            self._send(401, {"error": "no token"})
            return
        with self.lock:
            self.cluster.declare(body, time.time())
        self._send(200, {})

    def _known(self) -> bool:
        return self.headers.get("authorization") == f"Bearer {os.environ['RAY_AUTH_TOKEN']}"

    def _send(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: workers ask twice a second."""


def head() -> None:
    """Serve the head's API until SIGTERM."""
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer(("", DASHBOARD_PORT), Handler).serve_forever()


class Replica:
    """The front behind Ray Serve's health path."""

    def __init__(self, front: Any) -> None:  # noqa: ANN401  # because a head has no serving package to import
        self.front = front
        self.draining = False

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] != "/-/healthz":
            await self.front(scope, receive, send)
            return
        status = 503 if self.draining else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"draining" if self.draining else b"ok"})


async def worker() -> None:
    """Serve what the head declares until SIGTERM, then end the streams that are under way."""
    # why: a head has none of them to import, and starts in a tenth of the time without.
    import uvicorn  # noqa: PLC0415  # because only a worker needs it

    from llmdeployment_serving.asgi import ReplicaApp  # noqa: PLC0415  # because only a worker needs it
    from llmdeployment_serving.config import ServingConfig, UserConfig, parse  # noqa: PLC0415  # because only a worker needs it
    from llmdeployment_serving.start import start_engine  # noqa: PLC0415  # because only a worker needs it

    while not (told := await ask("idle", 0)).get("run"):  # noqa: ASYNC110  # because a head announces itself in no other way
        await asyncio.sleep(ASK_SECONDS)  # why: polling a head that may not run yet
    config = parse(ServingConfig, told["app"]["args"])
    await ask("starting", 0)
    engine = await start_engine(config)
    front = ReplicaApp(config, engine, await engine.build_app())
    replica = Replica(front)

    def take(app: Message) -> None:
        front.user_config = parse(UserConfig, app["deployments"][0]["user_config"])

    take(told["app"])
    settings = uvicorn.Config(
        replica, host="", port=REPLICA_PORT, lifespan="on", log_level="warning", access_log=False
    )
    server = uvicorn.Server(settings)
    following = asyncio.create_task(follow(replica, server, told["version"], take))
    await server.serve()
    following.cancel()
    engine.shutdown()


async def follow(
    replica: Replica,
    server: Any,  # noqa: ANN401  # because a head has no uvicorn to import
    version: int,
    take: Callable[[Message], None],
) -> None:
    """Ask the head for changes and do what it says."""
    quiet_since = None
    while True:
        state = "running" if server.started and not replica.draining else "starting"
        if replica.draining:
            busy = replica.front.stats()["inFlight"] or quiet_since is None
            over = not busy and time.monotonic() - quiet_since > DRAIN_SECONDS
            state = "idle" if over else "draining"
        told = await ask(state, version)
        if told.get("app") is not None:
            if told["version"] != version:
                take(told["app"])
                version = told["version"]
            if replica.draining == told["run"]:
                replica.draining = not told["run"]
                quiet_since = time.monotonic()
        await asyncio.sleep(ASK_SECONDS)  # why: the interval of a watch without end


async def ask(state: str, version: int) -> Message:
    """Tell the head how far this worker is, and return what it says, nothing while it does not answer."""
    host = os.environ["LLMD_HEAD_ADDRESS"].rsplit(":", 1)[0]
    said = {"address": os.environ["POD_IP"], "state": state, "version": version}
    url = f"http://{host}:{DASHBOARD_PORT}/worker?{urllib.parse.urlencode(said)}"
    token = {"authorization": f"Bearer {os.environ['RAY_AUTH_TOKEN']}"}

    def call() -> Message:
        request = urllib.request.Request(url, headers=token)
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310  # because the address is the pod's own head
                return dict(json.loads(answer.read()))
        except (OSError, ValueError):
            return {}

    return await asyncio.to_thread(call)


if __name__ == "__main__":
    # why: the first process of a container ignores SIGTERM unless it says what to do.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if sys.argv[1] == "head":
        head()
    else:
        asyncio.run(worker())
