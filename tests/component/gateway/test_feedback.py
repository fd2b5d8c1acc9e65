"""Votes through the real HAProxy: it signs the ids, and the agent's server, which runs here, checks and counts them."""

import asyncio
import base64
import io
import json
import logging
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI, ConflictError
from tests.component.gateway.conftest import NewReplica, haproxy_binary
from tests.component.gateway.pod import CHAT, SALT, SERVICE, bucket, row, until
from tests.component.gateway.replica import PORT
from tests.support.ports import free_port

from llmdeployment_gateway import changes, maps, rundir
from llmdeployment_gateway.endpoints import Address
from llmdeployment_gateway.feedback import FeedbackServer, serve_feedback
from llmdeployment_gateway.forwarding import Forwarder
from llmdeployment_gateway.keys import read_keys
from llmdeployment_gateway.logs import FeedbackLog
from llmdeployment_gateway.peers import Peers
from llmdeployment_gateway.routes import Routes
from llmdeployment_gateway.settings import Settings
from llmdeployment_gateway.signed_ids import read_id
from llmdeployment_gateway.tally import GROUPS, Tally
from llmdeployment_gateway.votes import Vote, VoteError
from llmdeployment_gateway.voting import SOCKET

SECONDS = 20
KEY = bytes(range(32))
Answer = tuple[int, Any, Any]


class Gateway:
    """HAProxy in front of one replica, and what the agent does for votes."""

    def __init__(self, host: str, keys: dict[str, str]) -> None:
        # Short: a socket's path may have 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="gw-"))
        self.run = self.folder / "run"
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        (self.folder / "keys").mkdir()
        for name, key in keys.items():
            (self.folder / "keys" / name).write_text(key)
        hashes = read_keys(self.folder / "keys")
        settings = Settings(
            "team",
            "chat",
            "apikey" if keys else "none",
            run_dir=self.run,
            bind=f"127.0.0.1:{port}",
            feedback_key=KEY,
        )
        routes = Routes.model_validate(
            {"deployment": "chat", "servedName": "chat", "salt": SALT, "routes": [row()]}
        )
        endpoints = {SERVICE: frozenset({Address(host, PORT)})}
        rundir.prepare(settings, hashes)
        state = changes.build_state(routes, endpoints, hashes, {SERVICE: "slot0"})
        rundir.write_state(settings, state)
        assert state.maps[maps.KEYS].count("\n") == len(keys)
        command = [haproxy_binary(), "-db", "-f", str(self.run / rundir.CONFIG)]
        env = {"LLMD_FEEDBACK_KEY": base64.b64encode(KEY).decode()}
        self.process = subprocess.Popen(command, env=env)
        self.tally = Tally()
        self.refused = 0

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[None]:
        """Take votes. As an agent does: what the one before counted and remembered is gone."""
        self.tally = Tally()
        peers = Peers("gateway-0")
        # Since long ago: only the memory of votes begins with the agent.
        peers.see({"gateway-0": "127.0.0.1"}, time.time() - 3600)
        log = FeedbackLog(time.monotonic)
        async with aiohttp.ClientSession() as session:
            forwarder = Forwarder(session, 9090, KEY)
            server = FeedbackServer(KEY, self.tally, time.time, log, peers, forwarder)
            async with self._count_refusals(server):
                yield

    @asynccontextmanager
    async def _count_refusals(self, server: FeedbackServer) -> AsyncIterator[None]:
        take = server.take

        def count(body: bytes, owner: str) -> Vote:
            try:
                return take(body, owner)
            except VoteError:
                self.refused += 1
                raise

        server.take = count  # type: ignore[method-assign]  # because the test counts tries
        runner = await serve_feedback(server, self.run / SOCKET)
        yield
        await runner.cleanup()

    async def ask(self, key: str = "", **headers: str) -> Any:
        """Return the headers of an answer, and what the replica was told."""
        status, body, found = await self.send("/v1/chat/completions", CHAT, key, **headers)
        assert status == 200
        return found, body["told"]

    async def vote(
        self, number: object, score: object = 1, key: str = "", **more: object
    ) -> Answer:
        return await self.send("/v1/feedback", {"request_id": number, "score": score, **more}, key)

    async def send(
        self, path: str, body: object, key: str = "", method: str = "POST", **headers: str
    ) -> Answer:
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        sent |= {"authorization": f"Bearer {key}"} if key else {}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with asyncio.timeout(SECONDS), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.request(
                        method, self.url + path, data=io.BytesIO(content), headers=sent
                    ) as answer:
                        return answer.status, json.loads(await answer.text()), answer.headers
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.02)  # why: HAProxy starts

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        shutil.rmtree(self.folder)


@asynccontextmanager
async def open_gateway(replicas: NewReplica, **keys: str) -> AsyncIterator[Gateway]:
    gateway = Gateway((await replicas()).host, keys)
    try:
        async with gateway.agent():
            yield gateway
    finally:
        gateway.close()


def code(answer: Answer) -> tuple[int, str]:
    """Return status and code of a refusal, which is in OpenAI's form."""
    status, body, _ = answer
    assert body["error"].keys() == {"message", "type", "param", "code"}
    return status, body["error"]["code"]


async def test_a_vote_counts_for_the_arm_revision_and_group_of_its_request(
    replicas: NewReplica, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with open_gateway(replicas) as gateway:
        found, told = await gateway.ask(x_user="alice")
        number = found["x-llm-feedback-id"]
        assert found["x-request-id"] == number
        status, body, _ = await gateway.vote(number, 0.2, comment="too\nlong")
        assert (status, body) == (
            200,
            {"object": "feedback", "request_id": number, "score": 0.2},
        )

        signed = read_id(number, "", KEY)
        assert signed is not None
        assert (signed.arm, signed.revision, signed.bucket) == ("main", "1", bucket("alice"))
        # The replica's log has the id up to the first dot.
        assert signed.request == told["x-request-id"]
        assert abs(signed.at - time.time()) < SECONDS
        (counted,) = gateway.tally.stats_with_users([("main", "1")])
        group = [bucket("alice") % GROUPS, 1, 800]
        assert counted["feedback"] == {"votes": 1, "badThousandths": 800, "byUser": [group]}
        (line,) = [r for r in caplog.records if r.name == "feedback"]
        assert '"too\\nlong"' in line.getMessage()
        assert code(await gateway.vote(number, 1)) == (409, "feedback_given")
        (counted,) = gateway.tally.stats([("main", "1")])
        assert counted["feedback"] == {"votes": 1, "badThousandths": 800}


async def test_openais_client_knows_the_id_and_may_vote(replicas: NewReplica) -> None:
    async with open_gateway(replicas, ada="key-a") as gateway:
        await gateway.ask("key-a")
        async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="key-a") as client:
            completion = await client.chat.completions.create(
                model="chat", messages=[{"role": "user", "content": "hello"}]
            )
            vote = {"request_id": completion._request_id, "score": 0}
            assert await client.post("/feedback", body=vote, cast_to=object) == {
                "object": "feedback",
                **vote,
            }
            # Its second try would not be the first that was answered.
            with pytest.raises(ConflictError) as twice:
                await client.post("/feedback", body=vote, cast_to=object)
            assert twice.value.code == "feedback_given"
            assert gateway.refused == 1


async def test_a_client_that_chose_its_own_id_votes_with_the_gateways(replicas: NewReplica) -> None:
    async with open_gateway(replicas) as gateway:
        found, told = await gateway.ask(x_request_id="mine", x_llm_feedback_id="forged")
        assert (found["x-request-id"], told["x-request-id"]) == ("mine", "mine")
        assert code(await gateway.vote("mine")) == (404, "unknown_request_id")
        assert (await gateway.vote(found["x-llm-feedback-id"]))[0] == 200


async def test_only_answers_with_200_have_an_id(replicas: NewReplica) -> None:
    async with open_gateway(replicas) as gateway:
        await gateway.ask()
        _, _, models = await gateway.send("/v1/models", b"", method="GET")
        status, _, refused = await gateway.send("/v1/nothing", b"")
        assert status == 404
        for headers in (models, refused):
            assert "x-llm-feedback-id" not in headers
            assert len(headers["x-request-id"]) == 36


async def test_a_vote_is_of_the_key_that_asked(replicas: NewReplica) -> None:
    async with open_gateway(replicas, ada="key-a", bob="key-b") as gateway:
        found, _ = await gateway.ask("key-a")
        number = found["x-llm-feedback-id"]
        assert "key-a" not in number
        assert code(await gateway.vote(number)) == (401, "invalid_api_key")
        assert code(await gateway.vote(number, key="key-b")) == (404, "unknown_request_id")
        owner = next(iter(read_keys(gateway.folder / "keys")))
        forged = {"request_id": number, "score": 1}
        answer = await gateway.send("/v1/feedback", forged, "key-b", x_llm_owner=owner)
        assert code(answer) == (404, "unknown_request_id")
        assert (await gateway.vote(number, key="key-a"))[0] == 200


async def test_what_is_no_vote_is_refused_in_openais_words(replicas: NewReplica) -> None:
    async with open_gateway(replicas) as gateway:
        number = (await gateway.ask())[0]["x-llm-feedback-id"]
        changed = number[:-1] + ("0" if number[-1] != "0" else "1")
        assert code(await gateway.vote(changed)) == (404, "unknown_request_id")
        assert code(await gateway.vote(number, 1.5)) == (400, "invalid_feedback")
        assert code(await gateway.send("/v1/feedback", b"no JSON")) == (400, "invalid_feedback")
        large = b'{"comment": "' + b"x" * 1024 * 1024 + b'"}'
        assert code(await gateway.send("/v1/feedback", large)) == (413, "body_too_large")
        assert code(await gateway.send("/v1/feedback", b"", method="GET")) == (
            405,
            "method_not_allowed",
        )

        async def chunks() -> AsyncIterator[bytes]:
            yield b" " * 5000

        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{gateway.url}/v1/feedback", data=chunks()) as answer,
        ):
            found = answer.status, await answer.json(), None
        assert code(found) == (413, "body_too_large")
        assert (await gateway.vote(number))[0] == 200


async def test_votes_take_no_bucket_from_requests_without_a_key(replicas: NewReplica) -> None:
    async with open_gateway(replicas) as gateway:
        _, first = await gateway.ask()
        for _ in range(3):
            await gateway.vote("x")
        _, second = await gateway.ask()
        assert (int(second["x-llm-bucket"]) - int(first["x-llm-bucket"])) % 10_000 == 6101


async def test_a_restarted_agent_takes_votes_for_later_answers_only(replicas: NewReplica) -> None:
    async with open_gateway(replicas) as gateway:
        number = (await gateway.ask())[0]["x-llm-feedback-id"]
        assert (await gateway.vote(number))[0] == 200
        signed = read_id(number, "", KEY)
        assert signed is not None

        async def is_later() -> bool:
            return int(time.time()) > signed.at

        await until(is_later, SECONDS, "the next second")
        async with gateway.agent():
            status, body, _ = await gateway.vote(number)
            assert (status, body["error"]["code"]) == (410, "feedback_too_late")
            assert "restarted" in body["error"]["message"]
            later = (await gateway.ask())[0]["x-llm-feedback-id"]
            assert (await gateway.vote(later))[0] == 200


async def test_without_its_agent_a_vote_is_not_counted_and_says_so(replicas: NewReplica) -> None:
    gateway = Gateway((await replicas()).host, {})
    try:
        number = (await gateway.ask())[0]["x-llm-feedback-id"]
        answer = await gateway.vote(number)
        assert code(answer) == (503, "feedback_unavailable")
        assert answer[2]["retry-after"] == "2"
        async with gateway.agent():
            assert code(await gateway.vote(f"{number}x")) == (404, "unknown_request_id")
    finally:
        gateway.close()
