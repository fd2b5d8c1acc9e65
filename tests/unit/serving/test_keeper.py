"""What becomes of requests when their engine stops: the simulated engine, in a replica's own application and keeper."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.stats_contract import check
from tests.unit.serving.test_asgi import CHAT

from llmdeployment_serving import keeper as keepers
from llmdeployment_serving import relay as relays
from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.errors import ConfigError
from llmdeployment_serving.keeper import RESTARTS, EngineKeeper
from llmdeployment_serving.start import start_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from llmdeployment_serving.engine import Message

ARGS = {"crash-on": "killer", "decode-tokens-per-second": 1000, "batch-tokens-per-second": 100_000}
SCOPE = {
    "type": "http",
    "http_version": "1.1",
    "scheme": "http",
    "server": ("replica", 80),
    "client": ("client", 1),
    "query_string": b"",
}
GOOD, LONG, KILLER = "hello", "tell", "killer"


class Replica:
    """A replica without a socket; `ended` is why it had to end."""

    def __init__(self, app: ReplicaApp, keeper: EngineKeeper) -> None:
        self.app, self.keeper = app, keeper
        self.ended: asyncio.Task[str] | None = None

    async def ask(
        self, word: str, tokens: int = 2, *, stream: bool = False, sent: list[Message] | None = None
    ) -> tuple[int, str]:
        """Returns status and text of the answer, whose messages are added to `sent`."""
        message = {"role": "user", "content": word}
        body = {"messages": [message], "max_tokens": tokens, "ignore_eos": True, "stream": stream}
        return await self._call(
            "POST", CHAT, json.dumps(body).encode(), [] if sent is None else sent
        )

    async def check_health(self) -> int:
        """Returns the status of `/health`."""
        return (await self._call("GET", "/health", b"", []))[0]

    async def _call(
        self, method: str, path: str, body: bytes, sent: list[Message]
    ) -> tuple[int, str]:
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if asked:
                await asyncio.Event().wait()
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/json")]
        scope = {**SCOPE, "path": path, "method": method, "headers": headers}
        await self.app(scope, receive, send)
        return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:]).decode()

    async def until_busy(self, requests: int) -> None:
        await until(lambda: self.app.stats()["running"] >= requests)


def hold_starts(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Lets the next engines start only once the event is set."""
    free = asyncio.Event()

    async def start_later(config: ServingConfig) -> Any:
        await free.wait()
        return await start_engine(config)

    monkeypatch.setattr(keepers, "start_engine", start_later)
    return free


async def until(condition: Callable[[], Any]) -> None:
    while not condition():  # noqa: ASYNC110  # because nothing tells of it
        await asyncio.sleep(0.001)  # why: polling


@pytest.fixture
def replica(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(keepers, "_watch_interval_seconds", 0.001)

    @asynccontextmanager
    async def running(**args: Any) -> AsyncIterator[Replica]:
        settings = {"servedName": "chat", "engine": {"name": "simulated", "args": {**ARGS, **args}}}
        config = parse(ServingConfig, settings)
        keeper = EngineKeeper(config, await start_engine(config))
        app = ReplicaApp(config, keeper.engine, await keeper.engine.build_app())
        app.take(parse(UserConfig, {"revisions": {"1": {}}}))
        loading = asyncio.create_task(app.adapters.run())
        made = Replica(app, keeper)
        made.ended = asyncio.create_task(keeper.run(app))
        try:
            async with asyncio.timeout(20):
                yield made
        finally:
            loading.cancel()
            made.ended.cancel()
            keeper.engine.shutdown()

    return running


async def test_nothing_of_the_others_is_lost_and_the_cause_is_refused_after_two_engines(
    replica: Any,
) -> None:
    async with replica() as found:
        others = [asyncio.create_task(found.ask(f"{GOOD} {n}", 500)) for n in range(5)]
        await found.until_busy(5)
        status, text = await found.ask(KILLER)
        error = json.loads(text)["error"]
        assert (status, error["code"], error["type"]) == (
            422,
            "engine_crash",
            "invalid_request_error",
        )
        assert [answer[0] for answer in await asyncio.gather(*others)] == [200] * 5
        assert found.app.stats()["engineRestarts"] == 2

        assert (await found.ask(KILLER))[0] == 422
        assert (await found.ask(GOOD))[0] == 200
        assert found.app.stats()["engineRestarts"] == 2
        assert not found.ended.done()


async def test_a_request_that_is_no_cause_is_answered_as_if_nothing_had_been(replica: Any) -> None:
    async with replica() as found:
        asked = asyncio.create_task(found.ask(GOOD, 100))
        await found.until_busy(1)
        found.keeper.engine._crash()  # because no request is the cause
        status, text = await asked
        assert status == 200
        assert json.loads(text)["usage"]["completion_tokens"] == 100
        assert found.app.stats()["engineRestarts"] == 1


async def test_a_stream_that_had_begun_ends_with_an_error_event_and_one_that_had_not_is_whole(
    replica: Any,
) -> None:
    async with replica(**{"max-num-seqs": 1}) as found:
        sent: list[Message] = []
        begun = asyncio.create_task(found.ask(LONG, 4000, stream=True, sent=sent))
        await until(lambda: sent)
        queued = asyncio.create_task(found.ask(GOOD, 3, stream=True))
        await until(lambda: found.app.stats()["waiting"])
        found.keeper.engine._crash()  # because no request is the cause
        status, text = await begun
        *_, event, end, _ = text.split("\n\n")
        assert (status, end) == (200, "data: [DONE]")
        assert "The engine stopped while it worked on this request." in event
        status, text = await queued
        assert status == 200
        assert text.count('"content"') == 4  # the role, and 3 tokens
        assert "The engine stopped" not in text


async def test_while_there_is_no_engine_requests_wait_and_health_says_so(
    replica: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = hold_starts(monkeypatch)
    async with replica() as found:
        assert await found.check_health() == 200
        found.keeper.engine._crash()  # because no request is the cause
        asked = [asyncio.create_task(found.ask(f"{GOOD} {number}")) for number in range(3)]
        await until(lambda: found.keeper.find_failure(found.app) is None)
        assert await found.check_health() == 503
        assert found.app.stats()["inFlight"] == 3
        assert not any(each.done() for each in asked)
        free.set()
        assert [status for status, _ in await asyncio.gather(*asked)] == [200] * 3
        assert await found.check_health() == 200


async def test_counts_go_on_with_the_next_engine_and_who_waits_is_counted(
    replica: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = hold_starts(monkeypatch)
    async with replica() as found:
        await found.ask(GOOD, 30)
        found.keeper.engine._crash()  # because no request is the cause
        asked = asyncio.create_task(found.ask(GOOD, 12))
        await until(lambda: found.app.stats()["waiting"] == 1)
        await until(lambda: found.keeper.find_failure(found.app) is None)
        between = found.app.stats()
        check("replica", between)
        assert (between["running"], between["waiting"]) == (0, 1)
        assert between["generationTokens"] == 30
        free.set()
        await asked
        after = found.app.stats()
        assert after["generationTokens"] == 42
        assert after["histograms"]["e2e"]["count"] == 2
        assert after["histograms"]["itl"]["buckets"][-1] == ["+Inf", 29 + 11]
        assert after["waiting"] == 0


async def test_the_newest_goes_first_and_alone(
    replica: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replica() as found:
        order: list[str] = []
        monkeypatch.setattr(
            relays, "hash_request", lambda _, body: json.loads(body)["messages"][0]["content"]
        )
        asked = [asyncio.create_task(found.ask(f"{word}", 50)) for word in ("one", "two", "three")]
        await found.until_busy(3)
        attempt = relays.Relay._try  # because the order is seen nowhere else

        async def note(self: relays.Relay, request: str, *rest: Any) -> bool:
            order.append(f"{request} begins")
            answered = await attempt(self, request, *rest)
            order.append(f"{request} ends")
            return answered

        monkeypatch.setattr(relays.Relay, "_try", note)
        found.keeper.engine._crash()  # because no request is the cause
        assert [status for status, _ in await asyncio.gather(*asked)] == [200] * 3
        assert order[:2] == ["three begins", "three ends"]
        assert set(order[2:4]) == {"one begins", "two begins"}


async def test_one_whose_client_leaves_holds_up_nobody(
    replica: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = hold_starts(monkeypatch)
    async with replica() as found:
        stays, leaves = (asyncio.create_task(found.ask(word, 100)) for word in (GOOD, LONG))
        await found.until_busy(2)
        found.keeper.engine._crash()  # because no request is the cause
        await until(lambda: found.app.stats()["waiting"] == 2)
        leaves.cancel()
        await until(lambda: found.app.stats()["inFlight"] == 1)
        free.set()
        assert (await stays)[0] == 200
        assert leaves.cancelled()


async def test_one_that_takes_long_does_not_hold_up_the_others(
    replica: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert relays.ALONE_SECONDS == 10
    monkeypatch.setattr(relays, "ALONE_SECONDS", 0.01)
    async with replica() as found:
        asked = [
            asyncio.create_task(found.ask(GOOD, 10)),
            asyncio.create_task(found.ask(LONG, 1000)),
        ]
        await found.until_busy(2)
        found.keeper.engine._crash()  # because no request is the cause
        assert (await asked[0])[0] == 200
        assert not asked[1].done()
        assert (await asked[1])[0] == 200


async def test_of_several_that_two_engines_stopped_under_none_is_called_the_cause(
    replica: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "ALONE_SECONDS", 0.01)
    async with replica() as found:
        asked = [asyncio.create_task(found.ask(word, 1000)) for word in (GOOD, LONG)]
        for number in range(2):
            await found.until_busy(2)
            assert found.app.stats()["engineRestarts"] == number
            found.keeper.engine._crash()  # because no request is the cause
            await until(lambda: found.app.stats()["running"] == 0)
        assert [status for status, _ in await asyncio.gather(*asked)] == [422, 422]
        assert [(await found.ask(word))[0] for word in (GOOD, LONG)] == [200, 200]


async def test_engines_that_stop_again_and_again_end_the_replica(replica: Any) -> None:
    assert RESTARTS == 3
    async with replica() as found:
        for number in range(RESTARTS):
            found.keeper.engine._crash()  # because no request is the cause
            assert (await found.ask(GOOD))[0] == 200
            assert found.app.stats()["engineRestarts"] == number + 1
        found.keeper.engine._crash()  # because no request is the cause
        assert "the simulated engine stopped" in await found.ended


async def test_who_waits_for_an_engine_that_does_not_start_gets_an_error(
    replica: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: ServingConfig) -> Any:
        raise ConfigError("no memory")

    monkeypatch.setattr(keepers, "start_engine", fail)
    async with replica() as found:
        asked = asyncio.create_task(found.ask(GOOD, 1000))
        await found.until_busy(1)
        found.keeper.engine._crash()  # because no request is the cause
        assert "the next one did not start: ConfigError('no memory')" in await found.ended
        found.app.give_up()
        status, text = await asked
        # not 503, which the gateway would send to another replica
        assert status == 500
        assert "The engine stopped while it worked on this request." in text
        assert (await found.ask(LONG))[0] == 500


async def test_an_engine_that_computes_wrongly_is_not_followed_by_another(replica: Any) -> None:
    async with replica() as found:
        found.app.self_test.fault = "the self-test failed"
        assert await found.ended == "the self-test failed"


async def test_adapters_are_loaded_into_the_next_engine(replica: Any, tmp_path: Any) -> None:
    adapter = {"name": "legal", "path": str(tmp_path)}
    async with replica() as found:
        found.app.take(parse(UserConfig, {"revisions": {"1": {"adapters": [adapter]}}}))
        await found.app.adapters.wait_until_settled()
        found.keeper.engine._crash()  # because no request is the cause
        await until(lambda: found.app.stats()["engineRestarts"])
        assert found.keeper.engine._adapters  # because the engine has no other word for it
        assert found.app.stats()["revisions"]["1"]["adapters"] == {"legal": "loaded"}
