"""By what a request is assigned: keys in the order of LLMD_ASSIGNMENT_KEYS, alike in every gateway pod."""

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.component.gateway.conftest import NewReplica
from tests.component.gateway.pod import CHAT, Pod, bucket, row, until

pytestmark = pytest.mark.component

BODY_OF = {
    "a string": ('{"model": "chat", "user": "alice"}', "alice"),
    "first of all": ('{"user":"alice","messages":[]}', "alice"),
    "after everything": (
        r'{"messages": [{"role": "user", "content": "a \"user\": \"x\" \\"}], "user" : "alice"}',
        "alice",
    ),
    "deep fields before it": (
        '{"a": ' + "[" * 40 + '{"user": 1}' + "]" * 40 + ', "user": "alice"}',
        "alice",
    ),
    "a number": ('{"n": -1.5e3, "t": true, "user": 42}', "42"),
    "a number no float holds": ('{"user": 12345678901234567890}', "12345678901234567890"),
    "letters as they are": ('{"user": "Zoë 张"}', "Zoë 张"),
    "letters as escapes": (r'{"user": "Zo\u00eb \u5f20"}', "Zoë 张"),
    "two halves of a character": (r'{"user": "\ud83d\ude00\/\n"}', "😀/\n"),
    "an escape that is none": (r'{"user": "\\u0041"}', r"\u0041"),
    "a brace in a string": ('{"a": "}]", "user": "alice"}', "alice"),
}
NOT_A_KEY = {
    "absent": '{"model": "chat"}',
    "null": '{"user": null}',
    "empty": '{"user": ""}',
    "an object": '{"user": {"user": "alice"}}',
    "only further down": '{"metadata": {"user": "alice"}}',
    "too long": json.dumps({"user": "a" * 257}),
    "no object": '["user", "alice"]',
    "no JSON": '{"user"',
}


async def post(
    pod: Pod, body: str | bytes | AsyncIterator[bytes], **headers: str
) -> tuple[int, dict[str, Any]]:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    async with pod.session.post("/v1/chat/completions", data=body, headers=sent) as answer:
        return answer.status, await answer.json()


async def start(pod: Pod, replicas: NewReplica, keys: str, **env: str) -> None:
    replica = await replicas()
    pod.env["LLMD_ASSIGNMENT_KEYS"] = keys
    pod.env |= env
    pod.write_endpoints(replica.host)
    pod.write_routes()
    await pod.up()
    await pod.serving(1)


async def test_a_field_of_the_body_is_a_key_and_what_is_none_is_shared_out_evenly(
    pod: Pod, replicas: NewReplica
) -> None:
    await start(pod, replicas, "Body/user")

    for name, (body, unit) in BODY_OF.items():
        status, answer = await post(pod, body.encode())
        assert (name, status, answer["told"]["x-llm-bucket"]) == (name, 200, str(bucket(unit)))
    for name, body in NOT_A_KEY.items():
        # Two of the same differ: each is the next of the sequence.
        found = {(await post(pod, body.encode()))[1]["told"]["x-llm-bucket"] for _ in range(2)}
        assert (name, len(found)) == (name, 2)
    async with pod.session.get("/v1/models") as answer:
        assert answer.status == 200


async def test_the_first_key_that_is_there_counts(pod: Pod, replicas: NewReplica) -> None:
    pod.write_key("alice", "sk-alice")
    await start(
        pod, replicas, "Header/x-session,Body/user,Header/x-user,APIKey", LLMD_AUTH="apikey"
    )
    key = {"Authorization": "Bearer sk-alice"}

    async def told(body: str, **headers: str) -> str:
        status, answer = await post(pod, body, **key, **headers)
        assert status == 200
        return str(answer["told"]["x-llm-bucket"])

    everything = {"x_session": "s, 1", "x_user": "header"}
    assert await told('{"user": "body"}', **everything) == str(bucket("s, 1"))
    assert await told('{"user": "body"}', x_user="header") == str(bucket("body"))
    assert await told("{}", x_user="header") == str(bucket("header"))
    assert await told("{}", x_session="", x_user="header") == str(bucket("header"))
    assert await told("{}", x_session="a" * 257) == str(
        bucket(hashlib.sha256(b"sk-alice").hexdigest())
    )


async def test_a_body_too_large_to_look_into_is_refused_with_what_to_send_instead(
    pod: Pod, replicas: NewReplica
) -> None:
    pod.write_key("alice", "sk-alice")
    await start(pod, replicas, "Header/x-user,Body/user,APIKey", LLMD_AUTH="apikey")
    key = {"Authorization": "Bearer sk-alice"}
    long = "x" * 300_000
    late = json.dumps({"text": long, "user": "alice"}).encode()
    early = json.dumps({"user": "alice", "text": long}).encode()

    async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 4096):
            yield body[start : start + 4096]

    for body in (late, in_pieces(late)):
        status, answer = await post(pod, body, **key)
        assert (status, answer["error"]["code"]) == (413, "body_too_large")
        assert "its field user" in answer["error"]["message"]
        assert "Send the header x-user instead." in answer["error"]["message"]
    for body in (late, in_pieces(late)):
        status, answer = await post(pod, body, x_user="header", **key)
        assert (status, answer["told"]["x-llm-bucket"]) == (200, str(bucket("header")))
    for body in (early, in_pieces(early), b'{"user": "alice"}', in_pieces(b'{"user": "alice"}')):
        status, answer = await post(pod, body, **key)
        assert (status, answer["told"]["x-llm-bucket"]) == (200, str(bucket("alice")))


async def test_two_gateways_assign_alike_and_another_salt_assigns_anew(
    pod: Pod, replicas: NewReplica
) -> None:
    old, new = await replicas(), await replicas()
    rows = [row("chat-2", 2, 5000, "b"), row(arm="c")]
    pod.write_endpoints(old.host)
    pod.write_endpoints(new.host, service="chat-2")
    pod.write_routes(rows)
    other = Pod(pod.cluster, pod.kube, pod.env["LLMD_HAPROXY"])
    try:
        for each in (pod, other):
            each.env["LLMD_ASSIGNMENT_KEYS"] = "Body/user"
            await each.up()
            await each.serving(1)
            await each.serving(1, "chat-2")

        async def arms(gateway: Pod) -> list[str]:
            answers = [await gateway.ask({**CHAT, "user": f"user-{n}"}) for n in range(200)]
            return [headers["x-llm-arm"] for _, _, headers in answers]

        first = await arms(pod)
        assert first == await arms(other)
        assert 70 <= first.count("b") <= 130

        salt = r'a;b\c"d#<<|e'
        wanted = pod.write_routes(rows, salt)
        await pod.applied(wanted)
        await other.applied(wanted)
        second = await arms(pod)
        assert second == await arms(other)
        assert 60 <= sum(a != b for a, b in zip(first, second, strict=True)) <= 140
        _, body, _ = await pod.ask({"user": "alice"})
        assert body["told"]["x-llm-bucket"] == str(bucket("alice", salt))
    finally:
        await other.close()


async def test_two_arms_of_one_revision_are_counted_apart(pod: Pod, replicas: NewReplica) -> None:
    replica, canary = await replicas(), await replicas()
    pod.write_endpoints(replica.host)
    pod.write_endpoints(canary.host, service="chat-2")
    pod.write_routes(
        [row("chat-2", 4, 500, "a"), row(revision=3, below=5000, arm="a"), row(revision=3, arm="b")]
    )
    await pod.up()
    await pod.serving(1)
    await pod.serving(1, "chat-2")

    sent = {("a", "3"): 0, ("a", "4"): 0, ("b", "3"): 0}
    for user in range(80):
        _, body, headers = await pod.ask(x_user=f"user-{user}")
        assert (body["host"] == canary.host) == (headers["x-llm-revision"] == "4")
        sent[headers["x-llm-arm"], headers["x-llm-revision"]] += 1
    assert min(sent["a", "3"], sent["b", "3"]) > 20

    async def counted() -> bool:
        found = (await pod.stats())["routes"]
        return {
            (each["arm"], str(each["revision"])): each["requests"]["2xx"] for each in found
        } == sent

    await until(counted, 3, f"counted as {sent}")
    stats = await pod.stats()
    assert set(stats["services"]) == {"chat-1a2b3c4d", "chat-2"}
    _, metrics = await pod.agent("/metrics")
    name = "llmdeployment_gateway_requests_total"
    for arm in "ab":
        labels = (
            f'arm="{arm}",code="200",name="chat",namespace="{pod.cluster.namespace}",revision="3"'
        )
        line = f"{name}{{{labels}}} {sent[arm, '3']}.0"
        assert line in metrics
