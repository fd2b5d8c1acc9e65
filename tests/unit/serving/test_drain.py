from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from tests.support.ports import free_port
from typing_extensions import override

from llmdeployment_serving.drain import drain

if TYPE_CHECKING:
    from collections.abc import Iterator


class Replica(ThreadingHTTPServer):
    """Answers `/stats` from a script; its last line is repeated."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.script: list[tuple[int, int, int]] = []
        self.asked = 0


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        replica = self.server
        assert isinstance(replica, Replica)
        in_flight, running, waiting = replica.script[min(replica.asked, len(replica.script) - 1)]
        replica.asked += 1
        body = json.dumps({"inFlight": in_flight, "running": running, "waiting": waiting}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def replica() -> Iterator[Replica]:
    with Replica() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_it_waits_for_the_last_request_wherever_it_is(replica: Replica) -> None:
    replica.script = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)]

    assert drain(replica.server_port, settle_seconds=0)
    assert replica.asked == 4


def test_an_idle_replica_is_kept_until_balancers_know(replica: Replica) -> None:
    replica.script = [(0, 0, 0)]
    said: list[str] = []

    assert drain(replica.server_port, settle_seconds=0.6, say=said.append)
    assert replica.asked > 1
    assert said[0].startswith("drain: no request left after ")


def test_patience_ends(replica: Replica) -> None:
    replica.script = [(2, 2, 0)]
    said: list[str] = []

    assert not drain(replica.server_port, settle_seconds=0, timeout_seconds=0.1, say=said.append)
    assert said[0].startswith("drain: gave up after ")
    assert said[0].endswith(" with 2 requests left")


def test_no_replica_is_not_waited_for() -> None:
    assert drain(free_port(), settle_seconds=60)
