"""What is wrong is said: on real pods, each cause with its own reason and words to act on."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dev.demo.kube import Kube
from tests.support.live import Live

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

Named = Callable[[str], Live]
QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "no-npus"},
    "spec": {"hard": {"requests.example.com/npu": "0"}},
}


@pytest.fixture
def create(live: Named) -> Iterator[Callable[..., Live]]:
    """Creates one LLMDeployment and deletes it after its test: all of them at once would need more than one CPU."""
    made: list[Live] = []

    def named(name: str, **spec: Any) -> Live:
        made.append(live(name).create(**spec))
        return made[-1]

    yield named
    for each in made:
        each.kube.run("delete", "llm", each.name, "--wait=false")


def test_an_image_that_does_not_exist(create: Callable[..., Live]) -> None:
    image = create("image", image="llmdeployment/none:0")
    assert "llmdeployment/none:0" in image.until_reason("ImagePullFailed")
    assert image.condition("Degraded")["status"] == "True"


def test_a_claim_that_does_not_exist(create: Callable[..., Live]) -> None:
    nowhere = {"name": "data", "persistentVolumeClaim": {"claimName": "nowhere"}}
    claim = create("claim", podTemplate={"spec": {"volumes": [nowhere]}})
    assert '"nowhere" not found' in claim.until_reason("VolumeMissing")


def test_a_gpu_that_the_cluster_does_not_have(create: Callable[..., Live]) -> None:
    gpu = create("gpu", resources={"limits": {"nvidia.com/gpu": 1}})
    message = gpu.until_reason("WaitingForGPU")
    assert "for 1 nvidia.com/gpu. No node has any nvidia.com/gpu. Is the device plugin" in message
    assert gpu.condition("Degraded")["status"] == "False"


def test_a_quota_that_forbids_a_pod(create: Callable[..., Live], kube: Kube) -> None:
    kube.apply(QUOTA)
    quota = create("quota", resources={"limits": {"example.com/npu": 1}})
    assert "quota: no-npus" in quota.until_reason("FailedCreate")


def test_an_engine_that_refuses_to_start(create: Callable[..., Live]) -> None:
    args = {"fail-start": "the flag --bogus is not known"}
    engine = create("engine", engine={"name": "simulated", "args": args})
    assert "the flag --bogus is not known" in engine.until_reason("EngineFailed", 300)


def test_a_replica_that_computes_wrongly(create: Callable[..., Live]) -> None:
    engine = create("wrong", engine={"name": "simulated", "args": {"logits-fault": "permute"}})
    message = engine.until_reason("SelfTestFailed", 300)
    assert "on pod wrong-" in message
    assert "The pod is on node" in message
    assert engine.condition("Available")["status"] == "False"


def test_a_model_that_cannot_be_fetched(create: Callable[..., Live]) -> None:
    nobody = [{"name": "HF_ENDPOINT", "value": "http://127.0.0.1:9"}]
    hub = create(
        "hub",
        model={"source": "hf://nobody/nothing@main"},
        engine={"name": "vllm", "env": nobody},
    )
    assert "nobody/nothing" in hub.until_reason("ModelUnavailable", 180)
