"""The evaluation's Job on the real API server; its pod's and its own status are written by hand, Ray Serve agrees to everything."""

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.component.operator.test_passes import Writes, conditions, shares, simulated
from tests.support.cluster_client import ClusterClient, Object
from tests.support.passes import make_pass

from llmdeployment_operator.kube import serve
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.reconcile import DeploymentKey, Operator

pytestmark = pytest.mark.component

GOLDEN = '{"prompt": "Capital of France?", "expect": {"contains": ["Paris"]}}\n'
EVALUATION = {"golden": {"configMapRef": {"name": "questions"}}, "timeoutSeconds": 120}


@pytest.fixture(autouse=True)
def _agreeable_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ray Serve run whatever it was told."""
    told: dict[str, Any] = {}

    async def put(_session: Any, host: str, _token: str, body: Object) -> None:
        told[host] = copy.deepcopy(body["applications"][0])

    async def get(_session: Any, host: str, _token: str, _seconds: float) -> Object:
        if host not in told:
            return {"applications": {}}
        return {"applications": {"llm": {"status": "RUNNING", "deployed_app_config": told[host]}}}

    monkeypatch.setattr(serve, "put_applications", put)
    monkeypatch.setattr(serve, "get_applications", get)


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def add_pod(cluster: ClusterClient, owner: Object, name: str, status: Object) -> None:
    """Make a pod as the owner's controller would, in this state."""
    template = owner["spec"]["template"]
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    meta = {
        "name": name,
        "labels": template["metadata"]["labels"],
        "ownerReferences": [reference],
    }
    cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]})
    cluster.patch("Pod", name, {"status": status}, "/status")


def ready(address: str) -> Object:
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }


def ended(code: int, message: str) -> Object:
    state = {"exitCode": code, "message": message, "startedAt": stamp(), "finishedAt": stamp()}
    container = {
        "name": "evaluate",
        "ready": False,
        "restartCount": 0,
        "image": "x",
        "imageID": "",
        "state": {"terminated": state},
    }
    return {"phase": "Failed" if code else "Succeeded", "containerStatuses": [container]}


def finish(cluster: ClusterClient, job: Object, kind: str, reason: str) -> None:
    """Let a Job have ended, in the order in which its controller says so."""
    name, now = job["metadata"]["name"], stamp()
    before = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[kind]
    more = {"lastTransitionTime": now, "reason": reason, "message": ""}
    first = [{"type": before, "status": "True", **more}]
    cluster.patch("Job", name, {"status": {"startTime": now, "conditions": first}}, "/status")
    last = [*first, {"type": kind, "status": "True", **more}]
    status: Object = {"startTime": now, "conditions": last}
    status |= {"completionTime": now, "succeeded": 1} if kind == "Complete" else {"failed": 2}
    cluster.patch("Job", name, {"status": status}, "/status")


def llm(cluster: ClusterClient) -> Object:
    found = cluster.get("LLMDeployment", "chat")
    assert found is not None
    return found


def job_of(cluster: ClusterClient, number: int, attempt: int = 1) -> Object:
    prefix = f"chat-r{number}-eval-{attempt}-"
    (found,) = (j for j in cluster.items("Job") if j["metadata"]["name"].startswith(prefix))
    return {"apiVersion": "batch/v1", "kind": "Job", **found}


async def passes(operator: Operator, cluster: ClusterClient, count: int = 3) -> None:
    for _ in range(count):
        await make_pass(operator, DeploymentKey(cluster.namespace, "chat"))


async def serving(cluster: ClusterClient, operator: Operator) -> None:
    """Let a first revision serve, and a second one be known to its replica."""
    rollout = {
        "strategy": "Canary",
        "steps": [{"weight": 10, "pause": {}}],
        "evaluation": EVALUATION,
    }
    cluster.create(simulated(rollout=rollout))
    await passes(operator, cluster, 1)
    (head,) = cluster.items("StatefulSet")
    (worker,) = (
        d for d in cluster.items("Deployment") if names.RUNTIME in d["metadata"].get("labels", {})
    )
    head |= {"apiVersion": "apps/v1", "kind": "StatefulSet"}
    worker |= {"apiVersion": "apps/v1", "kind": "Deployment"}
    add_pod(cluster, head, "head-0", ready("198.18.0.1"))
    add_pod(cluster, worker, "worker-0", ready("198.18.0.2"))
    await passes(operator, cluster)


def add_questions(cluster: ClusterClient) -> None:
    cluster.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "questions"},
            "data": {"golden.jsonl": GOLDEN},
        }
    )


async def changed(cluster: ClusterClient, operator: Operator) -> None:
    cluster.patch("LLMDeployment", "chat", {"spec": {"prompt": {"system": "Shout."}}})
    await passes(operator, cluster)


async def test_a_canary_waits_for_its_questions_its_answers_and_then_has_requests(
    cluster: ClusterClient, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await serving(cluster, operator)
    await changed(cluster, operator)
    assert cluster.items("Job") == []
    missing = conditions(cluster)["Degraded"]
    assert (missing["status"], missing["reason"]) == ("True", "ConfigMapMissing")
    assert "ConfigMap questions of spec.rollout.evaluation" in missing["message"]

    add_questions(cluster)
    await passes(operator, cluster)
    job = job_of(cluster, 2)
    assert conditions(cluster)["Progressing"]["reason"] == "Evaluating"
    assert shares(cluster) == {1: 100}
    writes = Writes(monkeypatch)
    await passes(operator, cluster)
    assert writes.made == []

    result = {"score": 100, "passed": 1, "total": 1, "failures": []}
    add_pod(cluster, job, "evaluation-0", ended(0, json.dumps(result)))
    finish(cluster, job, "Complete", "CompletionsReached")
    await passes(operator, cluster)
    status = llm(cluster)["status"]
    assert shares(cluster) == {1: 90, 2: 10}
    row = next(r["evaluation"] for r in status["revisions"] if r["number"] == 2)
    assert (row["score"], row["passed"], row["total"], row["attempt"]) == (100, 1, 1, 1)
    writes.made.clear()
    await passes(operator, cluster)
    assert writes.made == []


async def test_a_job_that_fails_or_never_ends_gives_the_canary_up_and_may_be_tried_again(
    cluster: ClusterClient, operator: Operator
) -> None:
    add_questions(cluster)
    await serving(cluster, operator)
    await changed(cluster, operator)
    first = job_of(cluster, 2)
    add_pod(cluster, first, "evaluation-0", ended(1, "key golden.jsonl, line 2: is no JSON"))
    finish(cluster, first, "Failed", "BackoffLimitExceeded")
    await passes(operator, cluster)
    given_up = conditions(cluster)["Degraded"]
    assert (given_up["status"], given_up["reason"]) == ("True", "RolledBack")
    assert "has no result. Key golden.jsonl, line 2: is no JSON" in given_up["message"]
    assert "llmdeployment.dev/retry: 2/1" in given_up["message"]
    assert shares(cluster) == {1: 100}

    retry = {"metadata": {"annotations": {"llmdeployment.dev/retry": "2/1"}}}
    cluster.patch("LLMDeployment", "chat", retry)
    await passes(operator, cluster)
    finish(cluster, job_of(cluster, 2, attempt=2), "Failed", "DeadlineExceeded")
    await passes(operator, cluster)
    given_up = conditions(cluster)["Degraded"]
    assert (
        "did not end within 2 min (spec.rollout.evaluation.timeoutSeconds)" in given_up["message"]
    )
    assert "llmdeployment.dev/retry: 2/2" in given_up["message"]
