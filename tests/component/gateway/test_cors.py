"""What a browser gets from the real HAProxy: answers to its preflights, and the headers without which it shows a page nothing."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest
from tests.component.gateway.conftest import NewReplica
from tests.component.gateway.pod import CHAT
from tests.component.gateway.test_bodies import PATH, SECONDS, run_haproxy, wait_for

from llmdeployment_gateway.cors import Cors, parse_cors

pytestmark = pytest.mark.component

PAGE, OTHER = "https://chat.example.com", "https://evil.example"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang",
}
ALLOWED = (PAGE, "http://localhost:3000", "https://a.example.org", "https://a.b.example.org")
REFUSED = (
    OTHER,
    "https://example.org",
    "https://chat.example.com.evil.example",
    "https://evil.example/.example.org",
    "https://aXexample.org",
    "http://a.example.org",
    "http://localhost:3001",
    "null",
    "*",
)


def pages(**more: object) -> Cors:
    origins = [PAGE, "http://localhost:3000", "https://*.example.org"]
    return parse_cors(json.dumps({"allowOrigins": origins, **more}))


class Browser:
    """Asks a gateway."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session

    async def send(
        self, method: str, origin: str | None, path: str = PATH, **headers: str
    ) -> tuple[int, Mapping[str, str]]:
        sent = {**headers, **({"origin": origin} if origin else {})}
        body = CHAT if method == "POST" else None
        async with self._session.request(
            method, self._url + path, json=body, headers=sent
        ) as answer:
            text = await answer.text()
            if answer.status >= 400:
                assert json.loads(text)["error"]["message"]
            return answer.status, answer.headers

    async def preflight(self, origin: str) -> tuple[int, Mapping[str, str]]:
        return await self.send("OPTIONS", origin, **PREFLIGHT)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with asyncio.timeout(SECONDS), aiohttp.ClientSession() as found:
        yield found


async def test_pages_that_are_named_may_read_answers_and_others_not(
    replicas: NewReplica, session: aiohttp.ClientSession
) -> None:
    replica = await replicas()
    with run_haproxy(replica.host, cors=pages(exposeHeaders=["x-own"], maxAge=60)) as url:
        await wait_for(url)
        browser, before = Browser(url, session), replica.answered
        for origin in ALLOWED:
            status, headers = await browser.preflight(origin)
            assert (status, headers["access-control-allow-origin"]) == (204, origin)
            asked = PREFLIGHT["access-control-request-headers"]
            assert headers["access-control-allow-headers"] == asked
            assert headers["access-control-allow-methods"] == "GET, POST"
            assert headers["access-control-max-age"] == "60"
            assert "access-control-allow-credentials" not in headers
        for origin in REFUSED:
            status, headers = await browser.preflight(origin)
            assert (status, headers["vary"]) == (403, "origin")
            assert "access-control-allow-origin" not in headers
        assert replica.answered == before

        status, headers = await browser.send("POST", PAGE)
        assert (status, headers["access-control-allow-origin"]) == (200, PAGE)
        assert headers["vary"] == "origin"
        exposed = "x-request-id, x-llm-arm, x-llm-revision, x-llm-feedback-id, retry-after, x-own"
        assert headers["access-control-expose-headers"] == exposed
        for origin in (OTHER, None):
            status, headers = await browser.send("POST", origin)
            assert (status, headers["vary"]) == (200, "origin")
            assert not [name for name in headers if name.lower().startswith("access-control-")]
        # Without what makes it a preflight it is a method like others.
        assert (await browser.send("OPTIONS", PAGE))[0] == 405


async def test_errors_can_be_read_too_and_a_preflight_needs_no_key_and_no_replica(
    replicas: NewReplica, session: aiohttp.ClientSession
) -> None:
    replica = await replicas()
    keys = {hashlib.sha256(b"sk-1").hexdigest(): "one"}
    with run_haproxy(
        replica.host, keys, auth="apikey", cors=pages(allowCredentials=True), hold_seconds=1
    ) as url:
        await wait_for(url, authorization="Bearer sk-1")
        await replica.stop()
        browser = Browser(url, session)
        assert (await browser.preflight(PAGE))[0] == 204
        key = {"authorization": "Bearer sk-1"}
        refused = {
            401: await browser.send("POST", PAGE),
            404: await browser.send("POST", PAGE, "/v1/nothing", **key),
            405: await browser.send("PUT", PAGE, **key),
            413: await browser.send("POST", PAGE, **key, **{"content-length": str(2**30)}),
            503: await browser.send("POST", PAGE, **key),
        }
        for expected, (status, headers) in refused.items():
            assert (status, headers["access-control-allow-origin"]) == (expected, PAGE)
            assert headers["access-control-allow-credentials"] == "true"
            assert "retry-after" in headers["access-control-expose-headers"]
            assert headers["x-request-id"]


async def test_all_pages_may_read_answers_if_all_are_named(
    replicas: NewReplica, session: aiohttp.ClientSession
) -> None:
    cors = parse_cors('{"allowOrigins": ["*"], "allowHeaders": ["authorization", "x-user"]}')
    replica = await replicas()
    with run_haproxy(replica.host, cors=cors) as url:
        await wait_for(url)
        browser = Browser(url, session)
        status, headers = await browser.preflight(OTHER)
        assert (status, headers["access-control-allow-origin"]) == (204, "*")
        assert headers["access-control-allow-headers"] == "authorization, x-user"
        status, headers = await browser.send("POST", OTHER)
        assert (status, headers["access-control-allow-origin"]) == (200, "*")
        assert "vary" not in headers
        _, headers = await browser.send("POST", None)
        assert "access-control-allow-origin" not in headers


async def test_without_the_field_no_page_may_whatever_the_engine_says(
    replicas: NewReplica, session: aiohttp.ClientSession
) -> None:
    replica = await replicas()
    with run_haproxy(replica.host) as url:
        await wait_for(url)
        browser = Browser(url, session)
        assert (await browser.preflight(PAGE))[0] == 405
        status, headers = await browser.send("POST", PAGE)
        assert status == 200
        assert not [name for name in headers if name.lower().startswith("access-control-")]
