"""How long after a weight changes in the LLMDeployment is a request routed by it, and does it cut streams?

    python -m bench.control_loop [--changes 1000]

An LLMDeployment with two arms on the same pods; their weights go 30/70, 70/30, 30/70 and so on, by a patch each, while 20 streams of a
minute and a short request a second are under way. A user whose bucket lies between the two asks all the time: the change has arrived with
his first answer from the other arm. In the path: API server, operator (a process of this machine), routes, the gateway's agent, HAProxy.

Real and not real as in the rollout matrix (`bench/rollout.py`): plain pods in place of Ray, the engine simulated. It needs the local
cluster (`make cluster`, `make images`). Progress goes to stderr; the last line is one JSON object; 1 when anything was lost.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from statistics import quantiles
from typing import Any

import aiohttp
from bench.rollout_cell import APPS, ROLLOUT_SECONDS, Cell, Size, spec
from bench.rollout_engine import VERSION, Simulated
from bench.rollout_site import NAMESPACE, Object, Site, site, wait_until
from bench.rollout_traffic import Traffic, answers_as_gateway
from dev.cluster.paths import ensure_cache
from dev.cluster.stages import StageError

NAME = "weights"
SIZE = Size(stream_seconds=60, pause_seconds=0, per_second=1, replicas=1)
LONGEST_SECONDS = 60.0
"""After which a change is lost."""
ASK_SECONDS = 0.005
"""Between an answer and the next request of the user who waits for the change."""


def arms(one: int) -> list[Object]:
    """Return two arms on the same pods, the first with so many percent."""
    other = {"prompt": {"system": f"{VERSION}B"}}
    return [
        {"name": "one", "weight": one},
        {"name": "other", "weight": 100 - one, "overrides": other},
    ]


async def arm_of(session: aiohttp.ClientSession, url: str, user: str) -> str:
    """Return the arm that answers a user."""
    async with session.get(f"{url}/models", headers={"x-user": user}) as answer:
        await answer.read()
        return answer.headers.get("x-llm-arm", "")


async def set_weights(place: Site, one: int) -> None:
    """Change the weights and wait until the status says so, and the gateway with it."""
    await place.patch(NAME, {"arms": arms(one)})

    async def is_split() -> bool:
        rows = (await place.llm(NAME)).get("status", {}).get("arms") or []
        return {row["name"]: row.get("weight") for row in rows} == {"one": one, "other": 100 - one}

    await wait_until(is_split, ROLLOUT_SECONDS, f"the arms have {one} and {100 - one} %")
    await asyncio.sleep(3)  # why: the gateway follows; nothing is timed here


async def between(place: Site, session: aiohttp.ClientSession, url: str) -> str:
    """Return a user who is of arm `other` at 30 % and of arm `one` at 70 %."""
    users = [f"user-{number}" for number in range(200)]
    await set_weights(place, 30)
    before = {user: await arm_of(session, url, user) for user in users}
    await set_weights(place, 70)
    after = {user: await arm_of(session, url, user) for user in users}
    return next(u for u in users if (before[u], after[u]) == ("other", "one"))


async def wait_for_arm(session: aiohttp.ClientSession, url: str, user: str, arm: str) -> None:
    """Ask until an answer is from this arm."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while await arm_of(session, url, user) != arm:
        if time.monotonic() > deadline:
            raise StageError(f"{user} had no answer from arm {arm} in {LONGEST_SECONDS:.0f} s")
        await asyncio.sleep(ASK_SECONDS)  # why: a client's pace, which bounds the error


async def changes(place: Site, url: str, count: int) -> list[float]:
    """Change the weights so many times, and return the seconds from each patch to the first request it routes."""
    took: list[float] = []
    async with aiohttp.ClientSession() as session:
        user = await between(place, session, url)
        for number in range(count):
            one, arm = ((30, "other"), (70, "one"))[number % 2]
            started = time.monotonic()
            await place.patch(NAME, {"arms": arms(one)})
            await wait_for_arm(session, url, user, arm)
            took.append(time.monotonic() - started)
            if number % 50 == 49:  # noqa: PLR2004  # because a line now and then is enough
                say(f"{number + 1} changes, the slowest took {max(took) * 1000:.0f} ms")
    return took


async def measure(count: int) -> dict[str, Any]:
    """Return everything, with what it takes made before and removed after."""
    log = ensure_cache() / "logs" / "bench-control-loop-operator.log"
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(b"")
    async with site(log) as place:
        cell = Cell("BlueGreen", "A->B", "early", kill=False)
        body = {**spec(cell, SIZE, Simulated()), "arms": arms(70)}
        await place.create(
            {
                "apiVersion": "llmdeployment.dev/v1alpha1",
                "kind": "LLMDeployment",
                "metadata": {"name": NAME},
                "spec": body,
            }
        )
        traffic = await _reachable(place)
        load = os.getloadavg()[0]
        traffic.start()
        try:
            await wait_until(lambda: _flows(traffic), 60, "the streams flow")
            took = await changes(place, traffic.url, count)
        finally:
            await traffic.stop()
    return _report(took, traffic) | {"load_average": [round(load, 1), round(os.getloadavg()[0], 1)]}


async def _reachable(place: Site) -> Traffic:
    async def ready() -> bool:
        found = (await place.llm(NAME)).get("status", {})
        states = {c["type"]: c["status"] for c in found.get("conditions") or []}
        return states.get("Ready") == "True" and states.get("Progressing") == "False"

    await wait_until(ready, ROLLOUT_SECONDS, "both arms are ready")
    gateways = await place.of(NAME, "deployments", APPS)
    say(f"ready: {', '.join(d['metadata']['name'] for d in gateways)}")
    service = await place.get(f"/api/v1/namespaces/{NAMESPACE}/services/{NAME}")
    url = f"http://{service['spec']['clusterIP']}/v1"
    await wait_until(lambda: answers_as_gateway(url), 60, f"the gateway answers at {url}")
    return Traffic(url, NAME, SIZE.per_second, SIZE.stream_seconds, SIZE.streams, Simulated())


async def _flows(traffic: Traffic) -> bool:
    return traffic.flowing > 0 and len(traffic.answers) > 0


def _report(took: list[float], traffic: Traffic) -> dict[str, Any]:
    cuts = quantiles(took, n=100)
    streams = [answer for answer in traffic.answers if answer.stream]
    short = [answer for answer in traffic.answers if not answer.stream]
    return {
        "changes": len(took),
        "change_to_first_request_ms": {
            "p50": round(cuts[49] * 1000, 1),
            "p99": round(cuts[98] * 1000, 1),
            "max": round(max(took) * 1000, 1),
        },
        "streams": len(streams),
        "streams_cut": sum(not answer.whole for answer in streams),
        "requests": len(short),
        "failed": sum(answer.status != 200 for answer in short),  # noqa: PLR2004  # because an HTTP status is its own name
    }


def say(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--changes", type=int, default=1000)
    options = parser.parse_args()
    try:
        found = asyncio.run(measure(options.changes))
    except StageError as error:
        say(error.explain())
        return 1
    print(json.dumps(found))
    return 1 if found["streams_cut"] or found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
