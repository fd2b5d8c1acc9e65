"""Two gateway pods, as programs: each answer has one vote, whichever pod it comes to."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from dev.cluster.control_plane import ControlPlane
from tests.component.gateway.conftest import NewReplica, haproxy_binary
from tests.component.gateway.loopback import Loopback
from tests.component.gateway.pod import Pod, until
from tests.support.cluster_client import ClusterClient

pytestmark = pytest.mark.component
HOSTS = {"chat-gateway-a": "127.0.0.1", "chat-gateway-b": "127.0.0.2"}
ANSWERS = 20


@pytest.fixture
async def pods(
    control_plane: ControlPlane, namespace: str, kube: Loopback, replicas: NewReplica
) -> AsyncIterator[list[Pod]]:
    """Two pods that run, before one replica. Their agents have one port, as everywhere."""
    cluster = ClusterClient(control_plane.access, namespace)
    made = [Pod(cluster, kube, haproxy_binary()) for _ in HOSTS]
    made[0].write_routes()
    made[0].write_endpoints((await replicas()).host)
    for pod, (name, host) in zip(made, HOSTS.items(), strict=True):
        pod.agent_port = made[0].agent_port
        pod.env |= {
            "HOSTNAME": name,
            "LLMD_AGENT_HOST": host,
            "LLMD_AGENT_PORT": str(pod.agent_port),
        }
        await pod.up()
        await pod.serving(1)
    yield made
    for pod in made:
        await pod.close()


async def vote(pod: Pod, number: str) -> int:
    status, _, _ = await pod.ask({"request_id": number, "score": 0}, "/v1/feedback")
    return status


async def count_votes(pod: Pod) -> int:
    """Return the votes that a pod has counted."""
    rows: list[dict[str, Any]] = (await pod.stats())["routes"]
    return sum(int(row["feedback"]["votes"]) for row in rows)


async def test_an_answer_has_one_vote_in_all(pods: list[Pod]) -> None:
    first, second = pods
    numbers = [(await first.ask())[2]["x-llm-feedback-id"] for _ in range(ANSWERS)]
    assert await vote(first, numbers[0]) == 503  # no list has a pod
    first.write_peers(**HOSTS)

    for pod in pods:

        async def knows(pod: Pod = pod) -> bool:
            return await vote(pod, numbers[0]) in (200, 409)

        await until(knows, 10, "a pod that knows its peers")
    for number in numbers[1:]:
        assert [await vote(pod, number) for pod in (second, first, second)] == [200, 409, 409]
    counted = [await count_votes(pod) for pod in pods]
    assert sum(counted) == ANSWERS
    assert min(counted) > 0
