"""`kubectl llm console` as a person starts it, on an API server that is a few recorded objects."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.unit.cli.scripted_cluster import serve
from tests.unit.console.fakes import moving

from llmdeployment_cli import kube
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.flags import Flags
from llmdeployment_console.cluster import UserCluster
from llmdeployment_console.command import bind_port, run

PROGRAM = [sys.executable, "-c", "from llmdeployment_cli.main import main; main()", "console"]


@contextmanager
def start(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command, which is ended with the block."""
    with subprocess.Popen(
        [*PROGRAM, "--no-browser", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def get(address: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    connection.close()
    return found


def ask(address: str, path: str, cookie: str) -> bytes:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    body = {"revision": 4, "messages": [{"role": "user", "content": "?"}], "maxTokens": 9}
    headers = {
        "cookie": cookie,
        "origin": f"http://{parts.netloc}",
        "x-llm-console": "1",
        "content-type": "application/json",
    }
    connection.request("POST", path, json.dumps(body), headers)
    found = connection.getresponse().read()
    connection.close()
    return found


def test_the_address_that_is_printed_opens_the_console_once(tmp_path: Path) -> None:
    with serve(moving(), tmp_path) as environment:
        with start(environment) as child:
            address = (child.stdout or sys.stdin).readline().strip()
            assert address.startswith("http://127.0.0.1:")
            path = address.removeprefix("http://").partition("/")[2]
            status, headers, _ = get(address, f"/{path}")
            assert status == 303
            assert get(address, f"/{path}")[0] == 401
            cookie = headers["set-cookie"].partition(";")[0]
            status, headers, body = get(address, "/api/fleet", cookie=cookie)
            assert (status, "server" in headers) == (200, False)
            assert json.loads(body)["items"][0]["name"] == "chat"
            one = "/api/llmdeployments/shop/chat"
            document = json.loads(get(address, one, cookie=cookie)[2])
            assert document["events"][0]["reason"] == "RevisionCreated"
            assert document["revisions"][0]["change"]
            assert get(address, "/api/fleet")[0] == 401
            assert get(address, "/api/fleet", cookie=cookie, host="evil.example")[0] == 421
            assert b"event: end" in ask(address, f"{one}/chat", cookie)
            # A page that is open does not hold it up, and is told that this was all.
            parts = urlsplit(address)
            page = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
            page.request("GET", f"{one}/live", headers={"cookie": cookie})
            stream = page.getresponse()
            assert stream.readline() == b"event: history\n"
            child.send_signal(signal.SIGINT)
            assert b"event: deployment" in stream.read()
            page.close()
            printed, errors = child.communicate(timeout=20)
        # The address was logged nowhere, and Ctrl-C is no error.
        assert (child.returncode, errors) == (130, "")
        assert "token" not in printed


@pytest.mark.parametrize("everywhere", [False, True])
def test_the_cluster_is_read_as_kubectl_llm_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, everywhere: bool
) -> None:
    requests: list[Any] = []
    with serve(moving(), tmp_path, requests=requests) as environment:
        monkeypatch.setenv("KUBECONFIG", environment["KUBECONFIG"])
        cluster = UserCluster(kube.connect(Flags()), None if everywhere else "shop")
        assert [each["metadata"]["name"] for each in cluster.list_deployments()] == ["chat"]
        assert [event["reason"] for event in cluster.list_events()] == ["RevisionCreated"]
        assert [record.number for record in cluster.list_records(("shop", "chat"))] == [2, 3, 4]
        assert cluster.find_operators() == ()
        cluster.apply(("shop", "chat"), "promote", None)
        with pytest.raises(Refusal, match="is not paused"):
            cluster.apply(("shop", "chat"), "resume", None)
        with pytest.raises(Refusal, match="Use --to 3"):
            cluster.apply(("shop", "chat"), "undo", None)
    place = "" if everywhere else "/namespaces/shop"
    paths = [path.partition("?")[0] for path, _ in requests]
    assert f"/api/v1{place}/events" in paths
    assert f"/apis/llmdeployment.dev/v1alpha1{place}/llmdeployments" in paths
    events = next(path for path, _ in requests if "/events?" in path)
    assert "involvedObject.kind%3DLLMDeployment" in events
    assert "limit=500" in events


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        ("golden", "other.jsonl", "ConfigMap golden has no key other.jsonl"),
        ("nothing", "golden.jsonl", "ConfigMap nothing does not exist in namespace shop"),
        ("secret", "golden.jsonl", "is forbidden"),
    ],
)
def test_a_config_map_is_read_as_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, key: str, message: str
) -> None:
    requests: list[Any] = []
    with serve(moving(), tmp_path, requests=requests) as environment:
        monkeypatch.setenv("KUBECONFIG", environment["KUBECONFIG"])
        cluster = UserCluster(kube.connect(Flags()), None)
        assert cluster.read_config_map_key("shop", "golden", "golden.jsonl") == "{}"
        with pytest.raises(Refusal, match=message):
            cluster.read_config_map_key("shop", name, key)
    assert [path for path, _ in requests] == [
        "/api/v1/namespaces/shop/configmaps/golden",
        f"/api/v1/namespaces/shop/configmaps/{name}",
    ]


def test_a_prometheus_that_is_none_is_refused_before_anything_is_read() -> None:
    with pytest.raises(Refusal, match="--prometheus-url must be http"):
        run(Flags(), 0, everywhere=False, opens=False, report=print, prometheus_url="file:///x")


def test_events_and_operators_that_may_not_be_read_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(moving(), tmp_path, operators=None) as environment:
        monkeypatch.setenv("KUBECONFIG", environment["KUBECONFIG"])
        cluster = UserCluster(kube.connect(Flags()), "shop")
        assert cluster.find_operators() == ()
    assert cluster.list_events() == []


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Refusal, match=f"port {port} of 127.0.0.1 cannot be used"):
            bind_port(port)


def test_where_the_console_is_not_installed_the_command_says_what_to_run() -> None:
    hide = "import sys; sys.modules['llmdeployment_console'] = None"
    code = f"{hide}; from llmdeployment_cli.main import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code, "console"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "pip install" in ran.stderr
    assert "Traceback" not in ran.stderr
