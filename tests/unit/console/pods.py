"""A replica and an operator as the console reaches them: a server on this machine."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Pod(BaseHTTPRequestHandler):
    """A replica and an operator in one; `documents` are by path, and `events` is the answer to a chat."""

    documents: dict[str, Any]
    events: bytes
    requests: list[tuple[str, dict[str, str], Any]]

    def do_GET(self) -> None:
        self.requests.append((self.path, dict(self.headers), None))
        found = self.documents.get(self.path.partition("?")[0])
        body = found if isinstance(found, str) else json.dumps(found)
        self.send(body.encode(), "application/json", 404 if found is None else 200)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.requests.append((self.path, headers, body))
        self.send(self.events, "text/event-stream", 503 if self.events.startswith(b"{") else 200)

    def send(self, body: bytes, kind: str, status: int) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def run_pod(events: bytes = b"", **documents: Any) -> Iterator[tuple[str, type[Pod]]]:
    """Serve, and yield the base URL and what the requests were."""

    class Served(Pod):
        pass

    Served.events, Served.documents, Served.requests = events, documents, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Served)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", Served
    finally:
        server.shutdown()
        server.server_close()
