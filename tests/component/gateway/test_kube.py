"""Lists and watches against a server that says exactly what a test wants it to."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.support.ports import free_port

from llmdeployment_gateway.kube import Kube
from llmdeployment_gateway.settings import KubeAccess

pytestmark = pytest.mark.component


class Script:
    """Answers lists and watches from two lists, then with 500 for ever."""

    def __init__(self) -> None:
        self.lists: list[list[str]] = []
        self.watches: list[list[dict[str, Any]]] = []
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        if "watch" in request.query:
            self.asked.append(f"watch {request.query['resourceVersion']}")
            if not self.watches:
                return web.Response(status=500)
            events = self.watches.pop(0)
            return web.Response(text="".join(json.dumps(event) + "\n" for event in events))
        self.asked.append("list")
        if not self.lists:
            return web.Response(status=500)
        items = [{"metadata": {"name": name}} for name in self.lists.pop(0)]
        return web.json_response({"metadata": {"resourceVersion": "5"}, "items": items})


@pytest.fixture
async def script(tmp_path: Path) -> AsyncIterator[tuple[Script, Kube]]:
    script, port = Script(), free_port()
    app = web.Application()
    app.router.add_get("/things", script.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    (tmp_path / "token").write_text("token\n")
    access = KubeAccess(f"http://127.0.0.1:{port}", tmp_path / "token", None)
    async with aiohttp.ClientSession() as session:
        yield script, Kube(access, session)
    await runner.cleanup()


def event(kind: str, version: int, name: str = "a") -> dict[str, Any]:
    return {"type": kind, "object": {"metadata": {"name": name, "resourceVersion": str(version)}}}


async def names(kube: Kube, count: int) -> list[list[str]]:
    found: list[list[str]] = []
    async for snapshot in kube.watch("/things", {}):
        found.append(sorted(snapshot))
        if len(found) == count:
            break
    return found


async def test_a_watch_goes_on_where_the_last_one_ended(script: tuple[Script, Kube]) -> None:
    server, kube = script
    server.lists = [["a"]]
    server.watches = [
        [event("ADDED", 6, "b"), event("BOOKMARK", 9)],
        [event("DELETED", 10), event("MODIFIED", 11, "b")],
    ]
    assert await names(kube, 4) == [["a"], ["a", "b"], ["b"], ["b"]]
    assert server.asked == ["list", "watch 5", "watch 9"]


async def test_a_version_that_is_gone_means_listing_again(script: tuple[Script, Kube]) -> None:
    server, kube = script
    server.lists = [["a"], ["b"]]
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}
    server.watches = [[event("ADDED", 6, "c"), gone]]
    assert await names(kube, 3) == [["a"], ["a", "c"], ["b"]]
    assert server.asked == ["list", "watch 5", "list"]


async def test_failures_are_counted_and_what_was_known_stays(script: tuple[Script, Kube]) -> None:
    server, kube = script
    server.lists = [["a"], ["a", "b"]]
    assert await names(kube, 2) == [["a"], ["a", "b"]]
    assert kube.failures == 1
