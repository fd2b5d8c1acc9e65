"""Measures what traces cost the way of a request: HAProxy, the gateway's agent and the replica, off, at 1 % and at 100 %.

- HAProxy: CPU time per request, from the kernel's accounts of its threads, and the time until the answer's first byte at the client. Its
  replica is a HAProxy that answers at once.
- Agent: CPU time of this process per log line, with the counting that is done in any case, and with that of the thread that exports.
- Replica: CPU time of this process per streamed answer of 200 tokens through `ReplicaApp`, with an engine that only sends, and the time
  until its first event. The exporting thread counts here too. A real engine's time would make each ratio smaller.

The rounds of all three settings alternate. The collector is a process of its own. A ratio is the cost with traces over that without;
the goal is 1.01 at 1 %.

Run: `python -m bench.traces > traces.json`.
"""

import argparse
import asyncio
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, cast

from bench.body_key import CONFIG, REPLICA, ROUTES, cpu_seconds, haproxy
from bench.output_patterns import stream, write_events
from tests.support.otlp_receiver import receive_spans
from tests.support.ports import free_port

from llmdeployment_gateway import config, maps
from llmdeployment_gateway.endpoints import Address
from llmdeployment_gateway.request_spans import RequestSpans
from llmdeployment_gateway.routes import Routes
from llmdeployment_gateway.settings import Settings
from llmdeployment_gateway.span import Span
from llmdeployment_gateway.span_export import ENDPOINT, SpanExport
from llmdeployment_gateway.tally import Tally
from llmdeployment_gateway.tracing import TracesSettings
from llmdeployment_serving.answer_spans import AnswerSpans
from llmdeployment_serving.api_paths import CHAT_PATH
from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.engine import Message
from llmdeployment_serving.engine_simulated import start_simulated
from llmdeployment_serving.metrics import Owner
from llmdeployment_serving.span_export import SpanExport as ReplicaExport

PERCENTS = (None, 1, 100)
"""None is off."""
TOKENS = 200
GOAL = 1.01
_TRACE = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-"
_SLOW = 9999.0


def name_setting(percent: int | None) -> str:
    """Return how a setting is called in the output."""
    return "off" if percent is None else f"{percent}%"


@contextmanager
def run_receiver() -> Iterator[str]:
    """Run a collector in a process of its own; yields its URL."""
    command = [sys.executable, "-m", "bench.traces", "--receiver"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101  # because mypy cannot know it
        yield process.stdout.readline().strip()
        process.kill()


def collect() -> None:
    """Take spans until the standard input ends."""
    with receive_spans() as received:
        print(received.url, flush=True)
        sys.stdin.read()


def write_gateway(run: Path, port: int, replica: int, percent: int | None) -> Path:
    """Write a gateway's files, and return the configuration."""
    traces = TracesSettings(percent, _SLOW) if percent is not None else None
    bind = f"127.0.0.1:{port}"
    settings = Settings("bench", "chat", "none", run_dir=run, bind=bind, traces=traces)
    routes = Routes.model_validate(ROUTES)
    files = {
        **config.read_programs(),
        CONFIG: config.render(settings, {"slot0": [Address("127.0.0.1", replica)]}, {}),
        maps.KEYS: "",
        maps.SETTINGS: maps.format_settings(routes),
        maps.FORCED: maps.format_choices(routes, {"chat-1": "slot0"}),
        maps.BUCKETS: maps.format_buckets(routes, {"chat-1": "slot0"}),
    }
    run.mkdir()
    for name, text in files.items():
        (run / name).write_text(text)
    return run / CONFIG


def ask_haproxy(port: int, pid: int, count: int) -> tuple[float, float]:
    """Return HAProxy's CPU microseconds per request, and the milliseconds until an answer's first byte."""
    client, waits = http.client.HTTPConnection("127.0.0.1", port), []
    headers, began = {"x-user": "alice"}, cpu_seconds(pid)
    for _ in range(count):
        sent = time.perf_counter()
        client.request("POST", CHAT_PATH, b'{"model": "chat"}', headers)
        answer = client.getresponse()
        waits.append(time.perf_counter() - sent)
        answer.read()
        if answer.status != http.HTTPStatus.OK:
            sys.exit(f"answered {answer.status}")
    client.close()
    return (cpu_seconds(pid) - began) / count * 1e6, median(waits) * 1e3


def measure_haproxy(rounds: int, count: int) -> dict[str, dict[str, float]]:
    """Return the cost of each setting in HAProxy."""
    replica, found = free_port(), {name_setting(p): ([], []) for p in PERCENTS}  # type: ignore[var-annotated]  # because it is read once
    with tempfile.TemporaryDirectory(prefix="gw-") as folder, ExitStack() as running:
        (Path(folder) / "replica.cfg").write_text(REPLICA.format(port=replica))
        running.enter_context(haproxy(Path(folder) / "replica.cfg", replica))
        doors = {}
        for percent in PERCENTS:
            port, name = free_port(), name_setting(percent)
            file = write_gateway(Path(folder) / name.rstrip("%"), port, replica, percent)
            doors[name] = port, running.enter_context(haproxy(file, port))
        for _ in range(rounds):
            for name, (port, pid) in doors.items():
                cpu, wait = ask_haproxy(port, pid, count)
                found[name][0].append(cpu)
                found[name][1].append(wait)
    return {
        name: {"cpuMicroseconds": min(cpu), "firstByteMilliseconds": median(waits)}
        for name, (cpu, waits) in found.items()
    }


def write_lines(percent: int | None, count: int) -> list[bytes]:
    """Return log lines, so many percent of which are sampled."""
    traces = [
        "" if percent is None else f"~{_TRACE}{n % 100 < percent:02d}/-/-/0 " for n in range(count)
    ]
    return [f"200 900 -- main 1 7 3 {text}id-{n}".encode() for n, text in enumerate(traces)]


def warm_up(export: SpanExport) -> SpanExport:
    """Return it with its thread started and OpenTelemetry imported, which happens once in a process's life."""
    export.put(Span("first", _TRACE[3:35], _TRACE[36:52], 0, 1))
    wait_until_sent(export, 1)
    return export


def wait_until_sent(export: SpanExport, count: int) -> None:
    """Wait until so many spans were sent or dropped."""
    while export.exported + export.dropped < count:
        time.sleep(0.001)  # why: between two looks


def measure_agent(rounds: int, count: int) -> dict[str, dict[str, float]]:
    """Return the cost of each setting in the agent, for each line."""
    found: dict[str, list[float]] = {name_setting(percent): [] for percent in PERCENTS}
    export = warm_up(SpanExport({}, batch_seconds=0.05))
    for _ in range(rounds):
        for percent in PERCENTS:
            spans = (
                None if percent is None else RequestSpans(TracesSettings(percent, _SLOW), export)
            )
            tally, lines = Tally(), write_lines(percent, count)
            sent = export.exported + export.dropped
            began = time.process_time()
            for line in lines:
                ended = tally.count_line(line)
                if spans is not None and ended is not None:
                    spans.take(ended)
            wait_until_sent(export, sent + count * (percent or 0) // 100)
            found[name_setting(percent)].append((time.process_time() - began) / count * 1e6)
    export.close(60)
    return {name: {"cpuMicroseconds": min(values)} for name, values in found.items()}


async def answer_all(percent: int | None, count: int, export: ReplicaExport) -> tuple[float, float]:
    """Return the CPU microseconds of an answer through a replica, and the microseconds until its first event."""
    settings = parse(ServingConfig, {"servedName": "chat", "engine": {"name": "simulated"}})
    engine = await start_simulated(settings)
    app = ReplicaApp(settings, engine, stream(write_events("word " * TOKENS, 5)))
    app.spans = AnswerSpans("simulated", Owner(), lambda: export)
    # What is sampled is the client's word, so that the count of spans is exact.
    traces = {"samplePercent": 0, "slowerThanSeconds": _SLOW}
    monitoring = {} if percent is None else {"monitoring": {"traces": traces}}
    app.take(parse(UserConfig, {"revisions": {"1": {}}, **monitoring}))
    body = json.dumps({"stream": True, "messages": [{"role": "user", "content": "Hello"}]}).encode()
    waits: list[float] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    exported = export.exported + export.dropped
    began = time.process_time()
    for number in range(count):
        sent, first = time.perf_counter(), []
        header = f"{_TRACE}{number % 100 < (percent or 0):02d}".encode()

        async def send(message: Message, first: list[float] = first) -> None:
            if message.get("body") and not first:
                first.append(time.perf_counter())

        headers = [(b"traceparent", header)]
        scope = {"type": "http", "path": CHAT_PATH, "method": "POST", "headers": headers}
        await app(scope, receive, send)
        waits.append(first[0] - sent)
    wait_until_sent(export, exported + count * (percent or 0) // 100)
    taken = time.process_time() - began
    engine.shutdown()
    return taken / count * 1e6, median(waits) * 1e6


async def measure_replica(rounds: int, count: int) -> dict[str, dict[str, float]]:
    """Return the cost of each setting in the replica."""
    found: dict[str, tuple[list[float], list[float]]] = {
        name_setting(percent): ([], []) for percent in PERCENTS
    }
    export = cast("ReplicaExport", warm_up(SpanExport({}, batch_seconds=0.05)))
    for _ in range(rounds):
        for percent in PERCENTS:
            cpu, wait = await answer_all(percent, count, export)
            found[name_setting(percent)][0].append(cpu)
            found[name_setting(percent)][1].append(wait)
    return {
        name: {"cpuMicroseconds": min(cpu), "firstTokenMicroseconds": median(waits)}
        for name, (cpu, waits) in found.items()
    }


def sum_up(parts: dict[str, dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Return the parts' figures and, for each setting, the ratio of all CPU time and the delay of the first token."""

    def add(name: str, *parts_of_it: str) -> float:
        return sum(parts[part][name]["cpuMicroseconds"] for part in parts_of_it)

    def wait(name: str) -> float:
        first = parts["haproxy"][name]["firstByteMilliseconds"]
        return first + parts["replica"][name]["firstTokenMicroseconds"] / 1e3

    settings = [name_setting(percent) for percent in PERCENTS if percent is not None]
    ratios = {
        name: {
            "gatewayCpuRatio": round(
                add(name, "haproxy", "agent") / add("off", "haproxy", "agent"), 4
            ),
            "allCpuRatio": round(add(name, *parts) / add("off", *parts), 4),
            "firstTokenDelayMilliseconds": round(wait(name) - wait("off"), 4),
        }
        for name in settings
    }
    rounded = {
        part: {
            name: {key: round(value, 3) for key, value in row.items()} for name, row in rows.items()
        }
        for part, rows in parts.items()
    }
    return {**rounded, "ratios": ratios, "goalAt1Percent": GOAL}


def main() -> None:
    """Print all figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--receiver", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.receiver:
        collect()
        return
    with run_receiver() as url:
        os.environ[ENDPOINT] = url
        parts = {
            "haproxy": measure_haproxy(options.rounds, options.requests),
            "agent": measure_agent(options.rounds, 2000),
            "replica": asyncio.run(measure_replica(options.rounds, 100)),
        }
    json.dump(sum_up(parts), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
