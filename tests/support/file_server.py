"""A server of files for downloads: ranges, versions, and each byte counted; it can stall, cut or change what it sends."""

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from typing_extensions import override

PIECE = 64 * 1024


@dataclass
class Sent:
    """What went over the wire."""

    names: list[str] = field(default_factory=list)
    """Files whose content was asked for, in order; once per connection."""
    starts: list[int] = field(default_factory=list)
    """Where each of them began."""
    bytes: int = 0
    """Bytes of files that were handed to the network."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, count: int) -> None:
        with self.lock:
            self.bytes += count


class FileServer(ThreadingHTTPServer):
    """Listens while its context lasts."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.sent = Sent()
        self.cut: str | None = None
        """The file of which each connection brings only half of what is missing."""
        self.short: str | None = None
        """The file that has fewer bytes than the listing says."""
        self.damaged: str | None = None
        """The file whose first byte is another one."""
        self.refused: dict[str, int] = {}
        """Status for files that are refused."""
        self.stall_at: int | None = None
        """Bytes of a file after which a connection waits for `go_on`."""
        self.go_on = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @override
    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    @override
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.go_on.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class FileAnswer(BaseHTTPRequestHandler):
    """Sends files of a `FileServer`."""

    protocol_version = "HTTP/1.1"

    @property
    def files(self) -> FileServer:
        assert isinstance(self.server, FileServer)
        return self.server

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def answer(self) -> None:
        """Answer GET or HEAD."""
        raise NotImplementedError

    def send_file(self, name: str, data: bytes, headers: dict[str, str]) -> None:
        """Answer GET or HEAD of a file; `headers` has its etag."""
        server = self.files
        if name in server.refused:
            return self.send_head(server.refused[name], 0, {})
        wanted = self.headers.get("if-match")
        if wanted is not None and wanted != headers.get("etag"):
            return self.send_head(412, 0, {})
        if server.damaged == name:
            data = bytes([data[0] ^ 1]) + data[1:]
        if server.short == name:
            data = data[: len(data) // 2]
        start = self._read_start()
        if start > len(data):
            return self.send_head(416, 0, {})
        if start:
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.send_head(206, len(data) - start, {**headers, "content-range": span})
        else:
            self.send_head(200, len(data), headers)
        if self.command == "GET":
            server.sent.names.append(name)
            server.sent.starts.append(start)
            self._send_body(name, data, start)
        return None

    def send_head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "content-length": str(length)}.items():
            self.send_header(key, value)
        self.end_headers()

    def send_text(self, text: str, kind: str) -> None:
        body = text.encode()
        self.send_head(200, len(body), {"content-type": kind})
        self.wfile.write(body)

    def _read_start(self) -> int:
        _, _, given = self.headers.get("range", "").partition("bytes=")
        return int(given.partition("-")[0] or 0)

    def _send_body(self, name: str, data: bytes, start: int) -> None:
        server = self.files
        end = (start + len(data) + 1) // 2 if server.cut == name else len(data)
        for at in range(start, end, PIECE):
            if server.stall_at is not None and at >= server.stall_at and not server.go_on.is_set():
                server.go_on.wait(30)
            piece = data[at : min(at + PIECE, end)]
            # Counted first: a client that has the last piece may look at once.
            server.sent.add(len(piece))
            try:
                self.wfile.write(piece)
            except OSError:
                server.sent.add(-len(piece))
                self.close_connection = True
                return
        if end < len(data):
            self.close_connection = True

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""
