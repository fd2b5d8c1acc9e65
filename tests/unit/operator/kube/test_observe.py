"""What a pass knows, and whom it has asked: a Ray head is sent a secret, so its labels alone are not believed."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.world import World, admitted, pod, sample

from llmdeployment_operator.kube import objects
from llmdeployment_operator.kube.observe import Clients, observe
from llmdeployment_operator.kube.poller import Answer, Target
from llmdeployment_operator.kube.store import Store
from llmdeployment_operator.plan.base import names

Object = dict[str, Any]


class Asked:
    """Stands in the place of the poller: keeps who is to be asked, and says nothing."""

    def __init__(self) -> None:
        self.targets: dict[str, Target] = {}

    def answers(self, _: Any, targets: Mapping[str, Target]) -> Mapping[str, Answer]:
        self.targets = dict(targets)
        return {}


class Deployed:
    """An LLMDeployment whose children exist, and the pods that a test adds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = World(admitted(sample("simulated")))
        self.world.settle()
        (self.runtime,) = self.world.runtimes()
        self.secrets: dict[str, Object] = {}
        self.store = Store()
        for number, obj in enumerate(self.world.cluster.children.values()):
            if obj["kind"] == "Secret":
                self.secrets[obj["metadata"]["name"]] = obj
            else:
                self._put(obj, number + 1)

        async def get(_: Any, kind: Any, __: str, name: str) -> Object | None:
            return self.secrets.get(name) if kind.kind == "Secret" else None

        monkeypatch.setattr(objects, "get", get)

    def _put(self, obj: Object, version: int) -> None:
        meta = {**obj["metadata"], "namespace": "team", "resourceVersion": str(version)}
        self.store.put({**obj, "metadata": meta})

    def add_pod(self, component: str, name: str, owner: Object | None) -> None:
        made = pod(component, name, self.runtime)
        made["metadata"]["uid"] = name
        if owner is not None:
            made["metadata"]["ownerReferences"] = [{"uid": owner["metadata"]["uid"]}]
        self._put(made, 1000 + len(self.store))

    def child(self, kind: str) -> Object:
        return next(o for (k, _), o in self.world.cluster.children.items() if k == kind)

    def set_self_test(self, row: Object) -> None:
        """Let the status have this `selfTest` of the revision."""
        status = copy.deepcopy(self.world.status)
        status["revisions"][0]["selfTest"] = row
        self.world.raw["status"] = status

    async def targets(self) -> dict[str, Target]:
        asked: Any = Asked()
        clients = Clients(
            client=None,  # type: ignore[arg-type]  # because nothing is called
            store=self.store,
            poller=asked,
            cluster_read=False,
            everywhere=False,
        )
        await observe(clients, self.world.deployment)
        return dict(asked.targets)


async def test_our_own_head_is_asked_with_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    deployed = Deployed(monkeypatch)
    deployed.add_pod("head", "head-0", deployed.child("StatefulSet"))
    targets = await deployed.targets()
    assert targets["head-0"].token
    assert deployed.world.cluster.tokens[deployed.runtime] == targets["head-0"].token


@pytest.mark.parametrize("owner", ["nobody", "Deployment"])
async def test_a_pod_that_only_calls_itself_a_head_is_sent_no_token(
    monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    deployed = Deployed(monkeypatch)
    deployed.add_pod("head", "false-head", None if owner == "nobody" else deployed.child(owner))
    assert "false-head" not in await deployed.targets()


async def test_a_token_is_in_no_picture_of_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    deployed = Deployed(monkeypatch)
    deployed.add_pod("head", "head-0", deployed.child("StatefulSet"))
    found = (await deployed.targets())["head-0"]
    assert str(found.token) not in repr(found)


async def test_a_gateway_is_asked_and_a_replica_only_where_somebody_uses_what_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployed = Deployed(monkeypatch)
    deployed.add_pod("gateway", "gateway-0", None)
    deployed.add_pod("worker", "worker-0", None)
    said = {
        "reference": "-2.9000",
        "referenceFrom": "Transformers",
        "replicas": [{"pod": "worker-0", "score": "-2.901"}],
    }
    deployed.set_self_test(said | {"replicas": []})
    assert (await deployed.targets()).keys() == {"gateway-0", "worker-0"}
    deployed.set_self_test(said)
    targets = await deployed.targets()
    assert targets.keys() == {"gateway-0"}
    assert targets["gateway-0"].port == names.AGENT_PORT
    deployed.world.edit(scaling={"maxReplicas": 2, "targets": {"ttft": {"milliseconds": 500}}})
    assert (await deployed.targets()).keys() == {"gateway-0", "worker-0"}
