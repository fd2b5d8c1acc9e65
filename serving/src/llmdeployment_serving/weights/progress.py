"""How far a download is, for the operator: `GET /-/fetch` on the port that the replica will have."""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from typing_extensions import override

PATH = "/-/fetch"
RATE_SECONDS = 30.0
"""The rate is that of this long."""
_most_samples = 64

Sample = tuple[float, int]
"""Seconds, and bytes that were there."""


def measure_rate(samples: Iterable[Sample]) -> int:
    """Return bytes per second between the first and the last sample; 0 without two.

    >>> measure_rate([(0.0, 0), (2.0, 10_000_000)])
    5000000
    """
    kept = list(samples)
    if len(kept) < 2 or kept[-1][0] <= kept[0][0]:  # noqa: PLR2004  # because a rate takes two
        return 0
    return max(0, round((kept[-1][1] - kept[0][1]) / (kept[-1][0] - kept[0][0])))


class Progress:
    """Counts what is there whenever it is asked, whoever brought it: a pod that waits for another one shows the same."""

    def __init__(
        self, count: Callable[[], int], total: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._count = count
        self._total = total
        self._now = now
        self._lock = threading.Lock()
        self._samples: deque[Sample] = deque([(now(), count())], _most_samples)

    def read(self) -> dict[str, int]:
        """Return bytes, all bytes and bytes per second."""
        with self._lock:
            self._samples.append((self._now(), min(self._count(), self._total)))
            newest = self._samples[-1][0]
            while len(self._samples) > 2 and newest - self._samples[0][0] > RATE_SECONDS:  # noqa: PLR2004  # because a rate takes two
                self._samples.popleft()
            rate = measure_rate(self._samples)
            return {
                "bytes": self._samples[-1][1],
                "totalBytes": self._total,
                "bytesPerSecond": rate,
            }


@contextmanager
def serve_progress(progress: Progress, port: int | None) -> Iterator[int | None]:
    """Answer on `port` (0: any) while the context lasts; yield the port, or None if it cannot be had."""
    if port is None:
        yield None
        return
    try:
        server = ThreadingHTTPServer(("", port), _build_handler(progress))
    except OSError:
        # Nobody can ask, and the download goes on.
        yield None
        return
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _build_handler(progress: Progress) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:  # because the library calls it so
            known = self.path == PATH
            body = json.dumps(progress.read() if known else {}).encode()
            self.send_response(HTTPStatus.OK if known else HTTPStatus.NOT_FOUND)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the operator asks every few seconds."""

    return Handler
