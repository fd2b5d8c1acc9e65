"""Clients that choose their revision or arm, where the LLMDeployment lets them."""

import asyncio

import aiohttp
import pytest
from tests.component.gateway.conftest import NewReplica
from tests.component.gateway.pod import Pod, bucket, row, until

pytestmark = pytest.mark.component

STABLE, CANARY, OTHER = "chat-1a2b3c4d", "chat-2", "chat-3"
ROWS = [row(CANARY, 4, 1000, "a"), row(STABLE, 3, 3000, "a"), row(OTHER, 5, arm="b")]


async def start(pod: Pod, replicas: NewReplica, *empty: str) -> None:
    pod.env["LLMD_FORCING"] = "true"
    pod.write_routes(ROWS)
    for service in (STABLE, CANARY, OTHER):
        replica = await replicas()
        pod.write_endpoints(*([] if service in empty else [replica.host]), service=service)
    await pod.up()
    for service in (STABLE, CANARY, OTHER):
        await pod.serving(0 if service in empty else 1, service)


async def chosen(pod: Pod, **headers: str) -> tuple[str, str]:
    status, body, got = await pod.ask(**headers)
    assert status == 200, body
    told = body["told"]
    assert (told["x-llm-arm"], told["x-llm-revision"]) == (got["x-llm-arm"], got["x-llm-revision"])
    assert "x-llm-choice" not in got
    return got["x-llm-arm"], got["x-llm-revision"]


async def refused(pod: Pod, **headers: str) -> str:
    status, body, _ = await pod.ask(**headers)
    assert (status, body["error"]["code"]) == (400, "unknown_choice")
    return str(body["error"]["message"])


async def held(pod: Pod, count: int) -> None:
    async def same() -> bool:
        return bool((await pod.stats())["held"] == count)

    await until(same, 5, f"{count} requests held")


async def test_a_revision_or_an_arm_is_had_by_asking(pod: Pod, replicas: NewReplica) -> None:
    await start(pod, replicas)

    for number, arm in (("3", "a"), ("4", "a"), ("5", "b")):
        assert await chosen(pod, x_llm_revision=number) == (arm, number)
        assert await chosen(pod, x_llm_revision=number, x_user="alice") == (arm, number)
    assert await chosen(pod, x_llm_revision="4", x_llm_arm="b") == ("a", "4")
    assert {(await chosen(pod, x_llm_arm="b"))[1] for _ in range(5)} == {"5"}
    for unknown in ("2", "", "3|slot0", "revisions", "x" * 300):
        said = await refused(pod, x_llm_revision=unknown)
        assert "x-llm-revision may be one of 3,4,5, x-llm-arm one of a,b." in said
    await refused(pod, x_llm_arm="c", x_user="alice")
    # A name that is not the gateway's own word for it.
    assert await chosen(pod, x_llm_choice="revision:5", x_user="user-1") == await chosen(
        pod, x_user="user-1"
    )


async def test_in_an_arm_that_was_asked_for_everybody_has_a_place_that_stays(
    pod: Pod, replicas: NewReplica
) -> None:
    await start(pod, replicas)
    users = [f"user-{number}" for number in range(60)]

    free = {user: await chosen(pod, x_user=user) for user in users}
    first = {user: await chosen(pod, x_user=user, x_llm_arm="a") for user in users}
    assert {arm for arm, _ in first.values()} == {"a"}
    assert not [user for user in users if free[user][0] == "a" and free[user] != first[user]]
    assert 8 <= sum(revision == "4" for _, revision in first.values()) <= 34

    rows = [row(CANARY, 4, 2000, "a"), row(STABLE, 3, 3000, "a"), row(OTHER, 5, arm="b")]
    await pod.applied(pod.write_routes(rows))
    second = {user: await chosen(pod, x_user=user, x_llm_arm="a") for user in users}
    assert not [user for user in users if first[user][1] == "4" and second[user][1] == "3"]
    assert {revision for _, revision in second.values()} == {"3", "4"}


async def test_a_choice_waits_for_its_own_and_never_gets_another(
    pod: Pod, replicas: NewReplica
) -> None:
    await start(pod, replicas, CANARY, OTHER)
    # A user of the stable revision, which answers: only the choice can lead elsewhere.
    user = f"user-{next(n for n in range(100) if 1000 <= bucket(f'user-{n}') < 3000)}"
    assert await chosen(pod, x_user=user) == ("a", "3")
    revision = asyncio.create_task(chosen(pod, x_llm_revision="4", x_user=user))
    arm = asyncio.create_task(chosen(pod, x_llm_arm="b", x_user=user))
    leaving = asyncio.create_task(pod.ask(x_llm_revision="5"))
    await held(pod, 3)
    late = await replicas()
    pod.write_endpoints(late.host, service=CANARY)
    assert await revision == ("a", "4")
    await held(pod, 2)

    # The arm moves to other buckets and another revision while its request waits; revision 5 goes.
    pod.write_routes([row(STABLE, 3, 9000, "a"), row(CANARY, 6, arm="b")])
    assert await arm == ("b", "6")
    status, body, _ = await leaving
    assert (status, body["error"]["code"]) == (400, "unknown_choice")
    assert "one of 3,6, x-llm-arm one of a,b." in body["error"]["message"]
    assert (await pod.stats())["held"] == 0


async def test_a_choice_made_before_there_are_routes_waits_for_them(
    pod: Pod, replicas: NewReplica
) -> None:
    replica = await replicas()
    pod.env["LLMD_FORCING"] = "true"
    pod.write_routes([])
    pod.write_endpoints(replica.host)
    await pod.up()
    one, none, arm = (
        asyncio.create_task(pod.ask(**{header: value}))
        for header, value in (
            ("x_llm_revision", "1"),
            ("x_llm_revision", "2"),
            ("x_llm_arm", "main"),
        )
    )
    await held(pod, 3)

    pod.write_routes()

    assert [(await task)[0] for task in (one, none, arm)] == [200, 400, 200]


async def test_a_haproxy_that_starts_again_knows_what_may_be_asked(
    pod: Pod, replicas: NewReplica
) -> None:
    await start(pod, replicas)
    pod.end("haproxy")
    pod.end("agent")
    pod.start("haproxy")

    async def answers() -> bool:
        try:
            return await chosen(pod, x_llm_revision="4") == ("a", "4")
        except aiohttp.ClientConnectionError:
            return False

    await until(answers, 5, "HAProxy is back")
    assert (await chosen(pod, x_llm_arm="b")) == ("b", "5")
