"""Who gets which revision while a canary grows, by the live gateway: HAProxy and its agent, steered by the routes the operator writes.

    python -m bench.assignment [--keys 100000] [--steps 20] [--changes 1000]

Real API server, agent and HAProxy; the replicas are another HAProxy that answers everything at once. Three questions: does a user who
has the canary ever lose it while its weight rises; does each weight get its share; how long does a change of the routes take, and does it
cut the streams that are under way. Progress goes to stderr; the last line is one JSON object.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from math import sqrt
from pathlib import Path
from statistics import NormalDist, quantiles
from typing import Any

from dev.cluster import control_plane as planes
from tests.component.gateway.conftest import haproxy_binary
from tests.component.gateway.loopback import Loopback
from tests.component.gateway.pod import Pod
from tests.component.gateway.replica import Replica
from tests.support.cluster_client import ClusterClient
from tests.support.control_plane import make_namespace

from llmdeployment_operator.plan.base.routes import Share, build_routes

STABLE, CANARY = (1, "chat-1a2b3c4d"), (2, "chat-5e6f7a8b")
HOSTS = {STABLE[1]: "127.19.0.1", CANARY[1]: "127.19.0.2"}
STREAMING = "127.19.0.3"
CONNECTIONS, BATCH = 8, 50
STREAMS = 20
BAND = NormalDist().inv_cdf(0.9995)
"""Two-sided 99.9 %."""
MARK = b"x-llm-revision: "


def routes(weight: int) -> list[dict[str, Any]]:
    """Return the operator's rows for a canary of this percent; of 100 it is the stable one."""
    whole = Share("main", 100, CANARY)
    ramp = Share("main", 100, STABLE, CANARY, weight)
    return [vars(row) for row in build_routes([whole if weight == 100 else ramp])]  # noqa: PLR2004  # because the weight is in percent


def start_replicas(folder: Path) -> subprocess.Popen[bytes]:
    """Start a HAProxy that stands for a replica of each revision."""
    binds = "\n".join(f"    bind {host}:30000" for host in HOSTS.values())
    config = folder / "replicas.cfg"
    config.write_text(
        "defaults\n    mode http\n    timeout client 60s\n    timeout server 60s\n    timeout connect 2s\n"
        f"frontend replicas\n{binds}\n    http-request return status 200 content-type text/plain string ok\n"
    )
    return subprocess.Popen([haproxy_binary(), "-f", str(config)])


async def revisions(pod: Pod, users: list[str | None]) -> list[int]:
    """Ask once as each user and return the revisions that answered, in order; several at once, each connection pipelined."""
    size = -(-len(users) // CONNECTIONS)
    parts = [users[start : start + size] for start in range(0, len(users), size)]
    found = await asyncio.gather(*(_on_one_connection(pod.port, part) for part in parts))
    return [revision for part in found for revision in part]


async def _on_one_connection(port: int, users: list[str | None]) -> list[int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found: list[int] = []
    for start in range(0, len(users), BATCH):
        batch = users[start : start + BATCH]
        writer.write(b"".join(map(_request, batch)))
        for _ in batch:
            found.append(_revision(await reader.readuntil(b"\r\n\r\n")))
            await reader.readexactly(len(b"ok"))
    writer.close()
    await writer.wait_closed()
    return found


def _request(user: str | None) -> bytes:
    who = f"x-user: {user}\r\n" if user else ""
    return f"GET /v1/models HTTP/1.1\r\nhost: gateway\r\n{who}\r\n".encode()


def _revision(head: bytes) -> int:
    return int(head[head.index(MARK) + len(MARK) :].split(b"\r\n", 1)[0])


async def set_weight(pod: Pod, weight: int) -> None:
    """Write the routes and wait until they are applied."""
    await pod.applied(await asyncio.to_thread(pod.write_routes, routes(weight)))


async def ramp(pod: Pod, keys: int, steps: int) -> dict[str, Any]:
    """Raise the weight from 0 to 100 and ask as every user at each step."""
    users: list[str | None] = [f"user-{number}" for number in range(keys)]
    lucky: set[str | None] = set()
    moved_back, outside, worst = 0, 0, 0.0
    for step in range(steps + 1):
        weight = 100 * step // steps
        await set_weight(pod, weight)
        answered = await revisions(pod, users)
        now = {
            user for user, revision in zip(users, answered, strict=True) if revision == CANARY[0]
        }
        moved_back += len(lucky - now)
        lucky = now
        share = weight / 100
        deviation = abs(len(now) - keys * share) / (sqrt(keys * share * (1 - share)) or 1)
        worst = max(worst, deviation)
        outside += deviation > BAND
        say(f"{weight:3d} %: {len(now)} of {keys} users, {moved_back} moved back so far")
    return {
        "keys": keys,
        "steps": steps,
        "moved_back": moved_back,
        "steps_outside_999_band": outside,
        "worst_deviation_sigmas": round(worst, 2),
    }


async def keyless(pod: Pod) -> dict[str, Any]:
    """Ask without a key and return the largest error of a share in any hundred requests in a row."""
    worst = 0
    for weight in (1, 5, 25, 50):
        await set_weight(pod, weight)
        answered = await _on_one_connection(pod.port, [None] * 2000)
        hits = [revision == CANARY[0] for revision in answered]
        windows = (sum(hits[start : start + 100]) for start in range(len(hits) - 100))
        worst = max(worst, *(abs(count - weight) for count in windows))
    say(f"without a key: off by at most {worst} in any 100 requests")
    return {"keyless_worst_error_per_100": worst}


async def changes(pod: Pod, count: int) -> dict[str, Any]:
    """Change who gets everything, again and again; time each until a request is answered by it."""
    took = []
    for number in range(count):
        weight, wanted = ((100, CANARY), (0, STABLE))[number % 2]
        started = time.monotonic()
        await asyncio.to_thread(pod.write_routes, routes(weight))
        while (await _on_one_connection(pod.port, [None]))[0] != wanted[0]:
            continue
        took.append(time.monotonic() - started)
        if number % 100 == 99:  # noqa: PLR2004  # because every 100th prints a line
            say(f"{number + 1} changes, the slowest took {max(took) * 1000:.0f} ms")
    cuts = quantiles(took, n=100)
    return {
        "changes": count,
        "change_to_first_request_ms": {
            "p50": round(cuts[49] * 1000, 1),
            "p99": round(cuts[98] * 1000, 1),
            "max": round(max(took) * 1000, 1),
        },
    }


async def _stream(pod: Pod, over: asyncio.Event) -> bool:
    """Read a stream until it is over; False when it ended before."""
    body = {"model": "chat", "messages": [], "stream": True}
    async with pod.session.post("/v1/chat/completions", json=body) as answer:
        async for _ in answer.content:
            if over.is_set():
                return True
    return False


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return everything, with what it takes started before and ended after."""
    plane = planes.start(folder / "plane")
    replicas = start_replicas(folder)
    slow = Replica(STREAMING)
    slow.tokens = 10**6
    try:
        await slow.start()
        kube = Loopback(plane)
        await kube.start()
        pod = Pod(
            ClusterClient(plane.access, make_namespace(plane, "bench")), kube, haproxy_binary()
        )
        try:
            return await _measure_pod(options, pod)
        finally:
            await pod.close()
            await slow.stop()
            await kube.stop()
    finally:
        replicas.terminate()
        replicas.wait(10)
        plane.stop()


async def _measure_pod(options: argparse.Namespace, pod: Pod) -> dict[str, Any]:
    for service, host in HOSTS.items():
        pod.write_endpoints(host, service=service)
    await asyncio.to_thread(pod.write_routes, routes(50))
    await pod.up()
    for service in HOSTS:
        await pod.serving(1, service)
    found = await ramp(pod, options.keys, options.steps) | await keyless(pod)
    # The streams begin at a replica that can stream, which then leaves: the endpoints change, the streams must not.
    pod.write_endpoints(STREAMING, service=STABLE[1])
    await pod.serving(1, STABLE[1])
    await set_weight(pod, 0)
    over = asyncio.Event()
    streams = [asyncio.create_task(_stream(pod, over)) for _ in range(STREAMS)]
    await asyncio.sleep(1)  # why: the streams begin
    pod.write_endpoints(HOSTS[STABLE[1]], service=STABLE[1])
    await pod.serving(1, STABLE[1])
    found |= await changes(pod, options.changes)
    over.set()
    whole = await asyncio.gather(*streams)
    return found | {"streams": STREAMS, "streams_cut": whole.count(False)}


def say(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--changes", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(options, Path(folder)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
