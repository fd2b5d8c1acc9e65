"""What `helm test` runs, against an API server and a Service in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration
from tests.support.world import NOW

from llmdeployment_operator import release_check
from llmdeployment_operator.api.types import parse
from llmdeployment_operator.kube.client import Access, api_client
from llmdeployment_operator.plan.base.conditions import (
    Condition,
    build_accepted,
    build_refused,
    merge_conditions,
)
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.release_check import CheckFailed, Target, build_deployment, read_target

TARGET = Target("team", "op-test", 0.5)
READY = build_accepted(True, None, "Revision 1 serves all requests.", NOW)
LOADING = build_accepted(False, Finding(Reason.LOADING_MODEL, "Replicas load."), "", NOW)
REFUSED = build_refused(Finding(Reason.INVALID_SPEC, "This namespace is not served."))
COLLECTION = "/apis/llmdeployment.dev/v1alpha1/namespaces/team/llmdeployments"


@dataclass
class Cluster:
    """One namespace, and the Service of what is in it."""

    passes: list[list[Condition] | None] = field(default_factory=lambda: [None, LOADING, READY])
    answers: list[tuple[int, str]] = field(default_factory=lambda: [(200, "[simulated] yes")])
    stored: dict[str, Any] | None = None
    deleted: int = 0
    forbidden: bool = False
    url: str = ""
    created: asyncio.Event = field(default_factory=asyncio.Event)

    async def create(self, request: web.Request) -> web.Response:
        if self.forbidden:
            return refuse(403, "llmdeployments.llmdeployment.dev is forbidden")
        if self.stored is not None:
            return refuse(409, "exists")
        self.stored = await request.json()
        self.created.set()
        return web.json_response(self.stored, status=201)

    async def get(self, _: web.Request) -> web.Response:
        if self.stored is None:
            return refuse(404, "not found")
        conditions = self.passes.pop(0) if len(self.passes) > 1 else self.passes[0]
        if conditions is not None:
            rows = merge_conditions(conditions, (), 1, NOW)
            self.stored["status"] = {
                "conditions": [row.model_dump(mode="json", by_alias=True) for row in rows],
                "endpoint": f"{self.url}/v1",
            }
        return web.json_response(self.stored)

    async def delete(self, _: web.Request) -> web.Response:
        self.stored = None
        self.deleted += 1
        return web.json_response({})

    async def chat(self, _: web.Request) -> web.Response:
        status, text = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.json_response({"choices": [{"message": {"content": text}}]}, status=status)


def refuse(status: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "message": message}, status=status)


@asynccontextmanager
async def serve(cluster: Cluster) -> AsyncIterator[TestServer]:
    app = web.Application()
    app.router.add_post(COLLECTION, cluster.create)
    app.router.add_get(f"{COLLECTION}/op-test", cluster.get)
    app.router.add_delete(f"{COLLECTION}/op-test", cluster.delete)
    app.router.add_post("/v1/chat/completions", cluster.chat)
    async with TestServer(app) as server:
        cluster.url = str(server.make_url("")).rstrip("/")
        yield server


async def check(cluster: Cluster) -> None:
    async with serve(cluster):
        way = Access(Configuration(host=cluster.url), inside=False)
        async with api_client(way) as api, aiohttp.ClientSession() as session:
            await release_check.check_release(api, session, TARGET)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_check, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(release_check, "ASK_SECONDS", 1)


def test_what_is_made_is_a_good_simulated_model() -> None:
    made = build_deployment(TARGET)
    made["metadata"]["uid"] = "1"
    assert parse(made).spec.engine.name == "simulated"


def test_the_chart_sets_every_variable() -> None:
    env = {"LLMD_TEST_NAMESPACE": "a", "LLMD_TEST_NAME": "b", "LLMD_TEST_SECONDS": "60"}
    assert read_target(env) == Target("a", "b", 60)
    with pytest.raises(CheckFailed, match="LLMD_TEST_NAME is not set"):
        read_target({"LLMD_TEST_NAMESPACE": "a"})


async def test_it_waits_asks_and_cleans_up(capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Cluster(answers=[(503, "not yet"), (200, "[simulated] yes")])

    await check(cluster)

    assert cluster.stored is None
    assert cluster.deleted == 1
    assert capsys.readouterr().out.splitlines() == [
        "Created LLMDeployment op-test in namespace team.",
        "Replicas load.",
        "Revision 1 serves all requests.",
        "Deleted LLMDeployment op-test.",
        "The release works. The model answered: [simulated] yes",
    ]


@pytest.mark.parametrize(
    ("cluster", "sentence"),
    [
        (Cluster(passes=[None]), "No operator has acted on it."),
        (Cluster(passes=[LOADING]), "was not ready within 0 s. Replicas load."),
        (Cluster(passes=[REFUSED]), "This namespace is not served."),
        (Cluster(answers=[(503, "queue")]), "did not answer within 1 s: 503"),
        (Cluster(answers=[(200, "Yes.")]), "is not the simulated engine's: Yes."),
    ],
    ids=["no operator", "never ready", "refused", "no answer", "another engine"],
)
async def test_a_failure_is_a_sentence_and_leaves_nothing(cluster: Cluster, sentence: str) -> None:
    with pytest.raises(CheckFailed) as failed:
        await check(cluster)

    assert sentence in str(failed.value)
    assert cluster.stored is None
    assert cluster.deleted == 1


def test_the_command_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMD_TEST_NAME", raising=False)
    monkeypatch.setenv("LLMD_TEST_NAMESPACE", "team")

    with pytest.raises(
        SystemExit, match=r"The test failed\. The variable LLMD_TEST_NAME is not set"
    ):
        release_check.main()


async def test_missing_rights_are_named() -> None:
    with pytest.raises(CheckFailed, match=r"create LLMDeployment op-test .* is forbidden"):
        await check(Cluster(forbidden=True))


async def test_what_an_earlier_test_left_is_replaced() -> None:
    cluster = Cluster(stored=build_deployment(TARGET))

    await check(cluster)

    assert cluster.deleted == 2


async def test_somebody_elses_object_is_left_alone() -> None:
    cluster = Cluster(stored={**build_deployment(TARGET), "metadata": {"name": "op-test"}})

    with pytest.raises(CheckFailed, match="is not of a test"):
        await check(cluster)

    assert cluster.deleted == 0


async def test_a_test_that_is_ended_cleans_up() -> None:
    cluster = Cluster(passes=[LOADING])
    task = asyncio.create_task(check(cluster))
    await asyncio.wait_for(cluster.created.wait(), 5)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert cluster.stored is None
