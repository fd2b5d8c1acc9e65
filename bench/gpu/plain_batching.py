"""Plain continuous batching of transformers behind the least of HTTP: what `engine: transformers` is compared with on a GPU.

One thread for each connection, and nothing of what a service needs. `python plain_batching.py MODEL --port PORT`.
"""

import argparse
import json
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    ContinuousBatchingConfig,
    GenerationConfig,
)

CPU_BLOCKS, CPU_TOKENS = 64, 256
MEMORY_SHARE = 0.3
"""Of the free memory of the GPU, as the replica has."""


class Plain:
    """A model, its tokenizer, and the manager of transformers; answers go to one queue for each request."""

    def __init__(self, folder: Path) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", attn_implementation="sdpa"
        ).to(device)
        # As far as they fit, transformers' own defaults. A CPU's would be the whole memory.
        sizes: dict[str, Any] = {"max_memory_percent": MEMORY_SHARE, "max_batch_tokens": 2048}
        if device == "cpu":
            sizes = {"num_blocks": CPU_BLOCKS, "page_size": 32, "max_batch_tokens": CPU_TOKENS}
        self.manager = model.init_continuous_batching(
            generation_config=GenerationConfig(do_sample=False, eos_token_id=-1),
            continuous_batching_config=ContinuousBatchingConfig(
                auto_switch_to_flash=False, **sizes
            ),
        )
        self.manager.warmup()
        self.manager.start()
        self._queues: dict[str, queue.Queue[Any]] = {}
        threading.Thread(target=self._sort, daemon=True).start()

    def _sort(self) -> None:
        for output in self.manager:
            self._queues[output.request_id].put(output)

    def ask(self, name: str, body: dict[str, Any]) -> Any:  # noqa: ANN401  # because transformers has no types here
        """Yield the outputs of one chat."""
        ids = self.tokenizer.apply_chat_template(
            body["messages"], add_generation_prompt=True, return_dict=False
        )
        outputs = self._queues[name] = queue.Queue()
        self.manager.add_request(
            ids, request_id=name, max_new_tokens=body["max_tokens"], streaming=True
        )
        while True:
            output = outputs.get()
            yield output
            if output.is_finished():
                del self._queues[name]
                return


class Handler(BaseHTTPRequestHandler):
    """Answers `/health` and streamed chats."""

    plain: Plain
    disable_nagle_algorithm = True
    """Each event is on its way at once, as with the replica."""
    numbers = iter(range(sys.maxsize))

    def do_GET(self) -> None:  # because the base class names it
        """Answer `/health`."""
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:  # because the base class names it
        """Stream one chat."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        count = 0
        for output in self.plain.ask(str(next(self.numbers)), body):
            text = self.plain.tokenizer.decode(output.generated_tokens[count:])
            count = len(output.generated_tokens)
            self._send({"choices": [{"delta": {"content": text}}]})
        self._send({"choices": [], "usage": {"completion_tokens": count}})

    def _send(self, document: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(document).encode() + b"\n\n")
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:  # noqa: ANN401  # because the base class has no types for it
        """Log nothing."""


class Server(ThreadingHTTPServer):
    """A server that takes 64 connections at once."""

    daemon_threads = True
    request_queue_size = 256


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    Handler.plain = Plain(options.model)
    Server(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
