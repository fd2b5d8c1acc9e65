"""Asks a model through its gateway with the official client."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import openai

from dev.cluster.stages import wait_until
from dev.demo.kube import Kube

CONNECT_SECONDS = 3
"""Seconds that a connection may take."""
ANSWER_SECONDS = 120
"""Seconds that an answer may take."""


@dataclass(frozen=True)
class Answer:
    """An answer and its times.

    Attributes:
        text: the answer.
        first: seconds until its first piece.
        tokens: how many tokens the server counted.
        seconds: seconds until its end.
    """

    text: str
    first: float
    tokens: int
    seconds: float


@contextmanager
def connect_gateway(kube: Kube, name: str) -> Iterator[str]:
    """Yield a gateway's base URL for this machine: its Service if that can be reached, else a port-forward."""
    service = kube.get("service", name)
    address = service["spec"]["clusterIP"] if service else "None"
    if _connects(address, 80):
        yield f"http://{address}/v1"
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = kube.kubectl("port-forward", f"service/{name}", f"{port}:80")
    forward = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: _connects("127.0.0.1", port), "kubectl port-forward listens", seconds=20)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        forward.terminate()
        forward.wait()


def ask(url: str, model: str, question: str, show: Callable[[str], None]) -> Answer:
    """Ask one question and show the streamed answer."""
    client = openai.OpenAI(base_url=url, api_key="none", timeout=ANSWER_SECONDS, max_retries=0)
    started, first, tokens, pieces = time.monotonic(), 0.0, 0, list[str]()
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=64,
        stream=True,
        stream_options={"include_usage": True},
    )
    with client, stream:
        for chunk in stream:
            if chunk.usage:
                tokens = chunk.usage.completion_tokens
            piece = chunk.choices[0].delta.content if chunk.choices else None
            if piece:
                first = first or time.monotonic() - started
                pieces.append(piece)
                show(piece)
    return Answer("".join(pieces), first, tokens, time.monotonic() - started)


def _connects(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False
