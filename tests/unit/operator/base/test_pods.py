from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from llmdeployment_operator.plan.base.pods import Capacity, check_pod, check_pods
from llmdeployment_operator.plan.base.reasons import Reason

Object = dict[str, Any]


def pod(**status: Any) -> Object:
    return {
        "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "ray", "resources": {"limits": {"amd.com/gpu": "4"}}}]},
        "status": status,
    }


def container(name: str = "ray", **state: Any) -> Object:
    return {"name": name, "ready": False, "restartCount": 3, **state}


def unscheduled(message: str) -> Object:
    since = "2026-01-01T00:00:00Z"
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "lastTransitionTime": since,
        "message": message,
    }
    return pod(conditions=[condition])


ENDED = {"terminated": {"exitCode": 1, "reason": "Error", "message": "one\n\ntwo\nthree\n"}}

CASES = [
    (
        unscheduled("0/3 nodes are available: 3 Insufficient amd.com/gpu. preemption: no"),
        Reason.WAITING_FOR_GPU,
        "Pod p is waiting for 4 amd.com/gpu. 0 of the cluster's 8 are free.",
    ),
    (
        unscheduled("0/1 nodes are available: 1 Insufficient cpu."),
        Reason.UNSCHEDULABLE,
        "0/1 nodes are available: 1 Insufficient cpu.",
    ),
    (
        unscheduled('persistentvolumeclaim "models" not found'),
        Reason.VOLUME_MISSING,
        'persistentvolumeclaim "models" not found',
    ),
    (
        pod(
            containerStatuses=[
                container(
                    state={"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}
                )
            ]
        ),
        Reason.IMAGE_PULL_FAILED,
        "Pod p cannot pull the image of container ray. The kubelet says: no such tag. Check",
    ),
    (
        pod(
            containerStatuses=[
                container(
                    state={"waiting": {"reason": "CreateContainerConfigError", "message": "no key"}}
                )
            ]
        ),
        Reason.POD_CONFIG_ERROR,
        "Container ray of pod p cannot be created. The kubelet says: no key.",
    ),
    (
        pod(
            containerStatuses=[
                container(state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=ENDED)
            ]
        ),
        Reason.CRASH_LOOP,
        "Container ray of pod p ended with exit code 1. Restarts so far: 3. It said: one | two | three. Run",
    ),
    (
        pod(
            containerStatuses=[
                container(state={"terminated": {"exitCode": 137, "reason": "OOMKilled"}})
            ]
        ),
        Reason.OUT_OF_MEMORY,
        "killed at its memory limit",
    ),
    (
        pod(
            initContainerStatuses=[
                container("fetch-model", state={"running": {"startedAt": "2026-01-01T00:00:05Z"}})
            ]
        ),
        Reason.FETCHING_MODEL,
        "Pod p is downloading the model.",
    ),
    (
        pod(
            initContainerStatuses=[container("fetch-model", state={"waiting": {}}, lastState=ENDED)]
        ),
        Reason.MODEL_UNAVAILABLE,
        "Pod p could not download the model. It said: one | two | three.",
    ),
    (pod(), Reason.STARTING_PODS, "Pod p is starting. Its images may still be downloading."),
    (
        unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
        Reason.STARTING_PODS,
        "Pod p is waiting until its volume is provisioned.",
    ),
]


def test_an_unschedulable_pod_names_requested_and_free_amounts() -> None:
    seen = unscheduled("0/2 nodes are available: 2 Insufficient cpu, 1 Insufficient memory.")
    seen["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "4", "memory": "64Gi"}}
    capacity = {
        "cpu": Capacity(0, 0, partial=False, largest=Decimal("1.250")),
        "memory": Capacity(0, 0, partial=True, largest=Decimal(3 * 2**30)),
    }
    found = check_pod(seen, capacity)
    assert found is not None
    assert found.message.startswith(
        "Pod p cannot be scheduled. It asks for 4 cpu, and no node has more than 1.25 free. "
        "It asks for 64.0Gi memory, and no node has more than 3.0Gi free, or less. The scheduler says: 0/2 nodes"
    )


def test_a_cluster_without_the_accelerator_may_lack_its_device_plugin() -> None:
    seen = unscheduled("0/2 nodes are available: 2 Insufficient amd.com/gpu.")
    found = check_pod(seen, {"amd.com/gpu": Capacity(0, 0, partial=True)})
    assert found is not None
    assert (
        "No node has any amd.com/gpu. Is the device plugin of its vendor installed?"
        in found.message
    )


@pytest.mark.parametrize(("seen", "reason", "text"), CASES, ids=[text for _, _, text in CASES])
def test_finding(seen: Object, reason: Reason, text: str) -> None:
    found = check_pod(seen, {"amd.com/gpu": Capacity(total=8, taken=9, partial=False)})
    assert found is not None
    assert found.reason is reason
    assert text in found.message
    assert found.message.endswith(".")


@pytest.mark.parametrize(
    "case",
    [CASES[0], CASES[1], CASES[7], CASES[9], CASES[10]],
    ids=["gpu", "scheduler", "fetch", "image", "volume"],
)
def test_what_waits_says_for_how_long(case: tuple[Object, Reason, str]) -> None:
    found = check_pod(case[0], {})
    assert found is not None
    later = datetime(2026, 1, 1, 0, 3, 30, tzinfo=UTC)
    assert found.at(later).message == f"{found.message} This has taken 3 min so far."


def test_a_pod_that_runs_has_no_finding() -> None:
    assert check_pod(pod(containerStatuses=[container(state={"running": {}})]), {}) is None


def test_what_waiting_will_not_mend_comes_first() -> None:
    seen = [pod(), CASES[3][0], CASES[7][0]]
    found = check_pods(seen, {})
    assert found is not None
    assert found.reason is Reason.IMAGE_PULL_FAILED


def test_a_cluster_that_may_not_be_read_says_so() -> None:
    found = check_pod(CASES[0][0], {})
    assert found is not None
    assert "How many are free is unknown" in found.message
