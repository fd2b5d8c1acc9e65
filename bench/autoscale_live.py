"""The law on the local cluster, against what the simulator says of the same traffic.

    .venv/bin/python -m bench.autoscale_live [--speed 6] [--keep 16] > live.json

Real: the operator, Ray Serve, the gateway, the pods that come and go. A fake: the engine, which is `engine: simulated`, since there is
no GPU. Azure's conversations are replayed `--speed` times as fast, every `--keep`-th of them and a quarter as long, so that two cores
carry it. Then the simulator replays the same requests with the same flags and the warm-up that was seen. JSON: shares of requests
within the targets, as clients saw them, mean replicas and changes of both; failed requests and cut streams, which must be 0.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from bench.autoscale_scenarios import DATA
from bench.profile_probe import Answer, Endpoint, ProbeError
from bench.rollout_site import Site, site, wait_until
from bench.rollout_traffic import answers_as_gateway
from dev.cluster.stages import StageError
from tests.support.live import SMALL

from llmdeployment_operator.autoscaler.types import ScalingPolicy, Target
from llmdeployment_operator.simulation.profile import Profile
from llmdeployment_operator.simulation.result import Result
from llmdeployment_operator.simulation.run import Hold, simulate
from llmdeployment_operator.simulation.scalers import own_law
from llmdeployment_operator.simulation.trace import Request, read_trace

NAME = "conversations"
ENGINE = Profile(
    prefill_tokens_per_second=4_000,
    decode_tokens_per_second=10,
    batch_tokens_per_second=120,
    max_num_seqs=64,
)
"""A replica carries about one of these requests a second."""

TARGETS = (Target("ttft", 90, 1.0), Target("itl", 90, 0.3))
MOST = 4
SHORTER = 4
"""Prompts and answers are this many times shorter than recorded."""

LOOK_SECONDS = 2.0
"""The operator's."""

HOLD = Hold(2_000, 300.0)
OK = 200


def main() -> None:
    """Replay, simulate, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--speed", type=float, default=6.0)
    parser.add_argument("--keep", type=int, default=16, help="every so many-th request")
    parser.add_argument("--log", type=Path, default=Path("/tmp/llmd-autoscale-live.log"))  # noqa: S108  # because it is a log for people
    options = parser.parse_args()
    trace = requests(options.speed, options.keep)
    say(f"{len(trace)} requests in {trace[-1].at:.0f} s; the operator's log is in {options.log}")
    try:
        live = asyncio.run(replay(trace, options.log))
    except StageError as error:
        sys.exit(error.explain())
    simulated = simulation(trace, live.warm_up)
    print(json.dumps(compare(trace, live, simulated), indent=1))


def requests(speed: float, keep: int) -> list[Request]:
    """Return the conversations, faster, fewer and shorter."""
    rows = list(read_trace(DATA / "azure2023_conv.csv.gz"))[::keep]
    return [
        Request(
            row.at / speed,
            max(1, row.prompt_tokens // SHORTER),
            max(2, row.output_tokens // SHORTER),
        )
        for row in rows
    ]


def spec() -> dict[str, Any]:
    """Return the spec of the LLMDeployment."""
    rates = ENGINE.model_dump(exclude={"warm_up_seconds"})
    targets = {
        target.metric: {
            "percentile": target.percentile,
            "milliseconds": round(target.seconds * 1000),
        }
        for target in TARGETS
    }
    return {
        "model": {"source": "file:///dev/null"},
        "engine": {
            "name": "simulated",
            "args": {key.replace("_", "-"): value for key, value in rates.items()},
        },
        "scaling": {"minReplicas": 1, "maxReplicas": MOST, "targets": targets},
        "gateway": {
            "replicas": 1,
            "hold": {"maxRequests": HOLD.requests, "seconds": round(HOLD.seconds)},
            "resources": SMALL,
        },
    }


@dataclass(frozen=True)
class Live:
    """What was seen on the cluster."""

    answers: Sequence[Answer | None]
    """In the order of the trace; None for one that failed or was cut."""
    errors: Sequence[str]
    replicas: Sequence[tuple[float, int, int]]
    """(seconds, wanted, ready), once a second."""
    decisions: Sequence[dict[str, Any]]
    warm_up: float


async def replay(trace: Sequence[Request], log: Path) -> Live:
    """Replay the trace on the cluster.

    Raises:
        StageError: there is no cluster, or the deployment does not get ready.
    """
    async with site(log) as place:
        await place.create(
            {
                "apiVersion": "llmdeployment.dev/v1alpha1",
                "kind": "LLMDeployment",
                "metadata": {"name": NAME},
                "spec": spec(),
            }
        )
        await wait_until(lambda: _ready(place), 300, "the LLMDeployment is ready")
        service = await place.get(f"/api/v1/namespaces/{place.kube.namespace}/services/{NAME}")
        url = f"http://{service['spec']['clusterIP']}/v1"
        await wait_until(lambda: answers_as_gateway(url), 60, f"the gateway answers at {url}")
        say("ready; the replay begins")
        rows: list[tuple[float, int, int]] = []
        watching = asyncio.create_task(_watch(place, rows))
        try:
            answers, errors = await _send(url, trace)
        finally:
            watching.cancel()
        scaling = (await place.llm(NAME))["status"]["scaling"]
        await place.delete(NAME)
    state = json.loads(scaling["runtimes"][0]["state"])
    return Live(answers, errors, rows, scaling["decisions"], float(state.get("warm_up", 60.0)))


async def _ready(place: Site) -> bool:
    conditions = (await place.llm(NAME)).get("status", {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


async def _watch(place: Site, rows: list[tuple[float, int, int]]) -> None:
    began, told = time.monotonic(), None
    while True:
        status = (await place.llm(NAME)).get("status", {})
        now = time.monotonic() - began
        seen = (int(status.get("replicas", 0)), int(status.get("readyReplicas", 0)))
        rows.append((now, *seen))
        if seen != told:
            say(f"{now:7.1f} s  {seen[1]} of {seen[0]} replicas answer")
            told = seen
        await asyncio.sleep(1.0)  # why: how often it is looked at


async def _send(url: str, trace: Sequence[Request]) -> tuple[list[Answer | None], list[str]]:
    """Ask what the trace says when it says it; return the answers, and the errors."""
    errors: list[str] = []
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=1800), connector=aiohttp.TCPConnector(limit=0)
    ) as session:

        async def post(body: dict[str, Any]) -> AsyncIterator[bytes]:
            async with session.post(f"{url}/chat/completions", json=body) as answer:
                if answer.status != OK:
                    raise ProbeError(f"{answer.status}: {(await answer.text())[:200]}")
                async for line in answer.content:
                    yield line

        endpoint = Endpoint(post, time.perf_counter, NAME)
        begin = endpoint.clock()
        asked = (_one(endpoint, begin, request, errors) for request in trace)
        return list(await asyncio.gather(*asked)), errors


async def _one(
    endpoint: Endpoint, begin: float, request: Request, errors: list[str]
) -> Answer | None:
    """Ask one question at its time; None and one more error where the answer does not come whole."""
    await asyncio.sleep(max(0.0, begin + request.at - endpoint.clock()))  # why: the trace's time
    source = random.Random(request.at)  # noqa: S311  # because questions are no secret
    try:
        found = await endpoint.ask(request.prompt_tokens, request.output_tokens, source)
    except (ProbeError, aiohttp.ClientError, TimeoutError) as error:
        errors.append(f"at {request.at:.1f} s: {error!r}")
        return None
    if found.output_tokens != request.output_tokens:
        errors.append(f"at {request.at:.1f} s: {found.output_tokens} tokens came")
        return None
    return found


def simulation(trace: Sequence[Request], warm_up: float) -> Result:
    """Return what the simulator makes of it."""
    law = own_law(ScalingPolicy(1, MOST, TARGETS))
    return simulate(
        trace,
        ENGINE,
        law,
        warm_up=warm_up,
        maximum=MOST,
        look_every=LOOK_SECONDS,
        hold=HOLD,
    )


def compare(trace: Sequence[Request], live: Live, simulated: Result) -> dict[str, Any]:
    """Return both side by side, and the difference in points."""
    ours = {target.metric: _share(live.answers, [target]) for target in TARGETS}
    theirs = {target.metric: simulated.attainment(target) for target in TARGETS}
    both = {
        **{name: (share, theirs[name]) for name, share in ours.items()},
        "all": (_share(live.answers, TARGETS), simulated.within_all(TARGETS) / len(trace)),
    }
    rows = [row for row in live.replicas if row[0] <= trace[-1].at]
    return {
        "requests": len(trace),
        "seconds": round(trace[-1].at),
        "failedOrCut": sum(answer is None for answer in live.answers),
        "errors": list(live.errors[:5]),
        "warmUpSeconds": round(live.warm_up, 1),
        "live": {
            "attainment": {name: round(100 * pair[0], 1) for name, pair in both.items()},
            "meanReplicas": round(sum(row[1] for row in rows) / len(rows), 2),
            "decisions": [
                f"{each['from']} -> {each['to']} {each['reason']}: {each['message']}"
                for each in live.decisions
            ],
        },
        "simulated": {
            "attainment": {name: round(100 * pair[1], 1) for name, pair in both.items()},
            "meanReplicas": round(simulated.mean_replicas, 2),
            "decisions": [f"{each.before} -> {each.replicas}" for each in simulated.decisions],
        },
        "differenceInPoints": {
            name: round(100 * (seen - said), 1) for name, (seen, said) in both.items()
        },
    }


def _share(answers: Sequence[Answer | None], targets: Sequence[Target]) -> float:
    """Return the share of requests within all of `targets`; one that failed is not."""
    kept = sum(
        answer is not None
        and all(
            {"ttft": answer.ttft, "itl": answer.gap}[target.metric] <= target.seconds
            for target in targets
        )
        for answer in answers
    )
    return kept / len(answers)


def say(text: str) -> None:
    """Tell on standard error how far it is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
