"""Ways in the cluster: Services by their names, and the one pod of the operator that acts."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import aiohttp
import pytest
from tests.unit.console.fakes import Clock
from tests.unit.console.pods import Pod, run_pod

from llmdeployment_cli.errors import Refusal
from llmdeployment_console import services
from llmdeployment_console.services import Services, resolve_name

OPERATOR = ("llm-system", "deploy/llm", 8080)


async def test_a_service_has_its_name() -> None:
    async with aiohttp.ClientSession() as session:
        ways = Services(session, "live.llm-system.svc")
        assert await ways.find(("shop", "svc/chat-4", 80)) == "http://chat-4.shop.svc:80"
        await ways.drop(("shop", "svc/chat-4", 80))


@contextmanager
def run_operators(*states: str) -> Iterator[tuple[list[str], list[type[Pod]]]]:
    """Run pods of the operator, and yield their bases."""
    with ExitStack() as stack:
        found = [stack.enter_context(run_pod(**{"/readyz": state})) for state in states]
        yield [base for base, _ in found], [pod for _, pod in found]


async def find(bases: list[str], monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Services:
    async def resolve(name: str, port: int) -> list[str]:
        assert (name, port) == ("live.llm-system.svc", 8080)
        return bases

    # The addresses of pods differ; on this machine their ports do.
    monkeypatch.setattr(services, "locate", lambda base, _: base)
    return Services(aiohttp.ClientSession(), "live.llm-system.svc", resolve, clock)


async def test_points_come_from_the_pod_that_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    with run_operators("standby", "ok") as (bases, pods):
        ways = await find(bases, monkeypatch, clock)
        async with ways._session:
            assert await ways.find(OPERATOR) == bases[1]
            pods[0].documents["/readyz"], pods[1].documents["/readyz"] = "ok", "standby"
            assert await ways.find(OPERATOR) == bases[1]
            clock.now += 10
            assert await ways.find(OPERATOR) == bases[0]
            pods[0].documents["/readyz"], pods[1].documents["/readyz"] = "standby", "ok"
            await ways.drop(OPERATOR)
            assert await ways.find(OPERATOR) == bases[1]


async def test_without_a_pod_that_acts_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with run_operators("standby") as (bases, _):
        ways = await find([*bases, "http://127.0.0.1:1"], monkeypatch, Clock())
        async with ways._session:
            with pytest.raises(Refusal, match="acts now"):
                await ways.find(OPERATOR)


async def test_a_name_that_leads_nowhere_is_named() -> None:
    async def resolve(_: str, __: int) -> list[str]:
        raise OSError("no such name")

    async with aiohttp.ClientSession() as session:
        with pytest.raises(Refusal, match="leads to no pod"):
            await Services(session, "live.llm-system.svc", resolve).find(OPERATOR)


async def test_addresses_are_found_and_written_as_a_url_has_them() -> None:
    assert urlsplit(f"http://{(await resolve_name('127.0.0.1', 80))[0]}").hostname == "127.0.0.1"
    assert services.locate("::1", 80) == "http://[::1]:80"
    assert services.locate("10.0.0.1", 80) == "http://10.0.0.1:80"
