"""What a pass knows, and whom it has asked: a Ray head is sent a secret, so its labels alone are not believed."""

import base64
import copy
import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.support.world import World, admitted, pod, sample

from llmdeployment_operator.analysis.counts import CountKey, Counts
from llmdeployment_operator.kube import objects
from llmdeployment_operator.kube.observe import Clients, observe
from llmdeployment_operator.kube.poller import Answer, Target
from llmdeployment_operator.kube.recent_counts import RecentCounts
from llmdeployment_operator.kube.store import Store
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.fetching import FetchProgress
from llmdeployment_operator.plan.observed.cluster_state import ClusterState

Object = dict[str, Any]


class Asked:
    """Stands in the place of the poller: keeps who is to be asked, and says what the test says, by uid of the pod."""

    def __init__(self) -> None:
        self.targets: dict[str, Target] = {}
        self.said: dict[str, Object] = {}

    def answers(self, _: Any, targets: Mapping[str, Target]) -> Mapping[str, Answer]:
        self.targets = dict(targets)
        return {uid: Answer(1.0, self.said[uid]) for uid in targets if uid in self.said}


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
        self.versions = itertools.count(2000)
        self.poller: Any = Asked()
        self.clients = Clients(
            client=None,  # type: ignore[arg-type]  # because nothing is called
            store=self.store,
            poller=self.poller,
            cluster_read=False,
            everywhere=False,
        )

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

    def split(self, *revisions: int) -> None:
        """Let these revisions share the requests of one arm."""
        routes = self.child("ConfigMap")
        document = json.loads(routes["data"]["routes.json"])
        (row,) = document["routes"][:1]
        document["routes"] = [
            {**row, "revision": revision, "below": 5000 * (number + 1)}
            for number, revision in enumerate(revisions)
        ]
        data = {"routes.json": json.dumps(document)}
        self._put({**routes, "data": data}, next(self.versions))

    async def observe(self) -> ClusterState:
        found = await observe(self.clients, self.world.deployment)
        assert found is not None
        return found

    async def targets(self) -> dict[str, Target]:
        await self.observe()
        return dict(self.poller.targets)


async def test_the_key_for_feedback_is_read_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    deployed = Deployed(monkeypatch)
    ref = ("Secret", "simulated-gateway-feedback")
    found = await deployed.observe()
    assert found.feedback_key == deployed.world.cluster.feedback_key != ""
    assert ref in found.children
    assert list(found.tokens) == [deployed.runtime]


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
    deployed.set_self_test(said)
    # For the shares in the status, once a minute.
    assert (await deployed.targets()).keys() == {"gateway-0", "worker-0"}
    deployed.set_self_test(said | {"replicas": []})
    assert (await deployed.targets()).keys() == {"gateway-0", "worker-0"}
    deployed.set_self_test(said)
    targets = await deployed.targets()
    assert targets.keys() == {"gateway-0"}
    assert targets["gateway-0"].port == names.AGENT_PORT
    deployed.world.edit(scaling={"maxReplicas": 2, "targets": {"ttft": {"milliseconds": 500}}})
    assert (await deployed.targets()).keys() == {"gateway-0", "worker-0"}
    deployed.world.edit(scaling=None, cost={"currency": "EUR", "perReplicaHour": "1"})
    assert (await deployed.targets()).keys() == {"gateway-0", "worker-0"}


ANALYSIS = {
    "strategy": "Canary",
    "steps": [{"weight": 50, "analysis": True}],
    "analysis": {"metrics": [{"name": "errorRate"}]},
}


async def test_counts_by_group_are_asked_for_only_while_somebody_compares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployed = Deployed(monkeypatch)
    deployed.add_pod("gateway", "gateway-0", None)
    deployed.add_pod("worker", "worker-0", None)
    deployed.world.edit(scaling={"maxReplicas": 2, "targets": {"ttft": {"milliseconds": 500}}})

    async def paths() -> dict[str, str]:
        return {uid: target.path for uid, target in (await deployed.targets()).items()}

    plain = {"gateway-0": "/stats", "worker-0": "/stats"}
    assert await paths() == plain
    deployed.split(1, 2)
    assert await paths() == plain
    deployed.world.edit(rollout=ANALYSIS)
    assert await paths() == dict.fromkeys(plain, "/stats?users=true")
    deployed.split(2)
    assert await paths() == plain


def tell_users(*revisions: int, buckets: int, requests: int) -> Object:
    """Return what a gateway says that had these requests, all of user bucket 70."""
    row = {
        "arm": "main",
        "requests": {"2xx": requests, "4xx": 0, "5xx": 0},
        "byUser": [[6, requests, 0]],
        "users": base64.b64encode(buckets.to_bytes(1250, "little")).decode(),
    }
    return {"routes": [{**row, "revision": revision} for revision in revisions]}


def tell_shares(total: int, bad: int) -> Object:
    """Return what a replica says whose revision 1 gave these answers, all by users of group 6."""
    rows = {"total": total, "bad": bad, "byPromptBytes": [[1024, total, bad], ["+Inf", 0, 0]]}
    return {"revisions": {"1": {"shares": {"refusal": {**rows, "byUser": [[6, total, bad]]}}}}}


async def test_shares_are_counted_once_a_minute_and_drift_until_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployed, at = Deployed(monkeypatch), [0.0]
    deployed.clients = replace(deployed.clients, recent=RecentCounts(lambda: at[0]))
    deployed.add_pod("worker", "worker-0", None)
    deployed.world.edit(monitoring={"drift": {"metrics": ["refusal"]}})
    assert {target.path for target in (await deployed.targets()).values()} == {"/stats?users=true"}
    deployed.poller.said = {"worker-0": tell_shares(10, 1)}
    await deployed.observe()
    at[0] += 60
    deployed.poller.said = {"worker-0": tell_shares(10, 1)}
    await deployed.observe()
    deployed.poller.said = {"worker-0": tell_shares(15, 3)}
    found = await deployed.observe()
    assert found.recent == {}
    at[0] += 60
    for _ in range(2):
        found = await deployed.observe()
        # Nobody has written them yet, so they are not forgotten.
        assert found.drift_fresh[1][CountKey("refusal", "1024")] == Counts(5, 2)
        assert found.drift_fresh[1][CountKey("refusal", group=6)] == Counts(5, 2)
        assert (found.fresh, found.experiment_fresh) == ({}, {})
    at[0] += 60
    deployed.poller.said = {"worker-0": tell_shares(16, 3)}
    found = await deployed.observe()
    assert found.recent == {
        1: {CountKey("refusal", "1024"): Counts(6, 2), CountKey("refusal", "+Inf"): Counts()}
    }
    deployed.world.edit(monitoring={})
    assert (await deployed.observe()).drift_fresh == {}


async def test_a_canary_is_compared_by_the_bounded_sample_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployed = Deployed(monkeypatch)
    deployed.add_pod("gateway", "gateway-0", None)
    deployed.world.edit(rollout=ANALYSIS)
    deployed.split(1, 2)

    def tell(requests: int, bounded: int) -> Object:
        (row,) = tell_users(1, buckets=1, requests=requests)["routes"]
        votes = {"votes": 0, "badThousandths": 0, "byUser": []}
        sample = {"requests": {"2xx": bounded}, "byUser": [[6, bounded, 0]], "feedback": votes}
        sample["requests"] |= {"4xx": 0, "5xx": 0}
        return {"routes": [{**row, "bounded": sample}]}

    deployed.poller.said = {"gateway-0": tell(50, 20)}
    await deployed.observe()
    deployed.poller.said = {"gateway-0": tell(90, 24)}
    found = (await deployed.observe()).fresh[1]
    assert found[CountKey("errorRate")] == Counts(40)
    assert found[CountKey("errorRate, bounded")] == Counts(4)
    assert found[CountKey("errorRate, bounded", group=6)] == Counts(4)


async def test_users_are_united_over_gateways_while_somebody_compares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployed = Deployed(monkeypatch)
    deployed.add_pod("gateway", "gateway-0", None)
    deployed.add_pod("gateway", "gateway-1", None)
    deployed.split(1, 2)
    deployed.poller.said = {
        "gateway-0": tell_users(1, 2, 9, buckets=0b0111, requests=5),
        "gateway-1": tell_users(1, buckets=0b1100 | 1 << 9999, requests=5),
    }
    assert (await deployed.observe()).users == {}
    deployed.world.edit(rollout=ANALYSIS)
    found = await deployed.observe()
    assert (found.users, found.fresh) == ({1: 5, 2: 3}, {})
    # One ends, and the other counts on.
    deployed.poller.said = {"gateway-0": tell_users(1, 2, buckets=0b10111, requests=7)}
    found = await deployed.observe()
    assert found.users == {1: 6, 2: 4}
    groups = {key.group: counts.total for key, counts in found.fresh[1].items() if counts.total}
    assert groups == {None: 2, 6: 2}
    assert len(found.fresh[1]) == 65
    # Another revision comes, and another rollout begins.
    deployed.split(2, 3)
    assert (await deployed.observe()).users == {2: 4, 3: 0}
    deployed.split(3)
    assert (await deployed.observe()).users == {}
    deployed.split(3, 4)
    assert (await deployed.observe()).users == {3: 0, 4: 0}


def tell_shadow(compared: int) -> Object:
    """Return what a replica says that compared so many requests."""
    counts = ("failed", "skipped", "excluded", "identical", "agreementThousandths")
    row = {"stable": 1, "revision": 2, "compared": compared, **dict.fromkeys(counts, 0)}
    return {"revisions": {}, "shadows": [{**row, "shares": {}}]}


async def test_replicas_are_asked_for_a_shadow_while_it_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployed = Deployed(monkeypatch)
    deployed.add_pod("gateway", "gateway-0", None)
    deployed.add_pod("worker", "worker-0", None)
    score = {"reference": "-2.9", "referenceFrom": "Transformers"}
    deployed.set_self_test(score | {"replicas": [{"pod": "worker-0", "score": "-2.9"}]})
    deployed.world.edit(rollout={"shadow": {"minAgreementPercent": 80}})
    assert deployed.world.raw["status"]["arms"]
    deployed.poller.said = {"worker-0": tell_shadow(5)}

    async def count(result: str) -> Object:
        arms = copy.deepcopy(deployed.world.status["arms"])
        arms[0]["shadow"] = {"startedAt": "2026-01-02T03:04:05Z", "result": result}
        deployed.world.raw["status"]["arms"] = arms
        return dict((await deployed.observe()).shadow_fresh)

    # The first pass asks for the shares in the status.
    await count("Passed")
    assert await count("Passed") == {}
    assert deployed.poller.targets.keys() == {"gateway-0"}
    assert await count("Running") == {}
    assert deployed.poller.targets.keys() == {"gateway-0", "worker-0"}
    assert deployed.poller.targets["worker-0"].path == "/stats"
    deployed.poller.said = {"worker-0": tell_shadow(8)}
    compared = CountKey("shadow/compared", "1")
    for _ in range(2):
        assert (await count("Running"))[2][compared] == Counts(3, 0)
    deployed.clients.shadow_cache.mark_reported(("team", "simulated"))
    # A replica that began anew takes nothing back.
    deployed.poller.said = {"worker-0": tell_shadow(2)}
    assert (await count("Running"))[2][compared] == Counts(2, 0)
    # The next shadow begins with nothing of this one, and so does another LLMDeployment of this name.
    assert await count("Refused") == {}
    assert await count("Running") == {}
    deployed.poller.forget = lambda _: None
    deployed.clients.forget(("team", "simulated"))
    deployed.poller.said = {"worker-0": tell_shadow(9)}
    assert await count("Running") == {}


EXPERIMENT = {
    "control": "a",
    "metrics": [{"name": "errorRate"}],
    "minimumEffectPercent": 3,
    "maxDuration": "1d",
}


async def test_an_experiment_has_counts_of_its_own_until_it_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployed = Deployed(monkeypatch)
    deployed.add_pod("gateway", "gateway-0", None)
    deployed.add_pod("worker", "worker-0", None)
    arms = [{"name": name, "weight": 50} for name in ("a", "b")]
    deployed.world.edit(arms=arms, experiment=EXPERIMENT)
    deployed.poller.said = {"gateway-0": tell_users(1, buckets=0b11, requests=5)}
    found = await deployed.observe()
    targets = deployed.poller.targets.values()
    assert {target.path for target in targets} == {"/stats?users=true"}
    assert found.experiment_fresh == {}
    deployed.poller.said = {"gateway-0": tell_users(1, buckets=0b111, requests=9)}
    for _ in range(2):
        found = await deployed.observe()
        # Nobody has written them yet, so they are not forgotten.
        assert found.experiment_fresh[1][CountKey("errorRate")] == Counts(4, 0)
        assert (found.fresh, found.users) == ({}, {})
        assert found.experiment_users == {1: 3}

    ended = {"startedAt": "2026-01-02T03:04:05Z", "writtenAt": "2026-01-02T03:04:05Z"}
    ended["endedAt"] = "2026-01-03T03:04:05Z"
    deployed.world.raw = {**deployed.world.raw, "status": {"experiment": ended}}
    found = await deployed.observe()
    assert (found.experiment_fresh, found.experiment_users) == ({}, {})
    assert {target.path for target in deployed.poller.targets.values()} == {"/stats"}


async def test_a_pod_that_downloads_is_asked_how_far_it_is_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployed = Deployed(monkeypatch)
    made = pod("worker", "w", deployed.runtime, podIP="198.18.0.9")
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    made["status"]["initContainerStatuses"] = [{"name": "fetch-model", "state": state}]
    made["metadata"]["uid"] = "w"
    deployed._put(made, 1500)
    deployed.poller.said["w"] = {"bytes": 1, "totalBytes": 2, "bytesPerSecond": 3}
    found = await deployed.observe()
    target = deployed.poller.targets["w"]
    assert (target.port, target.path) == (names.REPLICA_PORT, "/-/fetch")
    assert found.fetches == {"w": FetchProgress(1, 2, 3)}
    assert (found.adapters, found.samples) == ({}, {})
