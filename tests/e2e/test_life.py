"""One LLMDeployment through its life, under load where it matters: nobody's request fails."""

import asyncio
import threading
from collections.abc import Callable

import aiohttp
import pytest
from tests.support.live import Live
from tests.support.load import Load, ask
from tests.support.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

TOKENS = 1500
"""Of one long stream: 30 s at 50 tokens a second."""

Named = Callable[[str], Live]


@pytest.fixture(scope="module")
def chat(live: Named) -> Live:
    args = {"decode-tokens-per-second": 50, "crash-on": "killer"}
    engine = {"name": "simulated", "args": args}
    return live("chat").create(prompt={"system": "First."}, engine=engine).until_ready()


def test_it_answers_as_the_revision_it_is(chat: Live) -> None:
    status, body, headers = ask(chat.url, "chat", "how are you")
    assert status == 200
    assert body["choices"][0]["message"]["content"].startswith("[simulated] First. how are you")
    assert headers["x-llm-revision"] == "1"
    assert ask(chat.url, "other")[0] == 404


def start_stream(url: str) -> tuple[list[int], threading.Thread]:
    """Read a stream of TOKENS in a thread, which then puts what `streamed` returns into the list."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(streamed(url, TOKENS))))
    thread.start()
    return found, thread


async def streamed(url: str, tokens: int) -> int:
    """Read one stream to its end and return its number of chunks with text."""
    body = {
        "model": "chat",
        "messages": [{"role": "user", "content": "go on"}],
        "stream": True,
        "max_tokens": tokens,
        "ignore_eos": True,
    }
    chunks, ended = 0, False
    timeout = aiohttp.ClientTimeout(total=200)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(f"{url}/chat/completions", json=body) as answer,
    ):
        async for line in answer.content:
            chunks += b'"content"' in line and b'"content":""' not in line
            ended = ended or b"[DONE]" in line
    assert ended
    return chunks


def test_a_stream_outlives_the_operator_and_the_agent(chat: Live) -> None:
    found, thread = start_stream(chat.url)
    label = "--selector=app.kubernetes.io/name=llmdeployment-operator"
    chat.kube.system.run("delete", "pod", label, "--wait=false")
    chat.kill("gateway", "[l]lmdeployment-gateway agent", "-TERM", "--container=agent")

    def restarted() -> bool:
        (pod,) = chat.pods("gateway")
        states = {c["name"]: c for c in pod["status"]["containerStatuses"]}
        return bool(states["agent"]["restartCount"] and states["agent"]["ready"])

    until(restarted, 60, "the agent is back")
    thread.join(200)
    assert found == [TOKENS]
    chat.kube.run("rollout", "status", "deployment", label, "--timeout=60s")


def test_a_gateway_that_is_rolled_drops_nobody(chat: Live) -> None:
    old = chat.uid("gateway")
    found, thread = start_stream(chat.url)
    with Load(chat.url, "chat") as load:
        chat.kube.run("rollout", "restart", "deployment/chat-gateway")
        chat.until_replaced("gateway", old)
        until(lambda: old not in {p["metadata"]["uid"] for p in chat.pods("gateway")}, 60, "left")
        thread.join(200)
    assert load.outcome.failed == 0, load.outcome
    assert found == [TOKENS]


def test_a_new_prompt_takes_the_same_pods_and_fails_nobody(chat: Live) -> None:
    worker = chat.uid("worker")
    with Load(chat.url, "chat") as load:
        chat.edit(prompt={"system": "Second."})
        until(lambda: chat.object["status"]["traffic"] != "rev1 100%", 30, "traffic moves")
        chat.until_ready()
    assert load.outcome.failed == 0, load.outcome
    content = ask(chat.url, "chat")[1]["choices"][0]["message"]["content"]
    assert content.startswith("[simulated] Second.")
    assert chat.uid("worker") == worker


def test_a_request_that_stops_engines_is_refused_and_fails_nobody_else(chat: Live) -> None:
    worker = chat.uid("worker")
    with Load(chat.url, "chat") as load:
        until(lambda: load.answers, 60, "an answer")
        status, body, _ = ask(chat.url, "chat", "killer")
        assert (status, body["error"]["code"]) == (422, "engine_crash")
        assert ask(chat.url, "chat", "killer")[0] == 422
        assert ask(chat.url, "chat", "how are you")[0] == 200
    assert load.outcome.failed == 0, load.outcome
    assert chat.uid("worker") == worker
    log = chat.kube.run("logs", chat.pod("worker"))
    assert log.count("the next engine answers after") == 2


def test_the_ray_head_dies_and_nobody_notices(chat: Live) -> None:
    old, worker = chat.uid("head"), chat.uid("worker")
    with Load(chat.url, "chat") as load:
        chat.delete_pod("head")
        chat.until_replaced("head", old)
        until(lambda: ray_answers(chat), 90, "Ray Serve is back")
    assert load.outcome.failed == 0, load.outcome
    assert chat.uid("worker") == worker
    chat.until_ready()


def ray_answers(chat: Live) -> bool:
    """Whether the head knows its application again: asked from inside, with the pod's own token."""
    code = (
        "import json, os, urllib.request as u;"
        "r = u.Request('http://127.0.0.1:8265/api/serve/applications/',"
        " headers={'Authorization': 'Bearer ' + os.environ['RAY_AUTH_TOKEN']});"
        "print(json.load(u.urlopen(r, timeout=5))['applications']['llm']['status'])"
    )
    command = (
        "exec",
        chat.pod("head"),
        "--",
        "sh",
        "-c",
        f'python3 -c "{code}" 2>/dev/null || true',
    )
    return "RUNNING" in chat.kube.run(*command)


def test_a_worker_pod_is_deleted_and_nobody_notices(chat: Live) -> None:
    old = chat.uid("worker")
    with Load(chat.url, "chat") as load:
        chat.delete_pod("worker")
        chat.until_replaced("worker", old)
        chat.until_ready()
    assert load.outcome.failed == 0, load.outcome


def test_a_replica_that_is_killed_comes_back(chat: Live) -> None:
    chat.kill("worker", "^ray::ServeReplica", "-KILL")
    until(lambda: ask(chat.url, "chat")[0] == 200, 120, "it answers again")
    chat.until_ready()


def test_scaled_to_nothing_requests_wait_until_it_is_back(chat: Live) -> None:
    with Load(chat.url, "chat") as load:
        chat.kube.run("scale", "llm/chat", "--replicas=0")
        until(lambda: not chat.pods("worker"), 60, "no worker is left")
        until(lambda: chat.condition("Ready").get("reason") == "ScaledToZero", 30, "it says why")
        chat.kube.run("scale", "llm/chat", "--replicas=1")
        chat.until_ready(120)
    assert load.outcome.failed == 0, load.outcome


def test_another_engine_takes_over_and_the_old_one_leaves(chat: Live) -> None:
    (old,) = {p["metadata"]["labels"]["llmdeployment.dev/runtime"] for p in chat.pods("worker")}
    with Load(chat.url, "chat") as load:
        chat.edit(
            engine={"name": "simulated", "args": {"decode-tokens-per-second": 60}},
            rollout={"rollbackWindow": "0s"},
        )
        until(lambda: "rev3" in chat.object["status"].get("traffic", ""), 180, "traffic moves")
        chat.until_ready()
        until(
            lambda: not any(old in name for name in chat.left() if "Revision" not in name),
            120,
            "gone",
        )
    assert load.outcome.failed == 0, load.outcome
    assert [r["number"] for r in chat.object["status"]["revisions"]] == [1, 2, 3]


def test_a_deleted_one_leaves_nothing(chat: Live) -> None:
    chat.kube.run("delete", "llm", "chat", "--wait")
    chat.until_gone()
