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


async def ask(pod: Pod) -> str:
    """Return the id for feedback of an answer."""
    _, _, headers = await pod.ask()
    return str(headers["x-llm-feedback-id"])


async def vote(pod: Pod, number: str) -> int:
    status, _, _ = await pod.ask({"request_id": number, "score": 0}, "/v1/feedback")
    return status


async def count_votes(pod: Pod) -> int:
    """Return the votes that a pod has counted."""
    rows: list[dict[str, Any]] = (await pod.stats())["routes"]
    return sum(int(row["feedback"]["votes"]) for row in rows)


async def test_an_answer_has_one_vote_in_all(pods: list[Pod]) -> None:
    first, second = pods
    early = await ask(first)
    assert await vote(first, early) == 503  # no list has a pod
    first.write_peers(**HOSTS)
    tried: list[int] = []

    async def is_known() -> bool:
        """Say whether the last eight votes were taken: of each pod's own answers and of the other's."""
        tried.append(await vote(pods[len(tried) % 2], await ask(first)))
        return len(tried) > 8 and tried[-8:] == [200] * 8

    await until(is_known, 20, "pods that know each other")
    assert await vote(first, early) == 410
    before = [await count_votes(pod) for pod in pods]
    for _ in range(ANSWERS):
        number = await ask(first)
        assert [await vote(pod, number) for pod in (second, first, second)] == [200, 409, 409]
    after = [await count_votes(pod) for pod in pods]
    counted = [now - then for now, then in zip(after, before, strict=True)]
    assert sum(counted) == ANSWERS
    assert min(counted) > 0
