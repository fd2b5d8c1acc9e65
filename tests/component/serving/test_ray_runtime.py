"""The simulated engine in a real Ray cluster of two nodes. One cluster for the file, so the order of the tests matters: the one that
kills the replica comes last."""

from __future__ import annotations

import copy
import json
import os
import signal
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.support.ray_runtime import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.ray_runtime import RayRuntime

pytestmark = [pytest.mark.component, pytest.mark.timeout(180)]
HELLO: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture
def client(ray_runtime: RayRuntime) -> Iterator[openai.OpenAI]:
    url = ray_runtime.replica_url("/v1")
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def stats(ray_runtime: RayRuntime) -> dict[str, Any]:
    with urllib.request.urlopen(ray_runtime.replica_url("/stats"), timeout=5) as answer:
        return dict(json.load(answer))


def test_an_answer_carries_the_newest_revisions_prompt(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="chat", messages=HELLO, max_tokens=8, extra_body={"ignore_eos": True}
    )

    text = "[simulated] Answer in one sentence. hello Answer in"
    assert answer.choices[0].message.content == text
    assert answer.system_fingerprint == "simulated"


def test_a_stream_comes_in_pieces_and_is_counted_by_revision(
    client: openai.OpenAI, ray_runtime: RayRuntime
) -> None:
    before = stats(ray_runtime)["revisions"]["1"]["ttft"]["count"]
    stream = client.chat.completions.create(
        model="chat",
        messages=HELLO,
        max_tokens=20,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )
    chunks = list(stream)

    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens == 20
    assert len(chunks) == 22  # the role, 20 tokens, the usage
    assert stats(ray_runtime)["revisions"]["1"]["ttft"]["count"] == before + 1


def test_what_was_put_is_what_get_returns(
    ray_runtime: RayRuntime, put_document: dict[str, Any]
) -> None:
    application = ray_runtime.application()

    assert application["deployed_app_config"] == put_document["applications"][0]


def test_the_head_wants_its_token(ray_runtime: RayRuntime) -> None:
    assert ray_runtime.call("GET", "/api/serve/applications/", token="wrong")[0] == 403


def test_a_new_prompt_needs_no_new_process(
    client: openai.OpenAI, ray_runtime: RayRuntime, put_document: dict[str, Any]
) -> None:
    before = [replica["pid"] for replica in ray_runtime.replicas()]
    document = copy.deepcopy(put_document)
    revisions = document["applications"][0]["deployments"][0]["user_config"]["revisions"]
    revisions["2"] = {"prompt": {"system": "Terse."}}
    assert ray_runtime.put(document) == 200

    def answer() -> str | None:
        try:
            reply = client.chat.completions.create(
                model="chat",
                messages=HELLO,
                max_tokens=2,
                extra_headers={"x-llm-revision": "2"},
                extra_body={"ignore_eos": True},
            )
        except openai.InternalServerError:
            return None  # 503: the revision is not known yet
        return reply.choices[0].message.content

    assert until(answer, seconds=20, what="the new revision") == "[simulated] Terse."
    assert [replica["pid"] for replica in ray_runtime.replicas()] == before


def test_a_wrong_prompt_leaves_the_replica_as_it_is(
    ray_runtime: RayRuntime, put_document: dict[str, Any]
) -> None:
    before = [replica["pid"] for replica in ray_runtime.replicas()]
    document = copy.deepcopy(put_document)
    document["applications"][0]["deployments"][0]["user_config"]["revisions"]["3"] = {"bogus": 1}
    assert ray_runtime.put(document) == 200
    try:
        until(lambda: ray_runtime.application()["status"] == "RUNNING", seconds=20, what="the PUT")

        assert [replica["pid"] for replica in ray_runtime.replicas()] == before
    finally:
        assert ray_runtime.put(put_document) == 200


def test_a_stream_under_way_ends_whole_when_its_replica_is_told_to_go(
    client: openai.OpenAI, ray_runtime: RayRuntime
) -> None:
    chunks: list[Any] = []

    def read() -> None:
        stream = client.chat.completions.create(
            model="chat",
            messages=HELLO,
            max_tokens=600,  # 6 s
            stream=True,
            extra_body={"ignore_eos": True},
        )
        chunks.extend(stream)

    reader = threading.Thread(target=read)
    reader.start()
    until(lambda: stats(ray_runtime)["running"], seconds=10, what="the request")
    scale(ray_runtime, 0)
    healthz = ray_runtime.replica_url("/-/healthz")
    until(lambda: status_of(healthz) == 503, seconds=10, what="draining")
    assert reader.is_alive(), "the stream was over before the drain began"
    reader.join(timeout=30)

    assert len(chunks) == 601
    assert chunks[-1].choices[0].finish_reason == "length"
    until(lambda: status_of(healthz) == 0, seconds=30, what="the end of the replica")


def test_scaling_up_again(ray_runtime: RayRuntime) -> None:
    scale(ray_runtime, 1)
    healthz = ray_runtime.replica_url("/-/healthz")

    until(lambda: status_of(healthz) == 200, seconds=40, what="a replica")


def test_a_killed_replica_comes_back_on_the_same_port(ray_runtime: RayRuntime) -> None:
    (replica,) = until(ray_runtime.replicas, seconds=20, what="a replica")
    healthz = ray_runtime.replica_url("/-/healthz")
    assert status_of(healthz) == 200
    os.kill(replica["pid"], signal.SIGKILL)
    until(lambda: status_of(healthz) == 0, seconds=10, what="the end of the replica")

    until(lambda: status_of(healthz) == 200, seconds=40, what="the next replica")
    (successor,) = until(ray_runtime.replicas, seconds=20, what="a replica")
    assert successor["pid"] != replica["pid"]


def test_an_engine_that_cannot_start_says_why_in_its_last_line(
    ray_runtime: RayRuntime, put_document: dict[str, Any]
) -> None:
    document = copy.deepcopy(put_document)
    args = document["applications"][0]["args"]
    args["engine"]["args"]["fail-start"] = "the model needs more memory"
    assert ray_runtime.put(document) == 200

    def message() -> str:
        deployments = ray_runtime.application().get("deployments", {})
        return str(deployments.get("replica", {}).get("message", ""))

    until(lambda: "more memory" in message(), seconds=40, what="the message")
    assert message().strip().splitlines()[-1] == (
        "llmdeployment_serving.errors.ConfigError: the model needs more memory"
    )


def scale(ray_runtime: RayRuntime, replicas: int) -> None:
    path = "/api/v1/applications/llm/deployments/replica/scale"
    assert ray_runtime.call("POST", path, {"target_num_replicas": replicas})[0] == 200
