"""A stand-in for the console's server, with its contract and its headers, that tells a story at high speed."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.console_documents import (
    tell_deployment,
    tell_fleet,
    tell_golden,
)
from tests.support.console_past_documents import tell_past, tell_what_if
from tests.support.console_story import END, Document, Story, tell_point
from typing_extensions import override

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".md": "text/markdown",
}
ANSWERS = {
    4: "A canary is a small part of the traffic that gets the new version first.",
    5: "A canary is a small share of the requests that meets the new version first.",
}
GOLDEN_ANSWERS = {4: "The capital of Peru is Lima.", 5: "The capital of Peru is Cusco."}
STREAM = "/live"


class ConsoleServer(ThreadingHTTPServer):
    """The server.

    Attributes:
        page: the folder of the built page.
        story: what it tells.
        size: rows of the fleet, or None for those of the story.
        playing: set while the story goes on; a test clears it to hold the time.
        interval: seconds of the clock on the wall between two ticks.
        last: the tick at which the story stops.
        ended: set when the server stops.
        gate: the second half of each answer of the chat waits until it is set.
        chats: the chat requests that came.
        choices: what was asked to be simulated.
        cost: of each answer of the chat.
        refusal: the status and message of every answer of the API, to test failures.
    """

    daemon_threads = True

    def __init__(self, page: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.page = page
        self.story = Story()
        self.size: int | None = None
        self.playing = threading.Event()
        self.interval = 0.02
        self.last = END + 1
        self.ended = threading.Event()
        self.gate = threading.Event()
        self.chats: list[Document] = []
        self.choices: list[Document | None] = []
        self.cost: Document | None = {"amount": 0.001597, "currency": "EUR", "basis": "time"}
        self.refusal: tuple[int, str] | None = None

    def break_streams(self) -> None:
        """End the live streams that are open; new ones last."""
        broken, self.ended = self.ended, threading.Event()
        broken.set()

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.server_port}/"

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of browsers that hang up on a stream."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: ConsoleServer

    @override
    def log_message(self, *args: Any) -> None:
        """Keep the output of tests quiet."""

    @override
    def end_headers(self) -> None:
        for name, value in (
            ("Content-Security-Policy", POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        super().end_headers()

    def do_GET(self) -> None:
        """Answer with the page or with a document."""
        path = self.path.partition("?")[0]
        if path.startswith("/api/") and self._refused():
            return
        if path == "/api/fleet":
            self._send_json(tell_fleet(self.server.story, self.server.size))
        elif path == "/api/llmdeployments/shop/chat":
            self._send_json(tell_deployment(self.server.story))
        elif path == "/api/llmdeployments/shop/chat/golden":
            self._send_json(tell_golden(self.server.story))
        elif path == "/api/llmdeployments/shop/chat/past":
            self._send_json({"points": tell_past(int(self.path.partition("hours=")[2]))})
        elif path == f"/api/llmdeployments/shop/chat{STREAM}":
            self._stream_live()
        elif path.startswith("/api/"):
            self._send_error(HTTPStatus.NOT_FOUND, "There is no such LLMDeployment.")
        else:
            self._send_file(path)

    def do_POST(self) -> None:
        """Answer an action or a chat."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._refused():
            return
        if self.headers.get("x-llm-console") != "1":
            self._send_error(HTTPStatus.FORBIDDEN, "The header x-llm-console is missing.")
        elif self.path.endswith("/actions"):
            self._act(body)
        elif self.path.endswith("/what-if"):
            self.server.choices.append(body.get("choice"))
            self._send_json(tell_what_if(self.server.story, body.get("choice")))
        elif self.path.endswith("/golden"):
            checks = [
                {"kind": "contains", "passed": body["revision"] == 4},
                {"kind": "judge", "passed": None},
            ]
            self._chat(body, GOLDEN_ANSWERS, {"checks": checks})
        else:
            self._chat(body, ANSWERS, {})

    def _refused(self) -> bool:
        if self.server.refusal is None:
            return False
        status, message = self.server.refusal
        self._send_error(HTTPStatus(status), message)
        return True

    def _act(self, body: Document) -> None:
        action, arm = body["action"], body.get("arm")
        if body["preview"]:
            patch = {"metadata": {"annotations": {f"llmdeployment.dev/{action}": "5"}}}
            option = f" --arm {arm}" if arm else ""
            command = self.server.story.say(f"kubectl llm {action} chat -n shop{option}")
            self._send_json({"action": action, "command": command, "patch": patch})
        else:
            self.server.story.applied += (action if arm is None else f"{action} {arm}",)
            self._send_json({"applied": True})

    def _chat(self, body: Document, answers: dict[int, str], more: Document) -> None:
        self.server.chats.append(body)
        words = self.server.story.say(answers[body["revision"]]).split(" ")
        self._begin_stream()
        for index, word in enumerate(words):
            if index == len(words) // 2:
                self.server.gate.wait(20)
            self._send_event("text", {"text": word if index == 0 else f" {word}"})
        end = {
            "ttft": 0.21,
            "seconds": 2.3,
            "tokens": 57,
            "tokensPerSecond": 24.8,
            "finishReason": "stop",
            "cost": self.server.cost,
        }
        self._send_event("end", end | more)

    def _stream_live(self) -> None:
        self._begin_stream()
        story = self.server.story
        first = max(0, story.tick - 719)
        self._send_event(
            "history", {"points": [tell_point(each) for each in range(first, story.tick + 1)]}
        )
        self._send_event("deployment", tell_deployment(story))
        ended = self.server.ended
        while not ended.wait(self.server.interval):
            if not self.server.playing.is_set() or story.tick >= self.server.last:
                continue
            story.tick += 1
            self._send_event("point", tell_point(story.tick))
            if story.tick % 5 == 0:
                self._send_event("deployment", tell_deployment(story))

    def _begin_stream(self) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()

    def _send_event(self, event: str, data: Document) -> None:
        self.wfile.write(f"event: {event}\ndata: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def _send_json(self, document: Document, status: HTTPStatus = HTTPStatus.OK) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _send_error(self, status: HTTPStatus, message: str) -> None:
        self._send_json({"error": {"message": message, "code": status.phrase}}, status)

    def _send_file(self, path: str) -> None:
        name = "index.html" if path == "/" else path.lstrip("/")
        file = (self.server.page / name).resolve()
        if not file.is_relative_to(self.server.page) or not file.is_file():
            self._send_error(HTTPStatus.NOT_FOUND, "There is no such file.")
            return
        content = file.read_bytes()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", TYPES.get(file.suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serve_console(page: Path) -> Iterator[ConsoleServer]:
    """Run the server until the block ends."""
    server = ConsoleServer(page)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
