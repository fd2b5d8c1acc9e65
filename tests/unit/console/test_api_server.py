"""The console's requests to the API server of its cluster."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import urllib3
from tests.unit.console.fakes import Clock, moving
from tests.unit.console.pods import Pod, run_pod

from llmdeployment_cli import kube
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.operators import Operator
from llmdeployment_console.api_server import AccountTransport, Token, open_account
from llmdeployment_console.pod_cluster import PodCluster
from llmdeployment_console.viewers import ANYBODY, Viewer

OPERATOR = Operator("llm", "llm-system", "0.1.0", (), own=False, ready=True)
LIST = "/apis/llmdeployment.dev/v1alpha1{}/llmdeployments"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[AccountTransport, type[Pod]]]:
    (tmp_path / "token").write_text("t-1\n")
    shop, lab = moving(), moving(namespace="lab")
    documents = {
        LIST.format(""): {"items": [shop, lab]},
        LIST.format("/namespaces/shop"): {"items": [shop]},
        LIST.format("/namespaces/lab"): {"items": [lab]},
        "/api/v1/namespaces/shop/events": {"items": [{"reason": "A"}]},
        "/api/v1/namespaces/lab/events": {"items": [{"reason": "B"}]},
    }
    with run_pod(**documents) as (base, pod):
        yield AccountTransport(base, urllib3.PoolManager(), Token(tmp_path / "token")), pod


@pytest.mark.parametrize(
    ("namespaces", "found"),
    [((), ["shop", "lab"]), (("lab",), ["lab"]), (("shop", "lab"), ["shop", "lab"])],
)
def test_only_the_given_namespaces_are_read(
    server: tuple[AccountTransport, type[Pod]], namespaces: tuple[str, ...], found: list[str]
) -> None:
    transport, pod = server
    cluster = PodCluster(kube.Cluster(transport, "", 5), namespaces, OPERATOR)
    assert [each["metadata"]["namespace"] for each in cluster.list_deployments()] == found
    assert {headers["Authorization"] for _, headers, _ in pod.requests} == {"Bearer t-1"}
    if namespaces:
        assert len(cluster.list_events()) == len(namespaces)
        assert all("/namespaces/" in path for path, _, _ in pod.requests)
    assert cluster.find_operators() == (OPERATOR,)


def test_the_consoles_own_account_does_nothing(
    server: tuple[AccountTransport, type[Pod]],
) -> None:
    cluster = PodCluster(kube.Cluster(server[0], "", 5), (), OPERATOR)
    with pytest.raises(Refusal, match="does not promote"):
        cluster.apply(("shop", "chat"), "promote", None)
    with pytest.raises(Refusal, match="does not read ConfigMaps"):
        cluster.read_config_map_key("shop", "golden", "questions")
    assert server[1].requests == []


def test_a_viewer_is_named_to_the_api_server(
    server: tuple[AccountTransport, type[Pod]],
) -> None:
    transport, pod = server
    theirs = transport.impersonate(Viewer("ada", ("team-a", "team-b")))
    kube.list_deployments(kube.Cluster(theirs, "", 5), None)
    kube.list_deployments(kube.Cluster(transport, "", 5), None)
    sent = [headers for _, headers, _ in pod.requests]
    # This server's dict has room for one of two headers of a name.
    assert sent[0]["Impersonate-User"] == "ada"
    assert sent[0]["Impersonate-Group"] in {"team-a", "team-b", "team-a, team-b"}
    assert sent[0]["Authorization"] == "Bearer t-1"
    assert not any("Impersonate" in name for name in sent[1])


def test_nobody_is_not_impersonated(server: tuple[AccountTransport, type[Pod]]) -> None:
    with pytest.raises(ValueError, match="nobody"):
        server[0].impersonate(ANYBODY)


def test_what_the_api_server_refuses_is_said(server: tuple[AccountTransport, type[Pod]]) -> None:
    transport, _ = server
    with pytest.raises(Refusal, match="does not know LLMDeployments"):
        kube.list_deployments(kube.Cluster(transport, "", 5), "other")
    gone = replace(transport, host="http://127.0.0.1:1")
    with pytest.raises(Refusal, match="does not answer"):
        kube.list_deployments(kube.Cluster(gone, "", 5), None)


def test_a_token_is_read_again_after_a_minute(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "token"
    path.write_text("one")
    token = Token(path, clock)
    assert token.read() == "one"
    path.write_text("two")
    clock.now += 59
    assert token.read() == "one"
    clock.now += 1
    assert token.read() == "two"


@pytest.mark.parametrize(
    ("host", "address"),
    [("10.0.0.1", "https://10.0.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")],
)
def test_a_pod_finds_its_api_server(tmp_path: Path, host: str, address: str) -> None:
    (tmp_path / "ca.crt").write_text("")
    assert open_account(host, "6443", tmp_path).host == address


def test_outside_of_a_pod_the_command_for_it_is_named(tmp_path: Path) -> None:
    for host in ("", "10.0.0.1"):
        with pytest.raises(Refusal, match="kubectl llm console"):
            open_account(host, "443", tmp_path)
