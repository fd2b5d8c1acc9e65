"""What viewers may do is asked of the API server, once for all who wait, and not for longer than half a minute."""

import asyncio
import threading

import pytest
from tests.unit.console.fakes import Clock

from llmdeployment_cli.errors import Refusal
from llmdeployment_console import reviews
from llmdeployment_console.reviews import SECONDS, Reviews, Right, build_review
from llmdeployment_console.rights import ReviewedRights
from llmdeployment_console.viewers import Viewer

ADA, BOB = Viewer("ada"), Viewer("bob", ("team-b",))


class Server:
    """Says who may what, and remembers what it was asked."""

    def __init__(self, *allowed: tuple[str, Right]) -> None:
        self.allowed = set(allowed)
        self.asked: list[tuple[str, Right]] = []
        self.answers = True

    def __call__(self, viewer: Viewer, right: Right) -> bool:
        self.asked.append((viewer.user, right))
        if not self.answers:
            raise Refusal("the API server does not answer")
        return (viewer.user, right) in self.allowed


async def test_an_answer_stands_for_half_a_minute() -> None:
    clock, right = Clock(), Right.to_view("a")
    server = Server(("ada", right))
    found = Reviews(server, clock)
    assert await found.allow(ADA, right)
    server.allowed.clear()
    clock.now += SECONDS - 0.1
    assert await found.allow(ADA, right)
    assert not await found.allow(BOB, right)
    clock.now += 0.1
    assert not await found.allow(ADA, right)
    assert len(server.asked) == 3


async def test_who_waits_for_the_same_answer_gets_the_same() -> None:
    opened = threading.Event()
    server = Server(("ada", Right.to_view("a")))

    def ask(viewer: Viewer, right: Right) -> bool:
        opened.wait(10)
        return server(viewer, right)

    found = Reviews(ask)
    waiting = [asyncio.create_task(found.allow(ADA, Right.to_view("a"))) for _ in range(5)]
    await asyncio.sleep(0)  # why: all five begin
    waiting[0].cancel()
    opened.set()
    assert await asyncio.gather(*waiting[1:]) == [True] * 4
    assert len(server.asked) == 1


async def test_an_api_server_that_does_not_answer_allows_nothing() -> None:
    clock = Clock()
    server = Server(("ada", Right.to_view("a")))
    found = Reviews(server, clock)
    assert await found.allow(ADA, Right.to_view("a"))
    server.answers = False
    clock.now += SECONDS
    with pytest.raises(Refusal):
        await found.allow(ADA, Right.to_view("a"))
    server.answers = True
    assert await found.allow(ADA, Right.to_view("a"))


async def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "MOST", 3)
    server = Server()
    found = Reviews(server)
    for name in ("a", "b", "c", "d"):
        await found.allow(ADA, Right.to_view(name))
    assert len(found._known) == 3
    await found.allow(ADA, Right.to_view("d"))
    assert len(server.asked) == 4
    await found.allow(ADA, Right.to_view("a"))
    assert len(server.asked) == 5


async def test_who_lists_all_namespaces_is_asked_about_once() -> None:
    server = Server(("ada", Right.to_view("")), ("bob", Right.to_view("b")))
    rights = ReviewedRights(Reviews(server), lambda _: lambda *_: None)
    namespaces = {"a", "b", "c"}
    assert set(await rights.list_visible(ADA, namespaces)) == namespaces
    assert server.asked == [("ada", Right.to_view(""))]
    assert set(await rights.list_visible(BOB, namespaces)) == {"b"}
    assert await rights.list_visible(BOB, ["a"]) == set()


@pytest.mark.parametrize(
    ("right", "attributes"),
    [
        (Right.to_view("a"), ("list", "llmdeployment.dev", "llmdeployments", "")),
        (Right.to_change("a"), ("patch", "llmdeployment.dev", "llmdeployments", "")),
        (Right.to_chat("a"), ("create", "", "services", "proxy")),
    ],
)
def test_a_question_names_the_right(right: Right, attributes: tuple[str, ...]) -> None:
    review = build_review(BOB, right)
    spec = review["spec"]
    assert isinstance(spec, dict)
    assert (spec["user"], spec["groups"]) == ("bob", ["team-b", "system:authenticated"])
    keys = ("verb", "group", "resource", "subresource")
    assert tuple(spec["resourceAttributes"][key] for key in keys) == attributes
    assert spec["resourceAttributes"]["namespace"] == "a"
