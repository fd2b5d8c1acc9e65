"""What it costs the gateway's HAProxy to assign a request by a field of its body, against a header.

With `--compare bounded` instead: what it costs to count each user's requests of the last ten minutes (the table `recent`, for the bounded
sample), against the same gateway without the lines of its configuration that do so.

CPU time of HAProxy per request, from the kernel's accounts of its threads, so that it is comparable on a busy machine. The
replica is a HAProxy that answers everything at once; there is no agent, and the maps are written before HAProxy starts.
"""

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from tests.component.gateway.conftest import haproxy_binary
from tests.support.ports import free_port

from llmdeployment_gateway import config, maps
from llmdeployment_gateway.assignment import parse_keys
from llmdeployment_gateway.endpoints import Address
from llmdeployment_gateway.routes import Routes
from llmdeployment_gateway.settings import Settings

SIZES = {"1 KB": 1_000, "20 KB": 20_000, "60 KB": 60_000, "250 KB": 250_000}
CONFIG = "haproxy.cfg"
REPLICA = """
global
    tune.bufsize 1048576
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
frontend replica
    bind 127.0.0.1:{port}
    http-request wait-for-body time 10s
    http-request return status 200 content-type application/json string '{{}}'
"""
COUNTING = ("table recent if", "set-var(txn.recent)", "x-llm-user-requests")
"""What each line of the configuration has that counts users' requests."""
USERS = 500
ROUTES = {
    "deployment": "chat",
    "servedName": "chat",
    "salt": "s",
    "routes": [{"arm": "main", "revision": 1, "service": "chat-1", "below": 10_000}],
}


def bodies(size: int) -> dict[str, bytes]:
    """Return bodies of about `size` bytes with the field last: prose, code (many escapes) and the worst there is."""
    line = 'if (x == "a\\b") {\n\treturn "z";\n}\n'
    texts = {"prose": "word " * (size // 5), "code": line * (size // len(json.dumps(line)))}
    found = {
        name: json.dumps(
            {"model": "chat", "messages": [{"role": "user", "content": text}], "user": "alice"}
        ).encode()
        for name, text in texts.items()
    }
    return found | {
        "brackets": b'{"a":' + b"[" * (size // 2) + b"]" * (size // 2) + b',"user":"alice"}'
    }


@contextmanager
def haproxy(file: Path, port: int) -> Iterator[int]:
    """Run HAProxy; yields its process id once its port answers."""
    process = subprocess.Popen([haproxy_binary(), "-db", "-f", str(file)])
    try:
        for _ in range(400):
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
                break
            except OSError:
                time.sleep(0.05)  # why: it starts
        yield process.pid
    finally:
        process.kill()
        process.wait()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process's threads."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[0]) for file in threads) / 1e9


def per_request(
    port: int, pid: int, body: bytes, headers: Iterable[dict[str, str]], count: int
) -> float:
    """Return HAProxy's CPU microseconds per request of one client that sends one after the other."""
    client = http.client.HTTPConnection("127.0.0.1", port)
    began = cpu_seconds(pid)
    for mine in islice(cycle(headers), count):
        client.request("POST", "/v1/chat/completions", body, mine)
        answer = client.getresponse()
        answer.read()
        if answer.status != http.HTTPStatus.OK:
            sys.exit(f"answered {answer.status}")
    client.close()
    return (cpu_seconds(pid) - began) / count * 1e6


def gateway(run: Path, port: int, replica: int) -> Path:
    """Write a gateway's files, and return the configuration."""
    settings = Settings("bench", "chat", "none", run_dir=run, bind=f"127.0.0.1:{port}")
    settings = replace(settings, assignment_keys=parse_keys("Header/x-user,Body/user"))
    routes = Routes.model_validate(ROUTES)
    files = {
        **config.read_programs(),
        CONFIG: config.render(settings, {"slot0": [Address("127.0.0.1", replica)]}, {}),
        maps.KEYS: "",
        maps.SETTINGS: maps.format_settings(routes),
        maps.FORCED: maps.format_choices(routes, {"chat-1": "slot0"}),
        maps.BUCKETS: maps.format_buckets(routes, {"chat-1": "slot0"}),
    }
    for name, text in files.items():
        (run / name).write_text(text)
    return run / CONFIG


def remove_recent(text: str) -> str:
    """Return a gateway's configuration that does not count users' requests; the table itself stays, and stays empty.

    Raises:
        SystemExit: the configuration does so otherwise than this program knows.
    """
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if not any(part in line for part in COUNTING)]
    if len(lines) - len(kept) != len(COUNTING):
        sys.exit("the gateway's configuration counts users' requests otherwise: change COUNTING")
    return "".join(kept)


def compare_keys(run: Path, replica: int, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a result per size and text: microseconds by header and by body, in turns, and their ratio."""
    port = free_port()
    with haproxy(gateway(run, port, replica), port) as pid:
        for size, count in SIZES.items():
            for text, body in bodies(count).items():
                costs: dict[str, list[float]] = {"header": [], "body": []}
                for _ in range(options.rounds):
                    for key, headers in (("header", {"x-user": "alice"}), ("body", {})):
                        costs[key].append(per_request(port, pid, body, [headers], options.requests))
                header, by_body = (min(costs[key]) for key in ("header", "body"))
                yield {
                    "size": size,
                    "text": text,
                    "bytes": len(body),
                    "headerMicroseconds": round(header),
                    "bodyMicroseconds": round(by_body),
                    "ratio": round(by_body / header, 2),
                }


def compare_bounded(
    run: Path, replica: int, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield one result: microseconds with and without counting, in turns, and their ratio."""
    body = bodies(SIZES["1 KB"])["prose"]
    users = [{"x-user": f"user-{number}"} for number in range(USERS)]
    costs: dict[str, list[float]] = {"with": [], "without": []}
    with ExitStack() as stack:
        servers = {}
        for key in costs:
            folder, port = run / key, free_port()
            folder.mkdir()
            file = gateway(folder, port, replica)
            if key == "without":
                file.write_text(remove_recent(file.read_text()))
            servers[key] = port, stack.enter_context(haproxy(file, port))
        for _ in range(options.rounds):
            for key, (port, pid) in servers.items():
                costs[key].append(per_request(port, pid, body, users, options.requests))
    counted, plain = (min(costs[key]) for key in ("with", "without"))
    yield {
        "users": USERS,
        "bytes": len(body),
        "withMicroseconds": round(counted, 1),
        "withoutMicroseconds": round(plain, 1),
        "ratio": round(counted / plain, 3),
    }


COMPARISONS = {"keys": compare_keys, "bounded": compare_bounded}


def main() -> None:
    """Print one JSON line per result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compare", choices=list(COMPARISONS), default="keys")
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    replica = free_port()
    with tempfile.TemporaryDirectory(prefix="gw-") as folder:
        run = Path(folder)
        (run / "replica.cfg").write_text(REPLICA.format(port=replica))
        with haproxy(run / "replica.cfg", replica):
            for result in COMPARISONS[options.compare](run, replica, options):
                print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
