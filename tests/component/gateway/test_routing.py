"""What a client sees of a gateway whose replicas are there."""

import asyncio
import json

import pytest
from tests.component.gateway.conftest import NewReplica
from tests.component.gateway.pod import CHAT, SERVICE, Pod, row, until
from tests.support.stats_contract import check

pytestmark = pytest.mark.component


async def test_a_request_reaches_a_replica_and_says_who_answered(
    pod: Pod, replicas: NewReplica
) -> None:
    one, two = await replicas(), await replicas()
    wanted = pod.write_routes()
    pod.write_endpoints(one.host, two.host)
    await pod.up()
    await pod.serving(2)

    status, body, headers = await pod.ask(
        x_llm_arm="mine", x_llm_revision="7", x_llm_other="1", Authorization="Bearer secret"
    )

    assert status == 200
    told = body["told"]
    assert (told["x-llm-arm"], told["x-llm-revision"]) == ("main", "1")
    assert "x-llm-other" not in told
    assert "authorization" not in told
    assert (headers["x-llm-arm"], headers["x-llm-revision"]) == ("main", "1")
    assert "x-llm-extra" not in headers
    assert headers["x-request-id"].split(".")[0] == told["x-request-id"]
    assert headers["x-llm-feedback-id"] == headers["x-request-id"]
    _, _, headers = await pod.ask(x_request_id="mine")
    assert headers["x-request-id"] == "mine"
    hosts = {(await pod.ask())[1]["host"] for _ in range(6)}
    assert hosts == {one.host, two.host}

    async def counted() -> bool:
        return bool((await pod.stats())["routes"][0]["requests"]["2xx"] == 8)

    await until(counted, 2, "8 requests counted")
    stats = await pod.stats()
    check("gateway", stats)
    assert stats["routesHash"] == wanted
    assert (stats["held"], stats["refused"]) == (0, 0)
    assert stats["routes"][0]["durationSeconds"]["count"] == 8
    assert stats["services"][SERVICE] == {"servers": 2, "up": 2, "requests": 8}
    status, metrics = await pod.agent("/metrics")
    assert status == 200
    labels = f'arm="main",code="200",name="chat",namespace="{pod.cluster.namespace}",revision="1"'
    assert f"llmdeployment_gateway_requests_total{{{labels}}} 8.0" in metrics
    assert "process_open_fds" in metrics
    async with pod.session.post("/v1/chat/completions", json={**CHAT, "stream": True}) as stream:
        await stream.content.readline()
        # One that is under way counts: autoscaling asks what came, not what ended.
        assert (await pod.stats())["services"][SERVICE]["requests"] == 9
        await stream.text()


async def test_what_is_not_served_is_refused_in_openais_words(
    pod: Pod, replicas: NewReplica
) -> None:
    replica = await replicas()
    pod.write_routes()
    pod.write_endpoints(replica.host)
    await pod.up()

    status, body, headers = await pod.ask(path="/v1/audio/speech")
    assert (status, body["error"]["code"]) == (404, "unknown_url")
    assert "x-request-id" in headers
    status, body, _ = await pod.ask({"text": "x" * 5 * 2**20})
    assert (status, body["error"]["code"]) == (413, "body_too_large")
    status, _, _ = await pod.ask({"text": "x" * 3 * 2**20})
    assert status == 200
    refused = {
        f'llmdeployment_gateway_requests_total{{arm="",code="{code}",name="chat",namespace="{pod.cluster.namespace}",revision=""}} 1.0'
        for code in (404, 413)
    }

    async def counted() -> bool:
        return refused <= set((await pod.agent("/metrics"))[1].splitlines())

    await until(counted, 2, "what HAProxy refused is counted, for no revision")
    async with pod.session.get("/v1/chat/completions") as answer:
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        assert (await answer.json())["error"]["type"] == "invalid_request_error"
    for path in ("/v1/models", "/v1/models/chat"):
        async with pod.session.get(path) as answer:
            assert answer.status == 200
    async with pod.session.get("/metrics") as answer:
        assert answer.status == 404


async def test_buckets_split_by_user_and_stay_where_they_are(
    pod: Pod, replicas: NewReplica
) -> None:
    old, new = await replicas(), await replicas()
    other = "chat-5e6f7a8b"
    pod.write_endpoints(old.host)
    pod.write_endpoints(new.host, service=other)
    pod.write_routes([row(other, 2, below=2000), row()])
    await pod.up()
    await pod.serving(1)
    await pod.serving(1, other)

    async def split() -> dict[str, str]:
        found = {}
        for user in range(200):
            _, body, headers = await pod.ask(x_user=f"user-{user}")
            assert (headers["x-llm-revision"] == "2") == (body["host"] == new.host)
            found[f"user-{user}"] = headers["x-llm-revision"]
        return found

    first = await split()
    assert 20 <= sum(revision == "2" for revision in first.values()) <= 62
    await pod.applied(pod.write_routes([row(other, 2, below=5000), row()]))
    second = await split()
    assert not [user for user in first if first[user] == "2" and second[user] == "1"]
    assert 70 <= sum(revision == "2" for revision in second.values()) <= 130

    # Nobody in particular: an exact split, not a lucky one.
    nobody = [(await pod.ask())[2]["x-llm-revision"] for _ in range(100)]
    assert 48 <= nobody.count("2") <= 52


async def test_routes_change_without_a_new_haproxy_and_without_cutting_streams(
    pod: Pod, replicas: NewReplica
) -> None:
    old, new = await replicas(), await replicas()
    pod.write_endpoints(old.host)
    pod.write_endpoints(new.host, service="chat-2")
    pod.write_routes()
    await pod.up()
    await pod.serving(1)

    async with pod.session.post("/v1/chat/completions", json={**CHAT, "stream": True}) as stream:
        await stream.content.readline()
        await pod.applied(pod.write_routes([row("chat-2", 2)]))
        for _ in range(10):
            _, body, headers = await pod.ask()
            assert (body["host"], headers["x-llm-revision"]) == (new.host, "2")
        assert (await stream.text()).endswith("data: [DONE]\n\n")

    assert pod.log("haproxy").count("waiting for") == 1
    assert pod.processes["haproxy"].poll() is None
    assert SERVICE not in (await pod.stats())["services"]


async def test_routes_that_cannot_be_read_change_nothing_and_say_so(
    pod: Pod, replicas: NewReplica
) -> None:
    replica = await replicas()
    pod.write_endpoints(replica.host)
    wanted = pod.write_routes()
    await pod.up()
    await pod.serving(1)

    pod.write_routes([row(below=5000)])

    async def unready() -> bool:
        status, text = await pod.agent("/readyz")
        return status == 503 and "routes" in text

    await until(unready, 5, "unready")
    assert (await pod.ask())[0] == 200
    assert (await pod.stats())["routesHash"] == wanted
    pod.write_routes()
    await until(pod.ready, 5, "ready again")


async def test_keys_are_asked_for_and_rotate(pod: Pod, replicas: NewReplica) -> None:
    replica = await replicas()
    pod.env["LLMD_AUTH"] = "apikey"
    pod.write_key("alice", "sk-alice\n")
    pod.write_endpoints(replica.host)
    pod.write_routes()
    await pod.up()
    await pod.serving(1)

    assert (await pod.ask(Authorization="Bearer sk-alice"))[0] == 200
    status, body, _ = await pod.ask(x_api_key="sk-alice")
    assert status == 200
    assert "x-api-key" not in body["told"]
    for wrong in (
        {},
        {"Authorization": "Bearer sk-bob"},
        {"Authorization": "Basic sk-alice"},
        {"x-api-key": "sk-bob"},
    ):
        status, body, headers = await pod.ask(**wrong)
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")
        assert headers["www-authenticate"] == "Bearer"

    pod.write_key("bob", "sk-bob")
    (pod.keys / "alice").unlink()

    async def rotated() -> bool:
        bob, alice = [
            (await pod.ask(Authorization=f"Bearer sk-{who}"))[0] for who in ("bob", "alice")
        ]
        return (bob, alice) == (200, 401)

    await until(rotated, 5, "keys rotated")
    for number in range(400):
        pod.write_key(f"key-{number}", f"sk-{number}")

    async def many() -> bool:
        return (await pod.ask(Authorization="Bearer sk-399"))[0] == 200

    await until(many, 5, "400 keys")
    everything = "".join(file.read_text() for file in pod.run.iterdir() if file.is_file())
    assert "sk-" not in everything + pod.log("agent") + pod.log("haproxy")


async def test_asking_for_keys_without_having_any_is_refused(pod: Pod) -> None:
    pod.env["LLMD_AUTH"] = "apikey"
    pod.start("agent")
    assert await asyncio.to_thread(pod.processes["agent"].wait, 10) == 1
    assert "there is no API key in" in pod.log("agent")
    assert "Traceback" not in pod.log("agent")


async def test_a_body_that_is_not_json_is_the_replicas_to_judge(
    pod: Pod, replicas: NewReplica
) -> None:
    replica = await replicas()
    replica.status = 400
    pod.write_endpoints(replica.host)
    pod.write_routes()
    await pod.up()
    async with pod.session.post("/v1/chat/completions", data="{") as answer:
        assert answer.status == 400
        assert json.loads(await answer.text()) == {"error": {"message": "full"}}
