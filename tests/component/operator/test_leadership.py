"""Two operators, one of which acts: real processes that are killed, paused, cut off and stopped, a real API server.

The durations are 5, 3 and 1 s instead of client-go's 15, 10 and 2; the arithmetic is the same.
"""

import itertools
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dev.cluster.control_plane import ControlPlane
from tests.component.operator.conftest import RunningOperator
from tests.component.operator.test_operator import complete
from tests.component.operator.test_passes import simulated
from tests.support.cluster_client import ClusterClient, Object
from tests.support.fault_proxy import FaultProxy
from tests.support.operator_process import (
    LEASE_SECONDS,
    RENEW_SECONDS,
    RETRY_SECONDS,
    OperatorProcess,
)
from tests.support.until import until

pytestmark = pytest.mark.component

LEASE = "llmdeployment-operator"
TAKEOVER_SECONDS = LEASE_SECONDS + 2 * RETRY_SECONDS
"""A standby sees the last renewal at most one try late, and its own tries are up to a fifth of one apart more."""

WORKERS = 8
"""Passes at the same time, each of which has at most one request under way."""

SLACK = 2.0
"""For two busy cores."""

Start = Callable[[str], OperatorProcess]
Pair = tuple[OperatorProcess, OperatorProcess]


@pytest.fixture
def start_process(
    control_plane: ControlPlane, cluster: ClusterClient, tmp_path: Path
) -> Iterator[Start]:
    """Starts operators by name; all are killed at the test's end."""
    running: list[OperatorProcess] = []

    def start(name: str) -> OperatorProcess:
        found = OperatorProcess(control_plane, cluster.namespace, tmp_path / name)
        running.append(found)
        found.start()
        return found

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def pair(start_process: Start) -> Pair:
    """A leader that watches, and an operator that stands by."""
    leader = start_process("first")
    until(lambda: leader.readiness() == "ok", 40, "the first one leads")
    # why: of two that start together both may try to create the Lease, which the tests would count as a standby's write.
    standby = start_process("second")
    until(lambda: standby.readiness() == "standby", 40, "the second one stands by")
    assert leader.leads()
    assert not standby.leads()
    return leader, standby


def lease(cluster: ClusterClient) -> Object:
    found = cluster.get("Lease", LEASE)
    assert found is not None
    spec: Object = found["spec"]
    return spec


def reported(cluster: ClusterClient, name: str) -> bool:
    found = cluster.get("LLMDeployment", name)
    return found is not None and bool(found.get("status", {}).get("conditions"))


def carries_spec(cluster: ClusterClient, name: str) -> bool:
    """Say whether an object's workers are as many as its spec asks for now."""
    found = cluster.get("LLMDeployment", name)
    assert found is not None
    selector = f"llmdeployment.dev/name={name},llmdeployment.dev/runtime"
    workers = [each["spec"]["replicas"] for each in cluster.items("Deployment", selector)]
    return workers == [found["spec"]["replicas"]]


class Edits:
    """Somebody who changes many objects all the time, so that whoever acts is always about to write."""

    NAMES = tuple(f"chat-{number}" for number in range(10))

    def __init__(self, cluster: ClusterClient) -> None:
        self._cluster = cluster
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._edit, daemon=True)

    def __enter__(self) -> None:
        for name in self.NAMES:
            self._cluster.create(simulated(name))
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(10)

    def _edit(self) -> None:
        for count in itertools.count():
            for name in self.NAMES:
                spec = {"spec": {"replicas": count % 10 + 1}}
                self._cluster.patch("LLMDeployment", name, spec)
                if self._end.wait(0.005):
                    return


def test_a_standby_reads_nothing_but_the_lease(cluster: ClusterClient, pair: Pair) -> None:
    leader, standby = pair
    cluster.create(simulated())
    until(lambda: reported(cluster, "chat"), 30, "the leader acts")
    assert {path.rpartition("/")[2] for _, path in standby.proxy.seen} == {LEASE}
    assert standby.writes == []
    assert lease(cluster)["leaseTransitions"] == 0
    assert leader.process.poll() is None


def test_a_killed_leader_is_followed_within_the_lease_and_a_try(
    cluster: ClusterClient, pair: Pair
) -> None:
    leader, standby = pair
    before = lease(cluster)["holderIdentity"]
    leader.process.kill()
    killed = time.monotonic()
    until(standby.leads, TAKEOVER_SECONDS + SLACK, "the standby leads")
    assert time.monotonic() - killed >= LEASE_SECONDS - RETRY_SECONDS - SLACK
    assert lease(cluster)["holderIdentity"] != before
    assert lease(cluster)["leaseTransitions"] == 1
    cluster.create(simulated())
    until(lambda: reported(cluster, "chat"), 30, "the new leader acts")


def test_a_leader_that_was_paused_writes_nothing_and_ends(
    cluster: ClusterClient, pair: Pair
) -> None:
    leader, standby = pair
    with Edits(cluster):
        until(lambda: len(leader.writes) > 50, 30, "the leader writes")
        leader.process.send_signal(signal.SIGSTOP)
        until(standby.leads, TAKEOVER_SECONDS + SLACK, "the standby leads")
        until(lambda: len(standby.writes) > 20, 30, "the new leader writes")
        before = len(leader.writes)
        leader.process.send_signal(signal.SIGCONT)
        assert leader.process.wait(10) == 1
    # What the event loop had given to the system is sent: no process can check and send in one step.
    assert len(leader.writes[before:]) <= WORKERS
    until(
        lambda: all(carries_spec(cluster, name) for name in Edits.NAMES), 60, "all as the specs ask"
    )
    assert "paused for longer than the Lease lasts" in leader.log.read_text()
    assert standby.leads()


def test_a_pass_of_an_operator_that_may_not_write_reads_and_says_so(
    control_plane: ControlPlane,
    cluster: ClusterClient,
    start_operator: Callable[..., RunningOperator],
    tmp_path: Path,
) -> None:
    proxy = FaultProxy(control_plane)
    proxy.start()
    try:
        operator = start_operator(proxy.kubeconfig(tmp_path))
        cluster.create(simulated())
        until(lambda: complete(cluster), 60, "all children")
        operator.fence.close()
        before = len([method for method, _ in proxy.seen if method != "GET"])
        cluster.delete("Service", "chat")
        refused = b'llmdeployment_operator_errors_total{error="NotLeader"}'
        metrics = f"http://127.0.0.1:{operator.port}/metrics"
        until(lambda: refused in urllib.request.urlopen(metrics, timeout=5).read(), 30, "refused")
        assert len([method for method, _ in proxy.seen if method != "GET"]) == before
    finally:
        proxy.stop()


def test_a_leader_that_is_cut_off_from_the_lease_ends_before_another_writes(
    cluster: ClusterClient, pair: Pair
) -> None:
    leader, standby = pair
    with Edits(cluster):
        until(lambda: len(leader.writes) > 20, 30, "the leader writes")
        leader.fault = lambda _method, path: "hang" if "/leases/" in path else None
        cut = time.monotonic()
        assert leader.process.wait(RENEW_SECONDS + 15) == 1
        until(standby.leads, TAKEOVER_SECONDS + SLACK, "the standby leads")
        until(lambda: len(standby.writes) > 20, 30, "the new leader writes")
    last = leader.writes[-1][0]
    assert last <= cut + RENEW_SECONDS + SLACK
    # The first thing the new one writes is the Lease.
    assert standby.writes[0][0] > last
    assert "could not be renewed for 3 s" in leader.log.read_text()
    assert "Traceback" not in leader.log.read_text()


def test_a_leader_that_is_stopped_is_followed_at_once(cluster: ClusterClient, pair: Pair) -> None:
    leader, standby = pair
    leader.process.terminate()
    until(standby.leads, 3, "the standby leads")
    assert leader.process.wait(20) == 0
    assert lease(cluster)["leaseTransitions"] == 1
    cluster.create(simulated())
    until(lambda: reported(cluster, "chat"), 30, "the new leader acts")


def test_a_standby_that_is_stopped_disturbs_nobody(cluster: ClusterClient, pair: Pair) -> None:
    leader, standby = pair
    before = lease(cluster)["holderIdentity"]
    standby.process.terminate()
    assert standby.process.wait(10) == 0
    assert lease(cluster)["holderIdentity"] == before
    assert leader.leads()


def test_a_lease_deleted_by_hand_is_made_again_by_its_leader(
    cluster: ClusterClient, pair: Pair
) -> None:
    leader, standby = pair
    before = lease(cluster)["holderIdentity"]
    for _ in range(3):
        cluster.delete("Lease", LEASE)
        until(
            lambda: (cluster.get("Lease", LEASE) or {}).get("spec", {}).get("holderIdentity"),
            RENEW_SECONDS + SLACK,
            "the Lease is held again",
        )
        assert lease(cluster)["holderIdentity"] == before
        assert leader.leads()
        assert not standby.leads()
    assert leader.process.poll() is None


def test_a_lease_given_to_somebody_else_by_hand_ends_its_leader(
    cluster: ClusterClient, pair: Pair
) -> None:
    leader, standby = pair
    cluster.patch("Lease", LEASE, {"spec": {"holderIdentity": "nobody"}})
    assert leader.process.wait(RENEW_SECONDS + 15) == 1
    assert "is held by nobody now" in leader.log.read_text()
    until(standby.leads, TAKEOVER_SECONDS + SLACK, "the standby leads")


def test_without_a_rule_for_leases_the_operator_is_alone_and_says_so(
    cluster: ClusterClient, control_plane: ControlPlane, tmp_path: Path
) -> None:
    operator = OperatorProcess(control_plane, cluster.namespace, tmp_path / "alone")
    operator.fault = lambda _method, path: 403 if "/leases" in path else None
    operator.start()
    try:
        until(operator.leads, 30, "it acts alone")
        cluster.create(simulated())
        until(lambda: reported(cluster, "chat"), 30, "it acts")
        log = operator.log.read_text()
        assert log.count("leader election is off, because Leases are refused") == 1
        operator.process.terminate()
        assert operator.process.wait(20) == 0
    finally:
        operator.stop()


def test_a_standby_that_loses_its_rights_does_not_act_alone(pair: Pair) -> None:
    leader, standby = pair
    standby.fault = lambda _method, path: 403 if "/leases" in path else None
    refused = "the Lease cannot be read or written now"
    until(lambda: standby.log.read_text().count(refused) > 4, 20, "the standby is refused")
    assert not standby.leads()
    assert leader.leads()
