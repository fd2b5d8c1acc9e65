"""An API server and a gateway in one, for `kubectl llm`: one LLMDeployment with its records, and one answer to every question."""

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from tests.unit.cli.objects import NOW, RECORDS, Object

from llmdeployment_cli.times import format_age
from llmdeployment_operator.api.crd import build_crd

Request = tuple[str, list[tuple[str, str]]]
"""The path and the headers of a request."""

EVENTS = [
    {
        "involvedObject": {"kind": "LLMDeployment", "namespace": "shop", "name": "chat"},
        "type": "Normal",
        "reason": "RevisionCreated",
        "message": "revision 4: prompt differs from revision 3",
        "lastTimestamp": "2026-11-24T11:45:00Z",
    }
]
ANSWER = "The capital of France is Paris."

GROUPS = {
    "groups": [
        {
            "name": "llmdeployment.dev",
            "versions": [{"groupVersion": "llmdeployment.dev/v1alpha1", "version": "v1alpha1"}],
        }
    ]
}


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


def tabulate(items: Sequence[Object]) -> Object:
    """Return the table that an API server makes with the columns of the CRD."""
    columns = build_crd()["spec"]["versions"][0]["additionalPrinterColumns"]
    name = {"name": "Name", "type": "string", "priority": 0, "jsonPath": ".metadata.name"}
    rows = [
        {
            "cells": [fill(item, column) for column in (name, *columns)],
            "object": {"metadata": item["metadata"]},
        }
        for item in items
    ]
    return {"kind": "Table", "columnDefinitions": [name, *columns], "rows": rows}


def fill(item: Object, column: Object) -> Any:
    """Return what an object has at a column's path: nothing more than the CRD needs."""
    path = column["jsonPath"]
    found: Any = item
    if match := re.fullmatch(r'\.status\.conditions\[\?\(@\.type=="(\w+)"\)\]\.(\w+)', path):
        conditions = (item.get("status") or {}).get("conditions") or ()
        found = next((c[match[2]] for c in conditions if c["type"] == match[1]), None)
    else:
        for key in path.strip(".").split("."):
            found = (found or {}).get(key)
    return format_age(found, NOW) if column["type"] == "date" else found


class Handler(BaseHTTPRequestHandler):
    """Answers as an API server with one LLMDeployment, and as a gateway."""

    deployment: Object
    operators: Sequence[Object] | None
    requests: list[Request] | None

    def do_GET(self) -> None:
        if self.requests is not None:
            self.requests.append((self.path, self.headers.items()))
        path = self.path.partition("?")[0]
        table = "as=Table" in self.headers.get("accept", "")
        *_, kind, name = path.split("/")
        if path == "/apis/":
            self.reply(GROUPS)
        elif path == "/apis/apps/v1/deployments":
            self.reply_operators()
        elif name == "controllerrevisions":
            ours = f"name%3D{self.deployment['metadata']['name']}%2C" in self.path
            self.reply({"items": RECORDS if ours else []})
        elif path.endswith("/events"):
            self.reply({"items": EVENTS})
        elif (kind, name) == ("configmaps", "golden"):
            self.reply({"data": {"golden.jsonl": "{}"}})
        elif (kind, name) == ("configmaps", "secret"):
            self.refuse(HTTPStatus.FORBIDDEN, 'configmaps "secret" is forbidden')
        elif name == "llmdeployments":
            self.reply(tabulate([self.deployment]) if table else {"items": [self.deployment]})
        elif (kind, name) == ("llmdeployments", self.deployment["metadata"]["name"]):
            self.reply(tabulate([self.deployment]) if table else self.deployment)
        else:
            self.refuse(HTTPStatus.NOT_FOUND, f'{kind} "{name}" not found')

    def do_PATCH(self) -> None:
        after = merge(self.deployment, json.loads(self.body()))
        changed = after["spec"] != self.deployment["spec"]
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

    def reply_operators(self) -> None:
        if self.operators is None:
            self.refuse(HTTPStatus.FORBIDDEN, "deployments.apps is forbidden")
        else:
            self.reply({"items": self.operators})

    def refuse(self, status: HTTPStatus, message: str) -> None:
        self.send(json.dumps({"message": message}), "application/json", status)

    def send(self, text: str, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.send_header("x-llm-revision", "3")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serve(
    deployment: Object,
    folder: Path,
    operators: Sequence[Object] | None = (),
    requests: list[Request] | None = None,
) -> Iterator[dict[str, str]]:
    """Serve an LLMDeployment; gives the environment in which kubectl-llm finds it: KUBECONFIG, and a kubectl that forwards to it.

    Args:
        deployment: the LLMDeployment; what is changed in it is served.
        folder: where the kubeconfig and kubectl go.
        operators: the Deployments of operators; with None nobody may list them.
        requests: gets the path and headers of each request.
    """

    class Served(Handler):
        pass

    Served.deployment, Served.operators, Served.requests = deployment, operators, requests
    server = ThreadingHTTPServer(("127.0.0.1", 0), Served)
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
        f"echo \"$@\" >'{folder}/kubectl-arguments'",
        f"echo 'Forwarding from 127.0.0.1:{port} -> 8080'",
        "exec tail -f /dev/null",
    )
    kubectl.write_text("\n".join((*lines, "")), encoding="utf-8")
    kubectl.chmod(0o755)
    return {"KUBECONFIG": str(kubeconfig), "PATH": f"{folder}:/usr/bin:/bin"}
