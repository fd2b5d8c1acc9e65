"""The simulated engine in a real Ray cluster of two nodes. One cluster for the file, so the order of the tests matters: the one that
kills the replica comes last."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import threading
import urllib.request
from typing import TYPE_CHECKING, Any, Self

import openai
import pytest
from tests.support.ray_runtime import status_of, until
from tests.support.stats_contract import check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.ray_runtime import RayRuntime

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]
HELLO: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture
def client(ray_runtime: RayRuntime) -> Iterator[openai.OpenAI]:
    url = ray_runtime.replica_url("/v1")
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


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
    before = ray_runtime.stats()["revisions"]["1"]["ttft"]["count"]
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
    after = ray_runtime.stats()
    check("replica", after)
    assert after["revisions"]["1"]["ttft"]["count"] == before + 1


def test_metrics_have_ports_of_their_own(ray_runtime: RayRuntime) -> None:
    page = read(ray_runtime.metrics_url())
    labels = 'engine="simulated",model="chat",name="shop",namespace="team"'
    assert f"llmdeployment_requests_running{{{labels}}} 0.0" in page
    assert f'llmdeployment_requests_total{{code="200",{labels},revision="1"}}' in page
    for path in ("/v1/models", "/stats", "/-/healthz"):
        assert status_of(ray_runtime.metrics_url(path)) == 404
        assert status_of(ray_runtime.replica_url(path)) == 200
    assert status_of(ray_runtime.replica_url("/metrics")) == 404
    ray = f"http://127.0.0.1:{ray_runtime.ray_metrics_port}"
    until(lambda: "\nray_" in read(f"{ray}/metrics"), seconds=60, what="Ray's metrics")
    # Ray's page is the same at every path, so nothing else is there.
    assert "\nray_" in read(f"{ray}/api/serve/applications/")


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # because it is http to this machine
        return str(answer.read().decode())


def test_what_was_put_is_what_get_returns(
    ray_runtime: RayRuntime, put_document: dict[str, Any]
) -> None:
    application = ray_runtime.application()

    assert application["deployed_app_config"] == put_document["applications"][0]


def test_the_head_wants_its_token(ray_runtime: RayRuntime) -> None:
    assert ray_runtime.call("GET", "/api/serve/applications/", token="x" * 32)[0] == 403


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

    assert until(answer, seconds=120, what="the new revision") == "[simulated] Terse."
    assert [replica["pid"] for replica in ray_runtime.replicas()] == before


def test_a_wrong_prompt_leaves_the_replica_as_it_is(
    ray_runtime: RayRuntime, put_document: dict[str, Any]
) -> None:
    before = [replica["pid"] for replica in ray_runtime.replicas()]
    document = copy.deepcopy(put_document)
    document["applications"][0]["deployments"][0]["user_config"]["revisions"]["3"] = {"bogus": 1}
    assert ray_runtime.put(document) == 200
    try:
        until(lambda: ray_runtime.application()["status"] == "RUNNING", seconds=120, what="the PUT")

        assert [replica["pid"] for replica in ray_runtime.replicas()] == before
    finally:
        assert ray_runtime.put(put_document) == 200


def test_adapters_are_loaded_while_the_replica_runs_and_a_wrong_one_hurts_nobody(
    client: openai.OpenAI, ray_runtime: RayRuntime, put_document: dict[str, Any], tmp_path: Path
) -> None:
    before = [replica["pid"] for replica in ray_runtime.replicas()]
    document = copy.deepcopy(put_document)
    revisions = document["applications"][0]["deployments"][0]["user_config"]["revisions"]
    for number in ("2", "3"):
        (tmp_path / number).mkdir()
        legal = {"name": "legal", "path": str(tmp_path / number)}
        revisions[number] = {"adapters": [legal]}
    revisions["3"]["adapters"].append({"name": "lost", "path": "/nowhere"})
    assert ray_runtime.put(document) == 200

    def told() -> dict[str, Any]:
        rows = ray_runtime.stats()["revisions"]
        return {n: rows.get(n, {}).get("adapters", {}) for n in ("2", "3")}

    lost = "failed: there is no folder /nowhere in this pod"
    settled = {"2": {"legal": "loaded"}, "3": {"legal": "loaded", "lost": lost}}
    until(lambda: told() == settled, seconds=120, what="the adapters")
    answers = {number: ask(client, "legal", number) for number in ("2", "3")}

    assert {answer.model for answer in answers.values()} == {"legal"}
    words = {answer.choices[0].message.content for answer in answers.values()}
    assert len(words) == 2
    assert all(word.startswith("[simulated legal@") for word in words)
    assert ask(client, "chat", "1").choices[0].message.content == "[simulated]"
    with pytest.raises(
        openai.InternalServerError, match="the adapter lost of revision 3 is failed"
    ):
        ask(client, "lost", "3")
    assert {model.id for model in client.models.list(extra_headers=of("1"))} == {"chat"}
    assert {model.id for model in client.models.list(extra_headers=of("2"))} == {"chat", "legal"}
    assert ray_runtime.application()["status"] == "RUNNING"
    assert [replica["pid"] for replica in ray_runtime.replicas()] == before


def of(revision: str) -> dict[str, str]:
    return {"x-llm-revision": revision}


def ask(client: openai.OpenAI, model: str, revision: str) -> Any:
    return client.chat.completions.create(
        model=model,
        messages=HELLO,
        max_tokens=1,
        extra_headers=of(revision),
        extra_body={"ignore_eos": True},
    )


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
    until(lambda: ray_runtime.stats()["running"], seconds=120, what="the request")
    ray_runtime.scale(0)
    healthz = ray_runtime.replica_url("/-/healthz")
    until(lambda: status_of(healthz) == 503, seconds=120, what="draining")
    assert reader.is_alive(), "the stream was over before the drain began"
    reader.join(timeout=30)

    assert len(chunks) == 601
    assert chunks[-1].choices[0].finish_reason == "length"
    until(lambda: status_of(healthz) == 0, seconds=120, what="the end of the replica")


def test_scaling_up_again(client: openai.OpenAI, ray_runtime: RayRuntime) -> None:
    ray_runtime.scale(1)
    healthz = ray_runtime.replica_url("/-/healthz")

    until(lambda: status_of(healthz) == 200, seconds=120, what="a replica")
    # A new replica is not ready before it has the adapters of the revisions it is born with.
    assert ask(client, "legal", "2").model == "legal"


def test_a_pods_last_stream_ends_before_its_hook_does(
    client: openai.OpenAI, ray_runtime: RayRuntime
) -> None:
    stream = client.chat.completions.create(
        model="chat", messages=HELLO, max_tokens=300, stream=True, extra_body={"ignore_eos": True}
    )
    next(stream)
    hook = subprocess.Popen(
        [*ray_runtime.command("drain"), "--settle", "0.5"],
        env=ray_runtime.pod_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    chunks = 1
    for _ in stream:
        chunks += 1
        assert chunks > 200 or hook.poll() is None
    said, _ = hook.communicate(timeout=10)

    assert chunks == 301
    assert "no request left" in said
    assert hook.returncode == 0


def test_a_lost_head_fails_no_request(
    ray_runtime: RayRuntime, put_document: dict[str, Any]
) -> None:
    before = [replica["pid"] for replica in ray_runtime.replicas()]
    document = copy.deepcopy(put_document)
    revisions = document["applications"][0]["deployments"][0]["user_config"]["revisions"]
    revisions["9"] = {"prompt": {"system": "Again."}}
    with Load(ray_runtime.replica_url("/v1")) as load:
        until(lambda: load.answered > 20, seconds=120, what="answers")
        ray_runtime.kill_node("head")
        at_the_kill = load.answered
        until(lambda: load.answered > at_the_kill + 50, seconds=120, what="answers without a head")
        ray_runtime.start_head()

        def controlled() -> bool:
            try:
                return [item["pid"] for item in ray_runtime.replicas()] == before
            except (OSError, TypeError, KeyError):
                return False  # not up yet

        until(controlled, seconds=120, what="the head's return")
        assert ray_runtime.put(document) == 200
        until(lambda: "[simulated] Again." in load.last, seconds=120, what="the new revision")

    assert load.failures == []
    assert [replica["pid"] for replica in ray_runtime.replicas()] == before


class Load:
    """Two clients that ask all the time."""

    def __init__(self, url: str) -> None:
        self.answered = 0
        self.last = ""
        self.failures: list[str] = []
        self._over = threading.Event()
        self._url = url
        self._clients = [threading.Thread(target=self._ask) for _ in range(2)]

    def __enter__(self) -> Self:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for client in self._clients:
            client.join()

    def _ask(self) -> None:
        with openai.OpenAI(base_url=self._url, api_key="none", max_retries=0) as client:
            while not self._over.is_set():
                try:
                    reply = client.chat.completions.create(
                        model="chat", messages=HELLO, max_tokens=3, extra_body={"ignore_eos": True}
                    )
                except openai.APIError as error:
                    self.failures.append(repr(error))
                else:
                    self.answered += 1
                    self.last = reply.choices[0].message.content or ""


def test_a_killed_replica_comes_back_on_the_same_port(ray_runtime: RayRuntime) -> None:
    (replica,) = until(ray_runtime.replicas, seconds=120, what="a replica")
    healthz = ray_runtime.replica_url("/-/healthz")
    assert status_of(healthz) == 200
    os.kill(replica["pid"], signal.SIGKILL)
    until(lambda: status_of(healthz) == 0, seconds=120, what="the end of the replica")

    until(lambda: status_of(healthz) == 200, seconds=120, what="the next replica")
    (successor,) = until(ray_runtime.replicas, seconds=120, what="a replica")
    assert successor["pid"] != replica["pid"]
    scraped = lambda: status_of(ray_runtime.metrics_url()) == 200  # noqa: E731  # because it is used once
    until(scraped, seconds=60, what="the metrics of the next replica")


def test_a_replica_that_is_off_a_new_reference_ends_and_none_like_it_serves(
    ray_runtime: RayRuntime, put_document: dict[str, Any]
) -> None:
    healthz = ray_runtime.replica_url("/-/healthz")
    until(lambda: status_of(healthz) == 200, seconds=120, what="a replica")
    assert ray_runtime.stats()["selfTest"]["referenceFrom"] == "Transformers"
    document = copy.deepcopy(put_document)
    told = {"reference": -1.0, "referenceFrom": "FirstReplica"}
    document["applications"][0]["deployments"][0]["user_config"]["selfTest"] = told
    assert ray_runtime.put(document) == 200

    def message() -> str:
        deployments = ray_runtime.application().get("deployments", {})
        return str(deployments.get("replica", {}).get("message", ""))

    until(lambda: "self-test failed on pod" in message(), seconds=180, what="the message")
    assert "the reference is -1.000" in message()
    assert status_of(healthz) != 200

    assert ray_runtime.put(put_document) == 200
    until(lambda: status_of(healthz) == 200, seconds=180, what="a replica with the right reference")


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

    until(lambda: "more memory" in message(), seconds=120, what="the message")
    assert message().strip().splitlines()[-1] == (
        "llmdeployment_serving.errors.ConfigError: the model needs more memory"
    )
