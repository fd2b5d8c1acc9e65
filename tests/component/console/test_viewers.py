"""The console in the cluster on a real API server, with the rights that the chart gives it, and two viewers with rights of their own."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from dev.cluster import api, tools
from dev.cluster.control_plane import ControlPlane
from dev.cluster.stages import StageError
from tests.chart.rendering import NO_CRD, RENDER
from tests.support.cluster_client import ClusterClient
from tests.support.control_plane import make_namespace
from tests.support.crd import install
from tests.support.ports import free_port

from llmdeployment_cli import kube
from llmdeployment_cli.errors import Forbidden
from llmdeployment_cli.transport import ApiRequest
from llmdeployment_console.api_server import open_account
from llmdeployment_console.viewers import Viewer

pytestmark = pytest.mark.component

SECRET = "a-secret-of-the-proxy-and-the-console"  # noqa: S105  # because it is a test's
ORIGIN = "https://llm.example.com"
PREFIX = "LLMDEPLOYMENT_CONSOLE_"
ROLE = {
    "view": [{"apiGroups": ["llmdeployment.dev"], "resources": ["llmdeployments"], "verbs": ["list"]}],
    "edit": [
        {
            "apiGroups": ["llmdeployment.dev"],
            "resources": ["llmdeployments"],
            "verbs": ["get", "list", "patch"],
        },
        {"apiGroups": [""], "resources": ["services/proxy"], "verbs": ["create"]},
    ],
}  # fmt: skip
DEPLOYMENT = {
    "apiVersion": "llmdeployment.dev/v1alpha1",
    "kind": "LLMDeployment",
    "metadata": {"name": "chat"},
    "spec": {
        "model": {"source": "file:///none"},
        "engine": {"name": "simulated"},
        "rollout": {"strategy": "Canary", "steps": [{"weight": 25, "pause": {}}, {"weight": 50}]},
    },
}
STATUS = {
    "arms": [
        {"name": "main", "weight": 100, "stable": 1, "canary": 2, "canaryWeight": 25, "step": 0}
    ],
    "revisions": [
        {
            "name": "chat-r1",
            "number": 1,
            "hash": "a",
            "runtime": "a",
            "trafficPercent": 75,
            "replicas": 1,
            "ready": 1,
        },
        {
            "name": "chat-r2",
            "number": 2,
            "hash": "b",
            "runtime": "b",
            "trafficPercent": 25,
            "replicas": 1,
            "ready": 1,
        },
    ],
}


@dataclass
class Answer:
    status: int
    body: Any


@dataclass
class Running:
    """A console in the cluster, in front of namespaces a and b."""

    port: int
    process: subprocess.Popen[str]
    a: str
    b: str
    account: Path

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send what a proxy sends; `user` and `groups` name the viewer, and other words are headers."""
        named = {"user": "x-forwarded-user", "groups": "x-forwarded-groups"}
        sent = {"host": "llm.example.com", "authorization": f"Bearer {SECRET}"}
        sent |= {named.get(name, name): value for name, value in headers.items()}
        if method == "POST":
            write = {"x-llm-console": "1", "origin": ORIGIN, "content-type": "application/json"}
            sent = {**write, **sent}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, json.dumps(body) if body is not None else None, sent)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return Answer(answer.status, json.loads(text) if text.startswith(b"{") else text)

    def list_namespaces(self, **headers: str) -> set[str]:
        found = self.ask("GET", "/api/fleet", **headers)
        assert found.status == 200, found.body
        return {each["namespace"] for each in found.body["items"]} & {self.a, self.b}

    def act(self, namespace: str, action: str, **headers: str) -> Answer:
        body = {"action": action, "preview": False}
        return self.ask("POST", f"/api/llmdeployments/{namespace}/chat/actions", body, **headers)


def bind(cluster: ClusterClient, role: str, kind: str, name: str) -> None:
    """Give somebody a role in a namespace."""
    group = "rbac.authorization.k8s.io"
    meta = {"name": f"{role}-{name.lower().replace(':', '-')}"}
    rules = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": ROLE[role]}
    cluster.create(rules)
    cluster.create(
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": meta["name"]},
            "subjects": [{"apiGroup": group, "kind": kind, "name": name}],
        }
    )


def render(release: str, namespaces: list[str]) -> list[dict[str, Any]]:
    """Return the chart's objects of the console."""
    try:
        helm = tools.find("helm")
    except StageError as error:
        pytest.skip(reason=f"helm cannot be had here: {error.explain()}")
    values = {
        "enabled": True,
        "url": ORIGIN,
        "namespaces": namespaces,
        "auth": {"mode": "Proxy", "secretName": "proxy", "groups": ["team-b"], "anyUser": True},
    }
    given = ("--set-json", f"console={json.dumps(values)}", "-n", release)
    done = subprocess.run(
        [helm, *RENDER, *NO_CRD, *given, "--show-only", "templates/console.yaml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def create_account(plane: ControlPlane, objects: list[dict[str, Any]]) -> str:
    """Create the ServiceAccount with its rights, and return a token of it."""
    for each in sorted(objects, key=lambda each: each["kind"].endswith("Binding")):
        meta, root = each["metadata"], "/apis/rbac.authorization.k8s.io/v1"
        place = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
        if each["kind"] == "ServiceAccount":
            api.call(plane.access, "POST", f"/api/v1{place}/serviceaccounts", each)
        elif each["kind"] in {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}:
            api.call(plane.access, "POST", f"{root}{place}/{each['kind'].lower()}s", each)
    account = next(each["metadata"] for each in objects if each["kind"] == "ServiceAccount")
    path = f"/api/v1/namespaces/{account['namespace']}/serviceaccounts/{account['name']}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token: str = api.call(plane.access, "POST", path, body)["status"]["token"]
    return token


@pytest.fixture(scope="module")
def console(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    install(control_plane)
    release, a, b = (make_namespace(control_plane, each) for each in ("console", "a", "b"))
    for namespace in (a, b):
        cluster = ClusterClient(control_plane.access, namespace)
        cluster.create(DEPLOYMENT)
        cluster.patch("LLMDeployment", "chat", {"status": STATUS}, "/status")
    bind(ClusterClient(control_plane.access, a), "edit", "User", "ada")
    bind(ClusterClient(control_plane.access, a), "view", "User", "bob")
    bind(ClusterClient(control_plane.access, b), "view", "Group", "team-b")
    # What nobody must get by the console: everything.
    bind(ClusterClient(control_plane.access, a), "edit", "Group", "team-c")
    bind(ClusterClient(control_plane.access, b), "edit", "User", "system:kube-scheduler")
    objects = render(release, [a, b])
    folder = tmp_path_factory.mktemp("account")
    (folder / "token").write_text(create_account(control_plane, objects))
    (folder / "ca.crt").write_bytes(control_plane.ca.read_bytes())
    (folder / "secret").write_text(SECRET)
    deployment = next(each for each in objects if each["kind"] == "Deployment")
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    port, address = free_port(), urlsplit(control_plane.url)
    environment = {
        **os.environ,
        **{each["name"]: each["value"] for each in env},
        f"{PREFIX}PORT": str(port),
        f"{PREFIX}ACCOUNT": str(folder),
        f"{PREFIX}SECRET_FILE": str(folder / "secret"),
        "KUBERNETES_SERVICE_HOST": address.hostname or "",
        "KUBERNETES_SERVICE_PORT": str(address.port),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "llmdeployment_console"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        running = Running(port, process, a, b, folder)
        wait_until_ready(running)
        yield running
        process.terminate()
        _, log = process.communicate(timeout=20)
    assert SECRET not in log
    # The log says who did what.
    assert re.search(rf"ada: promote of {a}/chat", log)
    assert "Traceback" not in log


def wait_until_ready(running: Running) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and running.process.poll() is None:
        try:
            if running.ask("GET", "/healthz", host="10.0.0.1:8080").status == 200:
                return
        except OSError:
            time.sleep(0.05)  # why: polling, with the deadline above
    running.process.kill()
    raise AssertionError(running.process.communicate()[1])


def test_each_viewer_sees_the_namespaces_that_they_may_list(console: Running) -> None:
    assert console.list_namespaces(user="ada") == {console.a}
    assert console.list_namespaces(user="bob", groups="team-b,staff") == {console.a, console.b}
    assert console.list_namespaces(user="bob") == {console.a}
    assert console.list_namespaces(user="eve") == set()
    hidden = f"/api/llmdeployments/{console.b}/chat"
    assert console.ask("GET", hidden, user="ada").status == 404
    assert console.ask("GET", hidden, user="bob", groups="team-b").status == 200


def test_a_group_that_the_chart_does_not_list_gives_nothing(console: Running) -> None:
    document = console.ask("GET", f"/api/llmdeployments/{console.a}/chat", user="bob", groups="team-c")  # fmt: skip
    assert {each["possible"] for each in document.body["actions"]} == {False}
    assert console.act(console.a, "promote", user="bob", groups="team-c").status == 409


def test_the_api_server_itself_refuses_who_may_not_patch(
    console: Running, control_plane: ControlPlane
) -> None:
    cluster = ClusterClient(control_plane.access, console.a)

    refused = console.act(console.a, "promote", user="bob")
    assert refused.status == 409
    assert 'User "bob" cannot get' in refused.body["error"]["message"]
    assert "annotations" not in (cluster.get("LLMDeployment", "chat") or {})["metadata"]
    # The console's own account may not patch, so this is done as ada.
    done = console.act(console.a, "promote", user="ada")
    assert (done.status, done.body) == (200, {"applied": True})
    annotations = (cluster.get("LLMDeployment", "chat") or {})["metadata"]["annotations"]
    assert annotations == {"llmdeployment.dev/promote": "2/1"}
    assert console.act(console.b, "promote", user="ada").status == 404
    assert console.act(console.b, "promote", user="bob", groups="team-b").status == 409


def test_chats_need_the_right_to_reach_services(console: Running) -> None:
    path = f"/api/llmdeployments/{console.a}/chat/chat"
    body = {"revision": 2, "messages": [{"role": "user", "content": "?"}]}
    assert console.ask("POST", path, body, user="bob").status == 403
    # It has no replicas here, which is what the console says then.
    asked = console.ask("POST", path, body, user="ada")
    assert asked.status == 409
    assert "has no replicas" in asked.body["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "Bearer " + "x" * 37}, 401),
        ({"authorization": ""}, 401),
        ({"user": ""}, 401),
        ({"user": "system:kube-scheduler"}, 403),
        ({"user": "system:admin", "groups": "system:masters"}, 403),
        ({"groups": "system:masters"}, 403),
        ({"host": "evil.example"}, 421),
    ],
)
def test_whom_the_proxy_did_not_name_gets_nothing(
    console: Running, headers: dict[str, str], status: int
) -> None:
    for path in ("/api/fleet", "/"):
        assert console.ask("GET", path, **{"user": "ada", **headers}).status == status
    sent = {"user": "ada", **headers}
    assert console.act(console.b, "promote", **sent).status == status


def test_the_role_edit_of_kubernetes_has_what_a_chat_needs(control_plane: ControlPlane) -> None:
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:aggregate-to-{}"

    def list_proxied(role: str) -> set[str]:
        rules = api.call(control_plane.access, "GET", path.format(role))["rules"]
        found = [rule["verbs"] for rule in rules if "services/proxy" in rule.get("resources", ())]
        return {verb for verbs in found for verb in verbs}

    assert "create" in list_proxied("edit")
    assert "create" not in list_proxied("view")


@pytest.mark.parametrize(
    ("viewer", "message"),
    [
        (Viewer("ada", ("system:masters",)), 'cannot impersonate resource "groups"'),
        (Viewer("ada", ("team-c",)), 'cannot impersonate resource "groups"'),
        (Viewer("system:serviceaccount:kube-system:default"), "cannot impersonate resource"),
        (Viewer("ada", ("team-b",)), 'User "ada" cannot list resource "secrets"'),
    ],
)
def test_the_account_acts_as_nobody_whom_the_chart_does_not_list(
    console: Running, control_plane: ControlPlane, viewer: Viewer, message: str
) -> None:
    # As a console would that forgot to refuse them.
    address = urlsplit(control_plane.url)
    account = open_account(address.hostname or "", str(address.port), console.account)
    cluster = kube.Cluster(account.impersonate(viewer), "", 10)
    with pytest.raises(Forbidden, match=re.escape(message)):
        kube.send(cluster, ApiRequest("GET", f"/api/v1/namespaces/{console.a}/secrets"))
