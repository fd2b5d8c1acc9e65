"""What cannot be done reaches the conditions within seconds, and is done when it can be."""

import re
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.component.operator.conftest import RunningOperator
from tests.component.operator.test_operator import complete
from tests.component.operator.test_passes import conditions, simulated
from tests.support.cluster_client import ClusterClient
from tests.support.fault_proxy import FaultProxy
from tests.support.until import until

pytestmark = pytest.mark.component

Start = Callable[..., RunningOperator]
SOON = 60


def find_reason(cluster: ClusterClient, kind: str) -> str:
    return str(conditions(cluster).get(kind, {}).get("reason", ""))


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        ({"priorityclass": "high"}, ".priorityclass: field not declared in schema"),
        ({"nodeSelector": "gpu"}, ".nodeSelector: expected map, got"),
    ],
    ids=["a field that does not exist", "a value of another type"],
)
def test_what_no_pod_can_have_is_named(
    cluster: ClusterClient, start_operator: Start, pod: dict[str, str], said: str
) -> None:
    start_operator()
    cluster.create(simulated(podTemplate={"spec": pod}))
    until(lambda: find_reason(cluster, "Accepted") == "InvalidSpec", SOON, "the spec is refused")
    message = conditions(cluster)["Accepted"]["message"]
    assert said in message
    assert "spec.podTemplate" in message
    cluster.patch("LLMDeployment", "chat", {"spec": {"podTemplate": None}})
    until(lambda: find_reason(cluster, "Accepted") == "Accepted", SOON, "the corrected spec")
    until(lambda: cluster.items("StatefulSet"), SOON, "a Ray head, once the field is gone")


def test_a_failing_write_is_reported_until_it_works(
    cluster: ClusterClient, start_operator: Start, proxy: FaultProxy, tmp_path: Path
) -> None:
    start_operator(proxy.kubeconfig(tmp_path))
    proxy.fault = lambda method, path: (
        500 if method == "PATCH" and "/statefulsets/" in path else None
    )
    cluster.create(simulated())
    until(lambda: find_reason(cluster, "Degraded") == "APIError", SOON, "the failure is said")
    now = conditions(cluster)
    assert now["Degraded"]["status"] == "True"
    assert now["Ready"]["status"] == "False"
    assert "injected 500" in now["Degraded"]["message"]
    (event,) = [e for e in cluster.items("Event") if e["reason"] == "APIError"]
    assert event["type"] == "Warning"
    proxy.fault = lambda _method, _path: None
    until(lambda: complete(cluster), 90, "all children, once writes work")
    until(
        lambda: find_reason(cluster, "Degraded") == "AsExpected", SOON, "nothing is wrong any more"
    )


def test_a_kind_that_may_not_be_watched_any_more_stops_nothing_else(
    cluster: ClusterClient,
    start_operator: Start,
    proxy: FaultProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llmdeployment_operator.kube.reflector.WATCH_SECONDS", 3)
    operator = start_operator(proxy.kubeconfig(tmp_path))
    cluster.create(simulated())
    until(lambda: complete(cluster), 60, "all children")
    services = re.compile(r"/services\?")
    proxy.fault = lambda method, path: 403 if method == "GET" and services.search(path) else None
    until(lambda: read_broken_watches(operator) == 1, 60, "the watch is known to be broken")
    cluster.delete("Service", "chat")
    cluster.patch("LLMDeployment", "chat", {"spec": {"prompt": {"system": "Be brief."}}})
    until(lambda: len(cluster.items("ControllerRevision")) == 2, 60, "the edit is acted on")
    proxy.fault = lambda _method, _path: None
    until(lambda: cluster.get("Service", "chat"), 60, "the Service is back")
    until(lambda: read_broken_watches(operator) == 0, 60, "the watch is back")


def read_broken_watches(operator: RunningOperator) -> float:
    url = f"http://127.0.0.1:{operator.port}/metrics"
    text = urllib.request.urlopen(url, timeout=5).read().decode()
    found = re.search(r"^llmdeployment_operator_watches_broken (\S+)$", text, re.MULTILINE)
    assert found is not None
    return float(found[1])
