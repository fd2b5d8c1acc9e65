"""A version that cannot start, and one replica more than needed to change to it: users notice nothing, and an undo is one command."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from dev.demo.kube import KubeError
from tests.support.live import Live
from tests.support.load import Load
from tests.support.until import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(500)]

REPLICAS, SURGE = 2, 1
ROLLOUT = {
    "strategy": "Canary",
    "steps": [{"weight": 50}],
    "maxSurge": str(SURGE),
    "progressDeadlineSeconds": 60,
}

Named = Callable[[str], Live]


@pytest.fixture(scope="module")
def narrow(live: Named) -> Live:
    return live("narrow").create(replicas=REPLICAS, rollout=ROLLOUT).until_ready()


@pytest.fixture
def workers(narrow: Live) -> Iterator[list[int]]:
    """How many replicas there should be, again and again until the test ends. A pod stays until its replica has drained."""
    seen, over = [0], Event()

    def look() -> None:
        while not over.wait(0.5):
            try:
                revisions = narrow.object["status"].get("revisions") or []
            except KubeError:
                continue
            seen.append(sum({r["runtime"]: r["replicas"] for r in revisions}.values()))

    thread = Thread(target=look)
    thread.start()
    yield seen
    over.set()
    thread.join()


def traffic(narrow: Live) -> str:
    return str(narrow.object["status"].get("traffic", ""))


def kubectl_llm(live: Live, *words: str) -> str:
    command = [str(Path(sys.executable).with_name("kubectl-llm")), *words]
    env = {**os.environ, "KUBECONFIG": str(live.kube.kubeconfig)}
    namespace = ["--namespace", live.kube.namespace]
    done = subprocess.run(
        [*command, *namespace], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_that_cannot_start_is_rolled_back_and_undone(narrow: Live, workers: list[int]) -> None:
    with Load(narrow.url, "narrow") as load:
        args = {"decode-tokens-per-second": 50, "fail-start": "the flag --bogus is not known"}
        narrow.edit(engine={"name": "simulated", "args": args})
        message = narrow.until_reason("RolledBack", 200)
        assert "Revision 2 was rolled back. 0 of 1 replicas were ready" in message
        assert "the flag --bogus is not known" in message

        assert "revision 1" in kubectl_llm(narrow, "undo", "narrow", "--to", "1")
        narrow.until_ready()
        assert narrow.object["spec"]["engine"]["args"] == {"decode-tokens-per-second": 50}
        assert traffic(narrow) == "rev1 100%"
    assert load.outcome.failed == 0, load.outcome
    assert load.outcome.revisions.keys() == {"1"}
    assert max(workers) <= REPLICAS + SURGE


def test_replicas_move_one_in_one_out_and_back(narrow: Live, workers: list[int]) -> None:
    with Load(narrow.url, "narrow") as load:
        narrow.edit(engine={"name": "simulated", "args": {"decode-tokens-per-second": 60}})
        until(lambda: traffic(narrow) == "rev3 100%", 200, "revision 3 has everything")
        narrow.until_ready()
        kubectl_llm(narrow, "undo", "narrow")
        until(lambda: traffic(narrow) == "rev1 100%", 200, "revision 1 has everything again")
        narrow.until_ready()
    assert load.outcome.failed == 0, load.outcome
    assert max(workers) <= REPLICAS + SURGE


def test_pods_that_are_taken_back_while_they_start_leave_at_once(narrow: Live) -> None:
    def starting() -> str | None:
        for pod in narrow.pods("worker"):
            states = pod["status"].get("containerStatuses") or [{}]
            if pod["metadata"]["uid"] not in before and "running" in states[0].get("state", {}):
                return str(pod["metadata"]["name"])
        return None

    before = {pod["metadata"]["uid"] for pod in narrow.pods("worker")}
    narrow.edit(engine={"name": "simulated", "args": {"decode-tokens-per-second": 70}})
    name = until(starting, 90, "a pod of the new version starts")
    narrow.edit(engine={"name": "simulated", "args": {"decode-tokens-per-second": 50}})
    until(lambda: narrow.kube.get("pod", name) is None, 90, f"{name} is gone")
    narrow.until_ready()
