"""Worlds with an evaluation, and how one ends."""

import base64
import copy
import json
from typing import Any

from tests.support.stories import serving_world
from tests.support.world import World, pod

from llmdeployment_operator.plan.base.conditions import format_time

Object = dict[str, Any]

EVALUATION = {"golden": {"configMapRef": {"name": "questions"}}, "timeoutSeconds": 300}
CANARY = {
    "strategy": "Canary",
    "steps": [{"weight": 10, "pause": {}}, {"weight": 50}],
    "evaluation": EVALUATION,
}
BLUE_GREEN = {"evaluation": EVALUATION}
SHOUT, WHISPER = {"system": "Shout."}, {"system": "Whisper."}
AT = "2026-01-02T03:04:09Z"


def jobs(world: World) -> list[str]:
    found = (name for kind, name in world.cluster.children if kind == "Job")
    return sorted(name.removeprefix("simulated-").rsplit("-", 1)[0] for name in found)


def job(world: World, number: int, attempt: int = 1) -> Object:
    prefix = f"simulated-r{number}-eval-{attempt}-"
    children = world.cluster.children.items()
    return next(obj for (kind, name), obj in children if kind == "Job" and name.startswith(prefix))


def run(world: World, number: int, attempt: int = 1, **state: Any) -> None:
    """Let a Job's pod be in a state of a container: running, waiting or terminated."""
    made = job(world, number, attempt)
    found = pod("evaluation", made["metadata"]["name"] + "-x")
    found["metadata"]["labels"] |= made["metadata"]["labels"]
    found["metadata"]["ownerReferences"] = [{"uid": made["metadata"]["uid"]}]
    found["status"] = {"containerStatuses": [{"name": "evaluate", "ready": False, "state": state}]}
    others = [p for p in world.cluster.pods if p["metadata"]["name"] != found["metadata"]["name"]]
    world.pods(*others, found)


def end(world: World, number: int, attempt: int = 1, kind: str = "Complete", **more: Any) -> None:
    """Let a Job have ended."""
    made = copy.deepcopy(job(world, number, attempt))
    condition = {"type": kind, "status": "True", "lastTransitionTime": AT, **more}
    made["status"] = {"conditions": [condition]}
    children = dict(world.cluster.children)
    children["Job", made["metadata"]["name"]] = made
    world.observe(children=children)


def answers(world: World, number: int, passed: int, attempt: int = 1, total: int = 100) -> None:
    """Let an evaluation end with so many good answers."""
    failures = [{"id": "q9", "why": "has no 'Paris' in it"}] if passed < total else []
    result = {"score": 1, "passed": passed, "total": total, "failures": failures}
    run(world, number, attempt, terminated={"exitCode": 0, "message": json.dumps(result)})
    end(world, number, attempt)


def answers_each(
    world: World, number: int, good: str, attempt: int = 1, contents: str = "5ee"
) -> None:
    """Let an evaluation end with an answer for each question, `1` for a good one and `0` for another."""
    result = build_result(good, contents)
    run(world, number, attempt, terminated={"exitCode": 0, "message": json.dumps(result)})
    end(world, number, attempt)


def build_result(good: str, contents: str = "5ee") -> Object:
    """Return the result of an evaluation with these answers; questions are named q1, q2, ..."""
    padded = good + "0" * (-len(good) % 8)
    packed = bytes(int(padded[at : at + 8], 2) for at in range(0, len(padded), 8))
    wrong = [[place, f"q{place}"] for place, bit in enumerate(good, 1) if bit == "0"]
    return {
        "score": 1,
        "passed": good.count("1"),
        "total": len(good),
        "failures": [],
        "contents": contents,
        "answers": base64.b64encode(packed).decode(),
        "wrong": wrong[:20],
    }


def recheck_jobs(world: World) -> list[Object]:
    """Return the Jobs that ask again by schedule."""
    label = "llmdeployment.dev/due"
    found = (obj for (kind, _), obj in world.cluster.children.items() if kind == "Job")
    return [obj for obj in found if label in obj["metadata"]["labels"]]


def answers_again(world: World, document: Object | str) -> None:
    """Let the Job that asks again end with a result, or fail with a text."""
    (made,) = recheck_jobs(world)
    said = document if isinstance(document, str) else json.dumps(document)
    code = 1 if isinstance(document, str) else 0
    finish(world, made, {"exitCode": code, "message": said}, "Failed" if code else "Complete")


def finish(world: World, made: Object, terminated: Object, kind: str) -> None:
    """Let a Job have ended, and its pod with these words."""
    found = pod("evaluation", made["metadata"]["name"] + "-x")
    found["metadata"]["labels"] |= made["metadata"]["labels"]
    found["metadata"]["ownerReferences"] = [{"uid": made["metadata"]["uid"]}]
    state = {"terminated": terminated}
    found["status"] = {"containerStatuses": [{"name": "evaluate", "ready": False, "state": state}]}
    others = [p for p in world.cluster.pods if p["metadata"]["name"] != found["metadata"]["name"]]
    world.pods(*others, found)
    ended = copy.deepcopy(made)
    at = format_time(world.now)
    ended["status"] = {"conditions": [{"type": kind, "status": "True", "lastTransitionTime": at}]}
    world.observe(children={**world.cluster.children, ("Job", made["metadata"]["name"]): ended})


def breaks(world: World, number: int, said: str, attempt: int = 1) -> None:
    run(world, number, attempt, terminated={"exitCode": 1, "reason": "Error", "message": said})
    end(world, number, attempt, "Failed", reason="BackoffLimitExceeded")


def recorded(world: World, number: int) -> Object | None:
    rows = world.status["revisions"]
    found: Object | None = next(r.get("evaluation") for r in rows if r["number"] == number)
    return found


def scored_world(passed: int = 95, **rollout: Any) -> World:
    """A world whose first revision serves and has a score."""
    world = serving_world()
    world.edit(rollout={**CANARY, **rollout})
    world.step()
    answers(world, 1, passed)
    world.settle()
    return world


def edited_world(passed: int = 95, **rollout: Any) -> World:
    """The same, with a second revision whose replicas answer."""
    world = scored_world(passed, **rollout)
    world.edit(prompt=SHOUT)
    world.step()
    world.step()
    return world
