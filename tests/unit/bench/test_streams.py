"""The measurement of streams, against a server that streams what it is told."""

import doctest
import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from bench.streams import ask_one, run_load

USED = (
    b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n'
    b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
    b'data: {"choices": [], "usage": {"completion_tokens": 7}}\n\ndata: [DONE]\n\n'
)
UNUSED = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n' * 3
FAULT = b'data: {"error": {"message": "stopped"}}\n\n'


@pytest.mark.parametrize("file", ["bench/streams.py", "bench/gpu/random_llama.py"])
def test_the_examples_are_true(file: str) -> None:
    spec = importlib.util.spec_from_file_location("looked_at", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks itself up among the modules.
    sys.modules["looked_at"] = module
    try:
        spec.loader.exec_module(module)
        failed, tried = doctest.testmod(module)
    finally:
        del sys.modules["looked_at"]
    assert tried
    assert failed == 0


@contextmanager
def serve(status: int, text: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(("text", "tokens"), [(USED, 7), (UNUSED, 3)], ids=["usage", "chunks"])
def test_tokens_are_those_of_the_usage_or_else_the_chunks_with_text(
    text: bytes, tokens: int
) -> None:
    with serve(200, text) as url:
        answer = ask_one(url, {})
        load = run_load(url, [{}, {}])

    assert answer.tokens == tokens
    assert answer.first > 0
    assert load.tokens_per_second > 0


@pytest.mark.parametrize(("status", "text"), [(503, b"full"), (200, FAULT)])
def test_a_failed_request_fails_the_turn(status: int, text: bytes) -> None:
    with serve(status, text) as url, pytest.raises(RuntimeError, match=r"full|stopped"):
        run_load(url, [{}])
