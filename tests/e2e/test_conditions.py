"""What is wrong is said: on real pods, each cause with its own reason and words to act on."""

from collections.abc import Callable

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


@pytest.fixture(scope="module")
def broken(live: Named, kube: Kube) -> dict[str, Live]:
    """All of them at once, so that they fail side by side."""
    kube.apply(QUOTA)
    claim = {"persistentVolumeClaim": {"claimName": "nowhere"}}
    nowhere = {"spec": {"volumes": [{"name": "serving-env", **claim}]}}
    return {
        "image": live("image").create(image="llmdeployment/none:0"),
        "claim": live("claim").create(podTemplate=nowhere),
        "gpu": live("gpu").create(resources={"limits": {"nvidia.com/gpu": 1}}),
        "quota": live("quota").create(resources={"limits": {"example.com/npu": 1}}),
        "engine": live("engine").create(
            engine={"name": "simulated", "args": {"fail-start": "the flag --bogus is not known"}}
        ),
        "hub": live("hub").create(
            model={"source": "hf://nobody/nothing@main"},
            engine={
                "name": "vllm",
                "env": [{"name": "HF_ENDPOINT", "value": "http://127.0.0.1:9"}],
            },
        ),
    }


def test_an_image_that_does_not_exist(broken: dict[str, Live]) -> None:
    assert "llmdeployment/none:0" in broken["image"].until_reason("ImagePullFailed")
    assert broken["image"].condition("Degraded")["status"] == "True"


def test_a_claim_that_does_not_exist(broken: dict[str, Live]) -> None:
    assert '"nowhere" not found' in broken["claim"].until_reason("VolumeMissing")


def test_a_gpu_that_the_cluster_does_not_have(broken: dict[str, Live]) -> None:
    message = broken["gpu"].until_reason("WaitingForGPU")
    assert "for 1 nvidia.com/gpu. 0 of the cluster's 0 are free." in message
    assert broken["gpu"].condition("Degraded")["status"] == "False"


def test_a_quota_that_forbids_a_pod(broken: dict[str, Live]) -> None:
    assert "quota: no-npus" in broken["quota"].until_reason("FailedCreate")


def test_an_engine_that_refuses_to_start(broken: dict[str, Live]) -> None:
    assert "the flag --bogus is not known" in broken["engine"].until_reason("EngineFailed", 180)


def test_a_model_that_cannot_be_fetched(broken: dict[str, Live]) -> None:
    assert "nobody/nothing" in broken["hub"].until_reason("ModelUnavailable", 180)
