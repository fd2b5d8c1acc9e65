"""An API server and a gateway in one, for `kubectl llm`: one LLMDeployment with its records, and one answer to every question."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from tests.unit.cli.objects import RECORDS, Object

ANSWER = "The capital of France is Paris."


def merge(current: Any, patch: Any) -> Any:
    """Return what a JSON merge patch makes of a value.

    >>> merge({"a": {"x": 1, "y": 2}}, {"a": {"x": None, "z": 3}})
    {'a': {'y': 2, 'z': 3}}
    """
    if not isinstance(patch, Mapping):
        return patch
    before = current if isinstance(current, Mapping) else {}
    merged = {**before, **{key: merge(before.get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in merged.items() if value is not None}


@contextmanager
def serve(deployment: Object, folder: Path) -> Iterator[dict[str, str]]:
    """Serve an LLMDeployment; gives the environment in which kubectl-llm finds it: KUBECONFIG, and a kubectl that forwards to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply({"items": RECORDS} if "controllerrevisions" in self.path else deployment)

        def do_PATCH(self) -> None:
            after = merge(deployment, json.loads(self.body()))
            changed = after["spec"] != deployment["spec"]
            generation = after["metadata"].get("generation", 1)
            after["metadata"]["generation"] = generation + changed
            self.reply(after)

        def do_POST(self) -> None:
            self.body()
            event = {"choices": [{"delta": {"content": ANSWER}}]}
            self.send(f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n", "text/event-stream")

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers["content-length"]))

        def reply(self, found: Object) -> None:
            self.send(json.dumps(found), "application/json")

        def send(self, text: str, kind: str) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text)))
            self.send_header("x-llm-revision", "3")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield _write_environment(server.server_port, folder)
    finally:
        server.shutdown()
        server.server_close()


def _write_environment(port: int, folder: Path) -> dict[str, str]:
    kubeconfig, kubectl = folder / "kubeconfig", folder / "kubectl"
    context = {"cluster": "c", "user": "u", "namespace": "shop"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": context}],
    }
    kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
    lines = (
        "#!/bin/sh",
        f"echo 'Forwarding from 127.0.0.1:{port} -> 8080'",
        "exec tail -f /dev/null",
    )
    kubectl.write_text("\n".join((*lines, "")), encoding="utf-8")
    kubectl.chmod(0o755)
    return {"KUBECONFIG": str(kubeconfig), "PATH": f"{folder}:/usr/bin:/bin"}
