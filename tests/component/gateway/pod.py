"""A gateway pod without a pod: the two programs, their shared folder, and what the operator writes for them."""

import asyncio
import base64
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from dev.cluster import api
from tests.component.gateway.loopback import Loopback
from tests.support.cluster_client import ClusterClient
from tests.support.ports import free_port

from llmdeployment_gateway.routes import hash_routes

SERVICE = "chat-1a2b3c4d"
SALT = "3d1f"
COMMAND = str(Path(sys.executable).with_name("llmdeployment-gateway"))
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}


async def until(ask: Callable[[], Awaitable[Any]], seconds: float, what: str) -> Any:
    """Return the first true answer of `ask`."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := await ask():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}; last: {answer!r}")
        await asyncio.sleep(0.02)  # why: between two looks


def bucket(unit: str, salt: str = SALT) -> int:
    """The arithmetic of docs/concepts/gateway.md, done once more."""
    return int(hashlib.sha256(f"{salt}:{unit}".encode()).hexdigest()[:8], 16) % 10_000


class Pod:
    """One gateway pod of LLMDeployment `chat`."""

    def __init__(self, cluster: ClusterClient, kube: Loopback, haproxy: str) -> None:
        self.cluster, self.kube = cluster, kube
        # Short: a socket's path may have 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="gw-"))
        self.run, self.keys = self.folder / "run", self.folder / "keys"
        self.keys.mkdir()
        self.port, self.agent_port = free_port(), free_port()
        (self.folder / "token").write_text("first")
        self.env = {
            **os.environ,
            "LLMD_NAMESPACE": cluster.namespace,
            "LLMD_NAME": "chat",
            "LLMD_AUTH": "none",
            "LLMD_RUN_DIR": str(self.run),
            "LLMD_KEYS_DIR": str(self.keys),
            "LLMD_BIND": f"127.0.0.1:{self.port}",
            "LLMD_AGENT_HOST": "127.0.0.1",
            "LLMD_AGENT_PORT": str(self.agent_port),
            "LLMD_KUBE_URL": kube.url,
            "LLMD_KUBE_TOKEN_FILE": str(self.folder / "token"),
            "LLMD_HAPROXY": haproxy,
            "LLMD_GRACE_SECONDS": "1",
            "LLMD_FEEDBACK_KEY": base64.b64encode(bytes(range(32))).decode(),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.session = aiohttp.ClientSession(
            f"http://127.0.0.1:{self.port}", connector=aiohttp.TCPConnector(limit=0)
        )

    # --- the two containers ---

    def start(self, role: str) -> None:
        with (self.folder / f"{role}.log").open("ab") as log:
            self.processes[role] = subprocess.Popen(
                [COMMAND, role], env=self.env, stdout=log, stderr=log
            )

    def end(self, role: str, number: int = signal.SIGKILL) -> None:
        process = self.processes.pop(role)
        process.send_signal(number)
        process.wait(10)

    def log(self, role: str) -> str:
        return (self.folder / f"{role}.log").read_text()

    async def up(self) -> None:
        self.start("haproxy")
        self.start("agent")
        await until(self.ready, 20, "ready")

    async def close(self) -> None:
        await self.session.close()
        for role in list(self.processes):
            self.end(role)
        shutil.rmtree(self.folder)

    # --- what the operator and the cluster write ---

    def write_routes(
        self, rows: list[dict[str, Any]] | None = None, salt: str = SALT, **hold: int
    ) -> str:
        """Write the routes ConfigMap; returns the hash that `/stats` shall say."""
        document = {
            "deployment": "chat",
            "servedName": "chat",
            "salt": salt,
            "hold": {"maxRequests": 8, "seconds": 10, **hold},
            "routes": [row()] if rows is None else rows,
        }
        text = json.dumps(document, sort_keys=True)
        self._put(
            "ConfigMap", "/api/v1", "configmaps", "chat-routes", {"data": {"routes.json": text}}
        )
        return hash_routes(text)

    def write_endpoints(self, *hosts: str, service: str = SERVICE, terminating: str = "") -> None:
        """Write an EndpointSlice with these addresses of 127.0.0.0/8."""
        endpoints = [
            {
                "addresses": [host.replace("127.", "198.", 1)],
                "conditions": {"ready": host != terminating, "terminating": host == terminating},
            }
            for host in hosts
        ]
        body = {
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 30000, "protocol": "TCP"}],
            "endpoints": endpoints,
        }
        labels = {"kubernetes.io/service-name": service}
        group = "/apis/discovery.k8s.io/v1"
        self._put("EndpointSlice", group, "endpointslices", f"{service}-x", body, labels)

    def write_peers(self, **hosts: str) -> None:
        """Write the EndpointSlice of the gateway's own Service: pods and their addresses of 127.0.0.0/8."""
        endpoints = [
            {
                "addresses": [host.replace("127.", "198.", 1)],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": name},
            }
            for name, host in hosts.items()
        ]
        ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
        body = {"addressType": "IPv4", "ports": ports, "endpoints": endpoints}
        labels = {"kubernetes.io/service-name": "chat"}
        group = "/apis/discovery.k8s.io/v1"
        self._put("EndpointSlice", group, "endpointslices", "chat-x", body, labels)

    def _put(
        self,
        kind: str,
        group: str,
        plural: str,
        name: str,
        body: dict[str, Any],
        labels: dict[str, str] | None = None,
    ) -> None:
        whole = {
            "apiVersion": group.removeprefix("/apis/").removeprefix("/api/"),
            "kind": kind,
            "metadata": {"name": name, "labels": labels or {}},
            **body,
        }
        root = f"{group}/namespaces/{self.cluster.namespace}/{plural}"
        api.apply(self.cluster.access, f"{root}/{name}", whole)

    def write_key(self, name: str, key: str) -> None:
        (self.keys / name).write_text(key)

    # --- what one sees from outside ---

    async def agent(self, path: str) -> tuple[int, str]:
        try:
            async with aiohttp.ClientSession() as session:
                url = f"http://{self.env['LLMD_AGENT_HOST']}:{self.agent_port}{path}"
                async with session.get(url) as answer:
                    return answer.status, await answer.text()
        except aiohttp.ClientConnectionError:
            return 0, ""

    async def ready(self) -> bool:
        return (await self.agent("/readyz"))[0] == 200

    async def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((await self.agent("/stats"))[1])
        return found

    async def applied(self, wanted: str) -> None:
        async def same() -> bool:
            return bool((await self.stats())["routesHash"] == wanted)

        await until(same, 10, "routes applied")

    async def serving(self, up: int, service: str = SERVICE) -> None:
        async def same() -> bool:
            services = (await self.stats())["services"]
            found = services.get(service, {})
            return bool((found.get("servers"), found.get("up")) == (up, up))

        await until(same, 10, f"{up} servers up")

    async def ask(
        self, body: Any = CHAT, path: str = "/v1/chat/completions", **headers: str
    ) -> tuple[int, dict[str, Any], "aiohttp.typedefs.LooseHeaders"]:
        """POST, and return status, JSON and headers."""
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        sent["content-type"] = "application/json"
        data = io.BytesIO(json.dumps(body).encode())
        async with self.session.post(path, data=data, headers=sent) as answer:
            return answer.status, await answer.json(), answer.headers


def row(
    service: str = SERVICE, revision: int = 1, below: int = 10_000, arm: str = "main"
) -> dict[str, Any]:
    return {"arm": arm, "revision": revision, "service": service, "below": below}


async def until_held(pod: Pod, count: int) -> None:
    """Return once exactly so many requests are held."""

    async def same() -> bool:
        return bool((await pod.stats())["held"] == count)

    await until(same, 5, f"{count} requests held")
