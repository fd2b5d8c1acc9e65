"""One cell of the rollout matrix: an LLMDeployment under load whose spec changes at chosen moments."""

import asyncio
import random
import time
from dataclasses import asdict, dataclass
from typing import Any

from bench.rollout_engine import Engine, Simulated, Vllm
from bench.rollout_judge import Applied, judge_cell
from bench.rollout_site import PLAIN, Object, Site, wait_until
from bench.rollout_traffic import Traffic, answers_as_gateway
from dev.cluster.stages import StageError
from tests.support.live import SMALL

WEIGHTS = (5, 25, 50)
MOMENTS = {"before traffic": 0, "early": 5, "middle": 25, "late": 50}
"""When the next change comes, as the percent that a Canary's new version has by then."""
FIRST = {"before traffic": 0.0, "early": 0.1, "middle": 0.5, "late": 0.9}
"""Of A->B, whose one change interrupts no rollout: as a share of the first streams' time; before traffic: before A answers."""
WHOLE = 100
ROLLOUT_SECONDS = 900
"""Of a rollout; Ray on a machine that does other things too takes its time."""
KILL_WITHIN_SECONDS = 12.0
APPS = "/apis/apps/v1"


@dataclass(frozen=True)
class Cell:
    """What is tried.

    Attributes:
        strategy: canary, BlueGreen or Recreate.
        sequence: the versions of the spec, such as A->B->C.
        moment: when each next change comes; a key of `MOMENTS`.
        kill: whether the operator is killed at a random moment.
        pods: what runs in them: "plain", the stand-in for Ray; "Ray", with the simulated engine; "vLLM", a real model on Ray.
    """

    strategy: str
    sequence: str
    moment: str
    kill: bool
    pods: str = "plain"

    @property
    def name(self) -> str:
        """What the cell is called in output and in the file of finished ones."""
        killed = ", operator killed" if self.kill else ""
        on = f" ({self.pods})" if self.pods != "plain" else ""
        return f"{self.strategy} {self.sequence} {self.moment}{killed}{on}"

    @property
    def letters(self) -> list[str]:
        """The versions in order."""
        return self.sequence.split("->")


@dataclass(frozen=True)
class Size:
    """How long a cell takes.

    Attributes:
        stream_seconds: of a long stream.
        pause_seconds: of a Canary's step.
        per_second: short requests.
        replicas: of each revision.
        streams: long ones that are under way at any time.
    """

    stream_seconds: float
    pause_seconds: int
    per_second: float
    replicas: int
    streams: int = 20


MODEL = {"source": "pvc://models/smollm2-135m-instruct"}
NO_MODEL = {"source": "file:///dev/null"}
SMALLEST = {"requests": {"cpu": "20m", "memory": "64Mi"}}
A_MODELS = {"requests": {"cpu": "500m", "memory": "4Gi"}}


def engine_of(cell: Cell) -> Engine:
    """Return the engine of a cell, new: it learns from the cell's first answer."""
    return Vllm() if cell.pods == "vLLM" else Simulated()


def spec(cell: Cell, size: Size, engine: Engine) -> Object:
    """Return the first version's spec."""
    real = cell.pods == "vLLM"
    rollout: Object = {"strategy": cell.strategy, "rollbackWindow": "20s"}
    if cell.strategy == "Canary":
        pause = {"duration": f"{size.pause_seconds}s"}
        rollout["steps"] = [{"weight": weight, "pause": pause} for weight in WEIGHTS]
    return {
        "model": MODEL if real else NO_MODEL,
        "replicas": size.replicas,
        "resources": A_MODELS if real else SMALLEST,
        "gateway": {
            "replicas": 1,
            "hold": {"maxRequests": 2000, "seconds": ROLLOUT_SECONDS},
            "resources": SMALL,
        },
        **({"podTemplate": PLAIN} if cell.pods == "plain" else {}),
        "rollout": rollout,
        **engine.version(cell.letters[0]),
    }


class Run:
    """A cell on its way."""

    def __init__(self, place: Site, cell: Cell, size: Size, name: str) -> None:
        self._place, self._cell, self._size, self._name = place, cell, size, name
        self._applied: list[Applied] = []
        self._engine = engine_of(cell)

    async def run(self, chance: random.Random) -> dict[str, Any]:
        """Run the cell and return its counts.

        Raises:
            StageError: a rollout did not end in time.
        """
        started = time.monotonic()
        body = {
            "apiVersion": "llmdeployment.dev/v1alpha1",
            "kind": "LLMDeployment",
            "metadata": {"name": self._name},
            "spec": spec(self._cell, self._size, self._engine),
        }
        self._applied.append(Applied(self._cell.letters[0], time.monotonic()))
        await self._place.create(body)
        try:
            traffic = await self._changed_under_load(chance)
            verdict = judge_cell(traffic.answers, self._applied, await self._letters())
        finally:
            await self._place.delete(self._name)
        begin = traffic.answers[0].started
        errors = [
            f"{a.started - begin:.1f} to {a.ended - begin:.1f} s: {a.error}"
            for a in traffic.answers
            if a.error
        ]
        waits = [a.ended - a.started for a in traffic.answers if not a.stream]
        return {
            **asdict(verdict),
            "longest_wait_seconds": round(max(waits), 1),
            "seconds": round(time.monotonic() - started),
            "changes_at": [round(change.at - begin, 1) for change in self._applied],
            "errors": errors[:3] + errors[3:][-3:],
        }

    async def _changed_under_load(self, chance: random.Random) -> Traffic:
        await wait_until(self._gateway, 120, "the gateway is ready")
        address = (await self._place.get(self._service_path()))["spec"]["clusterIP"]
        size, url = self._size, f"http://{address}/v1"
        traffic = Traffic(
            url, self._name, size.per_second, size.stream_seconds, size.streams, self._engine
        )
        # kube-proxy makes a new address known in its own time; until then it leads out of this machine.
        await wait_until(lambda: answers_as_gateway(url), 60, f"the gateway answers at {url}")
        alone = len(self._cell.letters) == 2  # noqa: PLR2004  # because A->B has two versions
        held = alone and self._cell.moment == "before traffic"
        if not held:
            await wait_until(self._is_settled, ROLLOUT_SECONDS, "the first version is ready")
        traffic.start()
        try:
            if not held:
                await wait_until(lambda: _flows(traffic), 60, "the streams flow")
            share = FIRST[self._cell.moment] if alone else FIRST["early"]
            await asyncio.sleep(share * size.stream_seconds)  # why: the moment is part of the cell
            await self._change_all(chance)
        finally:
            await traffic.stop()
        return traffic

    async def _change_all(self, chance: random.Random) -> None:
        changes = self._cell.letters[1:]
        victim = chance.randrange(len(changes))
        after = chance.uniform(0, KILL_WITHIN_SECONDS)
        killing = None
        for number, letter in enumerate(changes):
            if number:
                await wait_until(self._moment, ROLLOUT_SECONDS, f"{self._cell.moment} of a rollout")
            self._applied.append(Applied(letter, time.monotonic()))
            await self._place.patch(self._name, self._engine.version(letter))
            if self._cell.kill and number == victim:
                killing = asyncio.create_task(self._kill(after))
        if killing is not None:
            await killing
        await wait_until(self._is_settled, ROLLOUT_SECONDS, "the last version has everything")

    async def _kill(self, after: float) -> None:
        await asyncio.sleep(after)  # why: a random moment is what is tried
        await self._place.operator.kill()

    async def _moment(self) -> bool:
        """Return whether the running rollout is where the next change should meet it."""
        moment = self._cell.moment
        if moment == "before traffic":
            return True
        number = await self._number(self._applied[-1].letter)
        if number is None:
            return False
        found = await self._place.llm(self._name)
        rows = found.get("status", {}).get("revisions") or []
        row = next((row for row in rows if row["number"] == number), {})
        share = int(row.get("trafficPercent", 0))
        if self._cell.strategy == "Canary" or moment == "late":
            return share >= (
                MOMENTS[moment] if self._cell.strategy == "Canary" else WHOLE
            ) and bool(row.get("ready"))
        return await self._pods_are(number, ready=moment == "middle")

    async def _pods_are(self, revision: int, *, ready: bool) -> bool:
        """Return whether a worker pod of a revision runs, or is ready."""
        records = await self._records()
        runtime = records[revision]["metadata"]["labels"]["llmdeployment.dev/runtime"]
        more = f",llmdeployment.dev/component=worker,llmdeployment.dev/runtime={runtime}"
        pods = await self._place.of(self._name, "pods", more=more)
        live = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        if not ready:
            return any(pod["status"].get("phase") == "Running" for pod in live)
        conditions = [c for pod in live for c in pod["status"].get("conditions", [])]
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    async def _is_settled(self) -> bool:
        """Return whether the newest version has all the traffic and all its replicas."""
        found = await self._place.llm(self._name)
        status = found.get("status", {})
        fresh = [
            c
            for c in status.get("conditions") or []
            if c["observedGeneration"] == found["metadata"]["generation"]
        ]
        states = {c["type"]: c["status"] for c in fresh}
        if "RolledBack" in {c["reason"] for c in fresh}:
            raise StageError(f"{self._cell.name}: rolled back: {fresh}")
        number = await self._number(self._applied[-1].letter)
        done = states.get("Ready") == "True" and states.get("Progressing") == "False"
        return done and status.get("traffic") == f"rev{number} 100%"

    async def _gateway(self) -> bool:
        found = await self._place.of(self._name, "deployments", APPS)
        gateway = next((d for d in found if d["metadata"]["name"].endswith("-gateway")), {})
        return bool(gateway.get("status", {}).get("readyReplicas"))

    def _service_path(self) -> str:
        return f"/api/v1/namespaces/{self._place.kube.namespace}/services/{self._name}"

    async def _records(self) -> dict[int, Object]:
        found = await self._place.of(self._name, "controllerrevisions", APPS)
        # A head's StatefulSet has records of its own, with the same labels.
        return {int(each["revision"]): each for each in found if "template" in each["data"]}

    async def _letters(self) -> dict[str, str]:
        """Return which version each revision number stands for."""
        letters = {
            self._engine.version(each)["prompt"]["system"]: each for each in self._cell.letters
        }
        return {
            str(number): letters[record["data"]["template"]["prompt"]["system"]]
            for number, record in (await self._records()).items()
        }

    async def _number(self, letter: str) -> int | None:
        letters = await self._letters()
        return next((int(number) for number, found in letters.items() if found == letter), None)


async def _flows(traffic: Traffic) -> bool:
    return traffic.flowing > 0 and len(traffic.answers) > 0
