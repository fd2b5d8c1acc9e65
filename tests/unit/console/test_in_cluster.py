"""A console in the cluster as two viewers meet it: each sees and does what is theirs."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.testclient import TestClient
from tests.unit.console.fakes import FakeCluster, moving, open_console
from tests.unit.console.test_identity import ENTRANCE, NAMES, SECRET

from llmdeployment_cli.errors import Refusal
from llmdeployment_console.app import Console, _watch, build_app
from llmdeployment_console.events import Places
from llmdeployment_console.identity import admit_reader
from llmdeployment_console.reviews import SECONDS, Reviews, Right
from llmdeployment_console.rights import Apply, ReadRights, ReviewedRights
from llmdeployment_console.serve import answer_probes
from llmdeployment_console.viewers import Viewer

ORIGIN = "https://llm.example.com"
SHOP, LAB = "/api/llmdeployments/shop/chat", "/api/llmdeployments/lab/chat"
PROMOTE = {"action": "promote", "preview": False}
CHAT = {"revision": 4, "messages": [{"role": "user", "content": "?"}]}


class Rules:
    """Says who may what."""

    def __init__(self) -> None:
        self.allowed = {
            ("ada", Right.to_view("shop")),
            ("ada", Right.to_change("shop")),
            ("ada", Right.to_chat("shop")),
            ("bob", Right.to_view("")),
            ("bob", Right.to_view("shop")),
            ("bob", Right.to_view("lab")),
        }
        self.answers = True

    def __call__(self, viewer: Viewer, right: Right) -> bool:
        if not self.answers:
            raise Refusal("the API server does not answer")
        return (viewer.user, right) in self.allowed


class Written:
    """What was done, and as whom."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def __call__(self, viewer: Viewer) -> Apply:
        return lambda *what: self.rows.append((viewer, *what))


class World:
    """Two namespaces, and viewers."""

    def __init__(self, console: Console, rules: Rules, written: Written, clock: Any) -> None:
        self.console, self.rules, self.written, self.clock = console, rules, written, clock
        self.app = build_app(console, ENTRANCE)

    def browse(self, user: str, **headers: str) -> TestClient:
        sent = {"authorization": f"Bearer {SECRET}", "x-forwarded-user": user, **headers}
        return TestClient(self.app, base_url=ORIGIN, headers=sent)


@asynccontextmanager
async def open_world() -> AsyncIterator[World]:
    rules, written = Rules(), Written()
    cluster = FakeCluster(moving(), moving(namespace="lab"))
    async with open_console(cluster) as (console, clock):
        console.rights = ReviewedRights(Reviews(rules, clock), written)
        console.sessions = None
        yield World(console, rules, written, clock)


def post(browser: TestClient, path: str, body: Any, **headers: str) -> Any:
    sent = {"x-llm-console": "1", "origin": ORIGIN, "content-type": "application/json", **headers}
    return browser.post(path, content=json.dumps(body), headers=sent)


def list_names(browser: TestClient) -> list[str]:
    return [each["namespace"] for each in browser.get("/api/fleet").json()["items"]]


async def test_each_sees_the_namespaces_that_they_may_list() -> None:
    async with open_world() as world:
        ada, bob, eve = (world.browse(each) for each in ("ada", "bob", "eve"))
        assert list_names(ada) == ["shop"]
        assert list_names(bob) == ["lab", "shop"]
        assert list_names(eve) == []
        assert ada.get(SHOP).status_code == bob.get(LAB).status_code == 200
        hidden, missing = ada.get(LAB), ada.get("/api/llmdeployments/lab/none")
        assert hidden.status_code == missing.status_code == 404
        # What is hidden reads as what is missing, but for the name that was asked for.
        assert (
            hidden.json()["error"]["message"].replace("chat", "none")
            == (missing.json()["error"]["message"])
        )
        assert ada.get(f"{LAB}/live").status_code == 404


async def test_each_is_shown_what_they_may_do() -> None:
    async with open_world() as world:
        ada, bob = world.browse("ada").get(SHOP).json(), world.browse("bob").get(SHOP).json()
        assert [each["possible"] for each in bob["actions"]] == [False] * len(bob["actions"])
        assert "bob may not patch LLMDeployments in namespace shop" in bob["actions"][0]["why"]
        assert ada["actions"][0]["possible"]
        assert any(each["chat"] for each in ada["revisions"])
        assert not any(each["chat"] for each in bob["revisions"])


async def test_what_is_written_is_written_as_the_viewer() -> None:
    async with open_world() as world:
        ada, bob = world.browse("ada", **{"x-forwarded-groups": "team-a"}), world.browse("bob")
        assert post(ada, f"{SHOP}/actions", PROMOTE).json() == {"applied": True}
        # Who may not is refused by the API server itself; here it is asked as whom the request says.
        assert post(bob, f"{SHOP}/actions", PROMOTE).status_code == 200
        assert [row[0] for row in world.written.rows] == [
            Viewer("ada", ("team-a",)),
            Viewer("bob"),
        ]
        assert world.written.rows[0][1:] == (("shop", "chat"), "promote", None)
        assert post(ada, f"{LAB}/actions", PROMOTE).status_code == 404
        assert post(ada, f"{SHOP}/actions", {**PROMOTE, "preview": True}).status_code == 200
        assert len(world.written.rows) == 2


async def test_who_sees_may_simulate_and_who_may_not_chat_asks_no_golden_question() -> None:
    async with open_world() as world:
        bob, eve = world.browse("bob"), world.browse("eve")
        simulated = post(bob, f"{SHOP}/what-if", {})
        # Nothing was counted here, which is as far as it comes without a right.
        assert (simulated.status_code, simulated.json()["error"]["code"]) == (409, "refused")
        assert post(eve, f"{SHOP}/what-if", {}).status_code == 404
        asked = post(bob, f"{SHOP}/golden", {"revision": 4, "number": 1})
        assert (asked.status_code, asked.json()["error"]["code"]) == (403, "no_right")
        assert eve.get(f"{SHOP}/past?hours=6").status_code == 404
        assert bob.get(f"{SHOP}/past?hours=6").json()["error"]["code"] == "no_prometheus"


async def test_only_who_may_reach_services_asks_replicas() -> None:
    async with open_world() as world:
        ada, bob = world.browse("ada"), world.browse("bob")
        refused = post(bob, f"{SHOP}/chat", CHAT)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "no_right")
        # A route that is not there yet is held to the same.
        assert post(bob, f"{SHOP}/votes", {}).status_code == 403
        assert post(ada, f"{SHOP}/votes", {}).status_code == 404
        assert post(ada, f"{SHOP}/chat", CHAT).headers["content-type"].startswith("text/event")


async def test_paths_that_no_rule_knows_are_not_answered() -> None:
    async with open_world() as world:
        bob = world.browse("bob")
        for path in ("/api/", "/api/fleet/", "/api/other", "/api/llmdeployments/shop"):
            assert bob.get(path).status_code == 404


async def test_a_stream_ends_when_its_viewer_loses_the_right() -> None:
    async with open_world() as world:
        names = []
        async for raw in _watch(world.console, Viewer("ada"), ("shop", "chat")):
            names.append(raw.partition(b"\n")[0])
            world.rules.allowed.clear()
            world.clock.now += SECONDS
        assert names == [b"event: history", b"event: deployment"][: len(names)]
        assert len(names) <= 2


async def test_an_api_server_that_does_not_say_shows_nothing() -> None:
    async with open_world() as world:
        world.rules.answers = False
        ada = world.browse("ada")
        assert ada.get(SHOP).status_code == ada.get("/api/fleet").status_code == 502


async def test_a_read_only_console_shows_everything_and_does_nothing() -> None:
    async with open_console(FakeCluster(moving()), rights=ReadRights()) as (console, _):
        console.sessions = None
        app = build_app(console, partial(admit_reader, names=NAMES))
        browser = TestClient(app, base_url="http://localhost:8080")
        assert list_names(browser) == ["shop"]
        document = browser.get(SHOP).json()
        assert {each["possible"] for each in document["actions"]} == {False}
        assert "read-only" in document["actions"][0]["why"]
        assert not any(each["chat"] for each in document["revisions"])
        headers = {"origin": "http://localhost:8080"}
        for path in ("actions", "chat"):
            assert post(browser, f"{SHOP}/{path}", PROMOTE, **headers).status_code == 403
        assert "set-cookie" not in browser.get("/?token=x").headers
        page = browser.get("/")
        assert "content-security-policy" in page.headers


async def test_a_token_in_the_address_means_nothing_in_a_cluster() -> None:
    async with open_world() as world:
        answer = world.browse("ada").get("/?token=x")
        # The page itself is not a part of this installation.
        assert answer.status_code == 503
        stranger = TestClient(world.app, base_url=ORIGIN)
        assert stranger.get("/?token=x").status_code == 401


def test_one_viewer_leaves_places_for_others() -> None:
    places, ada, bob = Places(most=5, most_each=3), Viewer("ada"), Viewer("bob")
    assert [places.take(ada) for _ in range(4)] == [True, True, True, False]
    assert [places.take(bob) for _ in range(3)] == [True, True, False]
    for viewer in (ada, ada, ada, bob):
        places.give_back(viewer)
    assert (places.open, dict(places.by_viewer)) == (1, {bob: 1})


async def test_the_kubelet_needs_no_name() -> None:
    async with open_world() as world:
        browser = TestClient(answer_probes(world.app), base_url="http://10.0.0.7:8080")
        assert (browser.get("/healthz").status_code, browser.get("/").status_code) == (200, 421)
