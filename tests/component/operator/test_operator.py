"""The whole operator, kopf and queue included, against the real API server; faults come from a proxy in between."""

import itertools
import json
import random
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from dev.cluster import control_plane as planes
from dev.cluster.control_plane import ControlPlane
from tests.component.operator.conftest import RunningOperator
from tests.component.operator.test_passes import KINDS, conditions, simulated
from tests.support.cluster_client import ClusterClient
from tests.support.control_plane import make_namespace
from tests.support.crd import install
from tests.support.fault_proxy import FaultProxy
from tests.support.ports import free_port
from tests.support.until import until

pytestmark = pytest.mark.component

Start = Callable[..., RunningOperator]
ALL = sum(KINDS.values())


def complete(cluster: ClusterClient, name: str = "chat") -> bool:
    return len(cluster.children(name)) == ALL and "Accepted" in conditions(cluster, name)


def test_an_object_becomes_children_and_drift_does_not_last(
    cluster: ClusterClient, start_operator: Start
) -> None:
    operator = start_operator()
    cluster.create(simulated())
    until(lambda: complete(cluster), 60, "all children")
    cluster.delete("Service", "chat")
    until(lambda: cluster.get("Service", "chat"), 60, "the Service is back")
    cluster.patch("ConfigMap", "chat-routes", {"data": {"routes.json": "{}"}})
    until(
        lambda: '"salt"' in cluster.get("ConfigMap", "chat-routes")["data"]["routes.json"],  # type: ignore[index]  # because it exists
        60,
        "the routes are back",
    )
    shown = urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/metrics", timeout=5).read()
    assert b'llmdeployment_operator_reconciles_total{result="success"}' in shown
    assert b'llmdeployment_operator_objects{state="progressing"} 1.0' in shown
    assert b'llmdeployment_revision_traffic_ratio{arm="main",name="chat",' in shown
    live = json.load(urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/live", timeout=5))
    assert [(item["name"], item["point"]["replicas"]["ready"]) for item in live["items"]] == [
        ("chat", 0)
    ]
    assert (
        urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/healthz", timeout=5).status == 200
    )


def test_what_happened_while_the_operator_was_away_is_caught_up(
    cluster: ClusterClient, start_operator: Start
) -> None:
    cluster.create(simulated())
    first = start_operator()
    until(lambda: complete(cluster), 60, "all children")
    first.stop()
    cluster.delete("Service", "chat")
    cluster.patch("LLMDeployment", "chat", {"spec": {"prompt": {"system": "Be brief."}}})
    start_operator()
    until(lambda: cluster.get("Service", "chat"), 60, "the Service is back")
    until(lambda: len(cluster.items("ControllerRevision")) == 2, 60, "a second revision")


def test_ten_edits_in_a_second_end_in_the_last_one(
    cluster: ClusterClient, start_operator: Start
) -> None:
    start_operator()
    cluster.create(simulated())
    for replicas in range(1, 11):
        cluster.patch("LLMDeployment", "chat", {"spec": {"replicas": replicas}})

    def settled() -> bool:
        found = cluster.items("Deployment", "llmdeployment.dev/runtime")
        obj = cluster.get("LLMDeployment", "chat")
        assert obj is not None
        return [d["spec"]["replicas"] for d in found] == [10] and obj.get("status", {}).get(
            "observedGeneration"
        ) == obj["metadata"]["generation"]

    until(settled, 60, "10 worker pods wanted, and said of the last generation")


def test_one_name_in_two_namespaces(
    control_plane: ControlPlane, cluster: ClusterClient, start_operator: Start
) -> None:
    other = ClusterClient(control_plane.access, make_namespace(control_plane))
    start_operator()
    second = start_operator()
    second.stop()
    second.namespace = other.namespace
    second.start()
    for each in (cluster, other):
        each.create(simulated())
    for each in (cluster, other):
        until(lambda each=each: complete(each), 20, f"all children in {each.namespace}")


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        (409, "PATCH"),
        (410, "watch=true"),
        (429, ""),
        (500, "PATCH"),
        (503, ""),
        ("cut", "PATCH"),
        ("cut", "watch=true"),
    ],
)
def test_faults_of_the_api_server_delay_and_lose_nothing(
    cluster: ClusterClient,
    start_operator: Start,
    proxy: FaultProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: int | str,
    where: str,
) -> None:
    monkeypatch.setattr("llmdeployment_operator.handlers.watch.WATCH_SECONDS", 3)
    chance = random.Random(1)  # noqa: S311  # because the test should be the same each time

    def sometimes(method: str, path: str) -> int | str | None:
        hit = cluster.namespace in path and where in f"{method} {path}" and chance.random() < 0.05
        return fault if hit else None

    proxy.fault = sometimes
    start_operator(proxy.kubeconfig(tmp_path))
    cluster.create(simulated())
    until(lambda: complete(cluster), 60, f"all children in spite of {fault}")


def test_writes_that_hang_are_given_up_and_made_again(
    cluster: ClusterClient,
    start_operator: Start,
    proxy: FaultProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llmdeployment_operator.kube.objects.TIMEOUT_SECONDS", 1.0)
    patches = itertools.count()
    proxy.fault = lambda method, _p: (
        "hang" if method == "PATCH" and next(patches) in {2, 5} else None
    )
    start_operator(proxy.kubeconfig(tmp_path))
    cluster.create(simulated())
    until(lambda: complete(cluster), 60, "all children in spite of two writes that hang")


def test_no_secret_is_ever_listed_or_watched(
    cluster: ClusterClient, start_operator: Start, proxy: FaultProxy, tmp_path: Path
) -> None:
    start_operator(proxy.kubeconfig(tmp_path))
    cluster.create(simulated())
    until(lambda: complete(cluster), 60, "all children")
    reads = [path for method, path in proxy.seen if method == "GET" and "/secrets" in path]
    assert reads
    assert all("/secrets/chat-" in path for path in reads)


def test_an_api_server_that_restarts_is_found_again(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("control_plane")  # skips where none can be built
    plane = planes.start(tmp_path / "own")
    try:
        install(plane)
        cluster = ClusterClient(plane.access, make_namespace(plane))
        operator = RunningOperator(str(plane.kubeconfig), cluster.namespace, free_port())
        operator.start()
        try:
            cluster.create(simulated())
            until(lambda: complete(cluster), 60, "all children")
            plane.stop_apiserver()
            plane.start_apiserver()
            cluster.create(simulated("second"))
            until(lambda: complete(cluster, "second"), 60, "a second one after the restart")
        finally:
            operator.stop()
    finally:
        plane.stop()
