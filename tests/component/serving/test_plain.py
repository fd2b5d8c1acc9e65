"""A replica without Ray, in a process of its own."""

import signal
import subprocess
import sys

import pytest
import urllib3
from tests.support.plain_replica import read_stats
from tests.support.ray_runtime import free_port, until

pytestmark = [pytest.mark.component, pytest.mark.timeout(120)]
CONFIG = '{"servedName": "chat", "engine": {"name": "simulated"}}'


def test_it_answers_and_ends_in_order_at_sigterm() -> None:
    port = free_port(31300)
    command = [sys.executable, "-m", "llmdeployment_serving.main", "serve", "--port", str(port)]
    process = subprocess.Popen([*command, "--config", CONFIG])
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: read_stats(url), seconds=60, what="an answer")
        assert read_stats(url)["selfTest"]["referenceFrom"] == "Transformers"
        body = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}
        answer = urllib3.request("POST", f"{url}/v1/chat/completions", json=body)
        assert "hello" in answer.json()["choices"][0]["message"]["content"]
        process.send_signal(signal.SIGTERM)
        # An end by the signal itself (-15) would leave an engine's processes behind.
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()


def test_without_an_engine_it_ends_with_the_reason() -> None:
    port = free_port(31300)
    command = [sys.executable, "-m", "llmdeployment_serving.main", "serve", "--port", str(port)]
    config = (
        '{"servedName": "chat", "engine": {"name": "simulated", "args": {"crash-on": "killer"}}}'
    )
    process = subprocess.Popen([*command, "--config", config], stderr=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: read_stats(url), seconds=60, what="an answer")
        statuses = []
        for word in ("killer 1", "killer 2"):
            body = {"model": "chat", "messages": [{"role": "user", "content": word}]}
            statuses.append(urllib3.request("POST", f"{url}/v1/chat/completions", json=body).status)
        # Each stops two engines: three may follow the first, so there is none after the second request.
        assert statuses == [422, 422]
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        assert said.splitlines()[-1].startswith("error: the simulated engine stopped")
    finally:
        process.kill()
        process.wait()
