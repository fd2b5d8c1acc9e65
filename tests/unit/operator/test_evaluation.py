"""The evaluation before a new revision's first request, as the whole plan makes it."""

import copy
import json
from datetime import timedelta
from typing import Any

import pytest
from tests.support.stories import conditions, message, routed, serving_world, split
from tests.support.world import World, admitted, pod, sample

from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.api.types import parse
from llmdeployment_operator.plan.evaluation import golden_hash

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
    found = (name for kind, name in world.observed.children if kind == "Job")
    return sorted(name.removeprefix("simulated-").rsplit("-", 1)[0] for name in found)


def job(world: World, number: int, attempt: int = 1) -> Object:
    prefix = f"simulated-r{number}-eval-{attempt}-"
    children = world.observed.children.items()
    return next(obj for (kind, name), obj in children if kind == "Job" and name.startswith(prefix))


def run(world: World, number: int, attempt: int = 1, **state: Any) -> None:
    """Let a Job's pod be in a state of a container: running, waiting or terminated."""
    made = job(world, number, attempt)
    found = pod("evaluation", made["metadata"]["name"] + "-x")
    found["metadata"]["labels"] |= made["metadata"]["labels"]
    found["metadata"]["ownerReferences"] = [{"uid": made["metadata"]["uid"]}]
    found["status"] = {"containerStatuses": [{"name": "evaluate", "ready": False, "state": state}]}
    others = [p for p in world.observed.pods if p["metadata"]["name"] != found["metadata"]["name"]]
    world.pods(*others, found)


def end(world: World, number: int, attempt: int = 1, kind: str = "Complete", **more: Any) -> None:
    """Let a Job have ended."""
    made = copy.deepcopy(job(world, number, attempt))
    condition = {"type": kind, "status": "True", "lastTransitionTime": AT, **more}
    made["status"] = {"conditions": [condition]}
    children = dict(world.observed.children)
    children["Job", made["metadata"]["name"]] = made
    world.look(children=children)


def answers(world: World, number: int, passed: int, attempt: int = 1, total: int = 100) -> None:
    """Let an evaluation end with so many good answers."""
    failures = [{"id": "q9", "why": "has no 'Paris' in it"}] if passed < total else []
    result = {"score": 1, "passed": passed, "total": total, "failures": failures}
    run(world, number, attempt, terminated={"exitCode": 0, "message": json.dumps(result)})
    end(world, number, attempt)


def breaks(world: World, number: int, said: str, attempt: int = 1) -> None:
    run(world, number, attempt, terminated={"exitCode": 1, "reason": "Error", "message": said})
    end(world, number, attempt, "Failed", reason="BackoffLimitExceeded")


def recorded(world: World, number: int) -> Object | None:
    rows = world.observed.status["revisions"]
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


def test_the_first_revision_is_not_held_but_gets_a_score() -> None:
    world = World(admitted(sample("simulated")))
    world.edit(rollout=CANARY)
    for _ in range(6):
        world.step()
        world.obey()
    assert routed(world) == 1
    assert conditions(world)["Ready"] == ("True", "Serving")
    assert jobs(world) == ["r1-eval-1"]
    answers(world, 1, 95)
    world.settle()
    score = {"attempt": 1, "score": 95, "passed": 95, "total": 100, "at": AT}
    golden = golden_hash(EvaluationSpec.model_validate(EVALUATION))
    assert recorded(world, 1) == {**score, "golden": golden, "message": "q9: has no 'Paris' in it"}
    assert jobs(world) == ["r1-eval-1"]


def test_a_first_revision_that_cannot_be_asked_goes_on_serving_and_is_not_asked_for_ever() -> None:
    world = serving_world()
    world.edit(rollout=CANARY)
    world.step()
    breaks(world, 1, "line 3: is not JSON")
    world.settle()
    assert conditions(world)["Ready"] == ("True", "Serving")
    row = recorded(world, 1)
    assert row is not None
    assert (row["message"], row.get("score")) == ("line 3: is not JSON", None)
    assert jobs(world) == ["r1-eval-1"]


@pytest.mark.parametrize("rollout", [CANARY, BLUE_GREEN], ids=["Canary", "BlueGreen"])
def test_no_request_before_the_answers_are_good_enough(rollout: Object) -> None:
    world = serving_world()
    world.edit(rollout=rollout)
    world.step()
    answers(world, 1, 95)
    world.settle()
    world.edit(prompt=SHOUT)
    world.step()
    world.step()
    assert conditions(world)["Progressing"] == ("True", "Evaluating")
    assert message(world) == "revision 2 answers the golden set before its first request"
    assert conditions(world)["Degraded"] == ("False", "AsExpected")
    assert jobs(world) == ["r2-eval-1"]
    plan = world.settle()
    assert (plan.apply, plan.requeue_after, split(world)) == ((), 2.0, [(1, 10_000)])

    run(world, 2, running={"startedAt": AT})
    world.settle()
    assert split(world) == [(1, 10_000)]
    answers(world, 2, 94)
    world.step()
    assert split(world) == ([(2, 1000), (1, 10_000)] if rollout is CANARY else [(2, 10_000)])
    row = recorded(world, 2)
    assert row is not None
    assert (row["score"], row["at"]) == (94, AT)
    world.gateway_applies(up=2)
    world.settle()
    assert jobs(world) == ["r2-eval-1"]


# How the Job ends, the words of the message.
GIVEN_UP = {
    "too low": (
        lambda w: answers(w, 2, 89),
        [
            "revision 1 serves: revision 2 was given up: it answered 89 of 100 questions",
            "89 %, and needs 90 % (spec.rollout.evaluation.minScorePercent): q9: has no 'Paris'",
        ],
    ),
    "regressed": (
        lambda w: answers(w, 2, 92),
        ["92 %, over 2 points less than the 95 % of the revision that serves", "maxRegression"],
    ),
    "broken": (
        lambda w: breaks(w, 2, "key golden.jsonl of ConfigMap questions, line 3: is not JSON"),
        ["its evaluation came to no result: key golden.jsonl of ConfigMap questions, line 3"],
    ),
    "without a word": (
        lambda w: breaks(w, 2, ""),
        ["came to no result: it ended with exit code 1 (Error) and said nothing"],
    ),
    "without a pod": (
        lambda w: end(w, 2, kind="Failed", reason="BackoffLimitExceeded"),
        ["came to no result: its pod was gone before its result was read"],
    ),
    "too late": (
        lambda w: end(w, 2, kind="Failed", reason="DeadlineExceeded"),
        ["it did not end within 300 s (spec.rollout.evaluation.timeoutSeconds)"],
    ),
    "not a result": (
        lambda w: (run(w, 2, terminated={"exitCode": 0, "message": "Killed"}), end(w, 2)),
        ["its result cannot be read: Killed"],
    ),
    "a result that lies": (
        lambda w: answers(w, 2, 300),
        ["its result cannot be read"],
    ),
    "a result of nothing": (lambda w: answers(w, 2, 0, total=0), ["its result cannot be read"]),
}


@pytest.mark.parametrize(("happens", "words"), GIVEN_UP.values(), ids=GIVEN_UP)
def test_a_revision_is_given_up(happens: Any, words: list[str]) -> None:
    world = edited_world()
    happens(world)
    world.step()
    assert split(world) == [(1, 10_000)]
    assert conditions(world)["Degraded"] == ("True", "RolledBack")
    said = message(world, "Degraded")
    for each in (*words, "or try again with the annotation llmdeployment.dev/retry: 2/1"):
        assert each in said
    world.gateway_applies(up=2)
    assert world.settle().requeue_after is None
    assert jobs(world) == ["r2-eval-1"]


def test_trying_again_is_another_job_and_a_good_result_of_it_counts() -> None:
    world = edited_world()
    answers(world, 2, 10)
    world.settle()
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/retry": "2/1"}
    world.settle()
    assert jobs(world) == ["r2-eval-2"]
    assert conditions(world)["Progressing"] == ("True", "Evaluating")
    answers(world, 2, 50, attempt=2)
    world.settle()
    assert "retry: 2/2" in message(world, "Degraded")
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/retry": "2/2"}
    world.settle()
    answers(world, 2, 99, attempt=3)
    world.step()
    assert split(world) == [(2, 1000), (1, 10_000)]


def test_a_lower_bar_and_another_try_need_no_other_job() -> None:
    world = edited_world()
    answers(world, 2, 80)
    world.settle()
    lower = {**EVALUATION, "minScorePercent": 75, "maxRegressionPercent": 20}
    world.edit(rollout={**CANARY, "evaluation": lower})
    world.settle()
    assert conditions(world)["Degraded"] == ("True", "RolledBack")
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/retry": "2/1"}
    world.step()
    assert split(world) == [(2, 1000), (1, 10_000)]
    assert jobs(world) == ["r2-eval-1"]


def test_another_golden_set_asks_again_and_is_not_compared_with_the_old_one() -> None:
    world = edited_world(passed=100)
    old = job(world, 2)["metadata"]["name"]
    other = {**EVALUATION, "golden": {"pvc": "pvc://sets/b.jsonl"}}
    world.edit(rollout={**CANARY, "evaluation": other})
    world.settle()
    made = job(world, 2)
    assert made["metadata"]["name"] != old
    assert jobs(world) == ["r2-eval-1"]
    answers(world, 2, 91)
    world.step()
    assert split(world) == [(2, 1000), (1, 10_000)]


def test_bars_and_speed_are_no_part_of_what_is_asked() -> None:
    def spec(**more: Any) -> str:
        return golden_hash(EvaluationSpec.model_validate({**EVALUATION, **more}))

    assert spec() == spec(minScorePercent=1, timeoutSeconds=60, concurrency=1)
    judge = {"url": "https://judge/v1", "model": "big"}
    assert len({spec(), spec(maxTokens=5), spec(judge=judge)}) == 3


def test_a_score_on_record_is_not_asked_for_again() -> None:
    world = edited_world()
    answers(world, 2, 99)
    world.step()
    world.gateway_applies(up=2)
    world.edit(prompt=WHISPER)
    world.settle()
    assert jobs(world) == ["r3-eval-1"]  # that of revision 2 has nothing to say any more
    world.gateway_applies(up=2)
    world.edit(prompt=SHOUT)
    world.step()
    world.step()
    assert split(world) == [(2, 1000), (1, 10_000)]
    assert jobs(world) == []


def test_a_status_that_is_lost_is_told_again_by_the_job() -> None:
    world = edited_world()
    answers(world, 2, 99)
    world.step()
    row = recorded(world, 2)
    world.look(status={})
    world.step()
    assert recorded(world, 2) == row


def test_a_result_whose_pod_is_not_yet_seen_to_have_ended_is_waited_for() -> None:
    world = edited_world()
    run(world, 2, running={"startedAt": AT})
    end(world, 2)
    world.settle()
    assert conditions(world)["Progressing"] == ("True", "Evaluating")
    answers(world, 2, 99)
    world.step()
    assert split(world) == [(2, 1000), (1, 10_000)]


def test_another_pod_does_not_speak_for_the_job() -> None:
    world = edited_world()
    run(
        world, 2, terminated={"exitCode": 0, "message": '{"passed": 9, "total": 9, "failures": []}'}
    )
    (*others, false) = world.observed.pods
    false["metadata"]["ownerReferences"] = [{"uid": "of-somebody-else"}]
    world.pods(*others, false)
    end(world, 2)
    world.settle()
    assert "its pod was gone before its result was read" in message(world, "Degraded")


def test_a_config_map_that_is_missing_is_named_and_waited_for() -> None:
    world = scored_world()
    world.look(missing_config_maps=frozenset({"questions"}))
    world.edit(prompt=SHOUT)
    world.step()
    world.settle()
    assert jobs(world) == []
    assert conditions(world)["Degraded"] == ("True", "ConfigMapMissing")
    said = message(world, "Degraded")
    assert "ConfigMap questions of spec.rollout.evaluation.golden.configMapRef" in said
    assert "create it" in said
    world.look(missing_config_maps=frozenset())
    world.settle()
    assert jobs(world) == ["r2-eval-1"]


def test_what_keeps_the_evaluations_pod_from_running_is_told() -> None:
    world = edited_world()
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    run(world, 2, waiting=waiting)
    world.settle()
    assert message(world).endswith(
        "first request: pod " + job(world, 2)["metadata"]["name"] + "-x: no such image"
    )


def test_whoever_promotes_a_revision_needs_no_evaluation() -> None:
    world = edited_world()
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/promote": "2"}
    world.step()
    assert split(world) == [(2, 10_000)]
    world.gateway_applies(up=2)
    world.settle()
    assert conditions(world)["Ready"] == ("True", "Serving")
    assert jobs(world) == ["r2-eval-1"]  # its score is what the next one is compared with


def test_a_step_by_annotation_is_not_past_the_evaluation() -> None:
    world = edited_world()
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/promote": "2/1"}
    world.settle()
    assert split(world) == [(1, 10_000)]


def test_an_evaluation_that_takes_long_is_progress() -> None:
    world = edited_world(progressDeadlineSeconds=60)
    for _ in range(10):
        world.now += timedelta(seconds=40)
        world.settle()
    ready = world.observed.pods
    world.pods(
        *(p for p in ready if p["metadata"]["labels"]["llmdeployment.dev/component"] != "worker")
    )
    world.step()
    assert "rejected" not in world.observed.status["arms"][0]
    assert jobs(world) == ["r2-eval-1"]


def test_an_evaluation_that_is_taken_out_of_the_spec_leaves_nothing_but_the_scores() -> None:
    world = edited_world()
    policies = {name for kind, name in world.observed.children if kind == "NetworkPolicy"}
    assert {"simulated-evaluation", "simulated-evaluated"} <= policies
    world.edit(rollout={key: value for key, value in CANARY.items() if key != "evaluation"})
    world.step()
    assert split(world) == [(2, 1000), (1, 10_000)]
    assert jobs(world) == []
    policies = {name for kind, name in world.observed.children if kind == "NetworkPolicy"}
    assert not {"simulated-evaluation", "simulated-evaluated"} & policies
    row = recorded(world, 1)
    assert row is not None
    assert row["score"] == 95


def test_a_job_is_left_as_it_was_born() -> None:
    world = edited_world()
    before = job(world, 2)
    world.edit(rollout={**CANARY, "evaluation": {**EVALUATION, "concurrency": 9}})
    world.settings = type(world.settings)(**{**vars(world.settings), "serving_image": "serving:2"})
    plan = world.plan()
    assert [obj["kind"] for obj in plan.apply if obj["kind"] == "Job"] == []
    world.step()
    assert job(world, 2) == before


def test_an_aborted_revision_asks_nothing_and_begins_anew() -> None:
    world = edited_world()
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/abort": "2"}
    world.settle()
    assert jobs(world) == []
    world.raw["metadata"]["annotations"] = {}
    world.settle()
    assert jobs(world) == ["r2-eval-1"]


def test_an_arm_that_is_new_answers_the_golden_set_before_its_first_request() -> None:
    world = scored_world()
    terse = {"name": "terse", "weight": 10, "overrides": {"prompt": SHOUT}}
    world.edit(arms=[{"name": "control", "weight": 90}, terse])
    for _ in range(4):
        world.step()
        world.obey()
    assert conditions(world)["Progressing"] == ("True", "Evaluating")
    assert split(world) == [(1, 10_000)]
    assert jobs(world) == ["r1-eval-1", "r2-eval-1"]
    answers(world, 2, 10)
    world.settle()
    assert split(world) == [(1, 10_000)]
    assert conditions(world)["Degraded"] == ("True", "RolledBack")
    assert "arm terse gets no requests: it answered 10 of 100" in message(world, "Degraded")
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/promote": "2"}
    world.step()
    assert split(world) == [(1, 9000), (2, 10_000)]


def test_the_job_asks_the_right_replicas_in_a_restricted_pod() -> None:
    raw = sample("smollm2-cpu")
    judge = {
        "url": "https://judge.example.com/v1",
        "model": "big",
        "prompt": "$(HOME): YES or NO?",
        "apiKeySecretRef": {"name": "judge"},
    }
    evaluation = {"golden": {"pvc": "pvc://sets/chat/a.jsonl"}, "judge": judge, "maxTokens": 64}
    raw["spec"]["rollout"] = {"evaluation": evaluation}
    world = World(raw)
    for _ in range(6):
        world.step()
        world.obey()
    (made,) = (obj for (kind, _), obj in world.observed.children.items() if kind == "Job")
    (runtime,) = world.runtimes()
    spec = made["spec"]
    assert (spec["activeDeadlineSeconds"], spec["backoffLimit"]) == (600, 1)
    assert "ttlSecondsAfterFinished" not in spec
    assert len(made["metadata"]["name"]) <= 63
    inner = spec["template"]["spec"]
    assert (inner["restartPolicy"], inner["automountServiceAccountToken"]) == ("Never", False)
    (container,) = inner["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert container["args"] == [
        "evaluate",
        f"--url=http://smollm2-{runtime}.team.svc:30000",
        "--revision=1",
        "--model=smollm2",
        "--golden=/golden/chat/a.jsonl",
        "--golden-name=pvc://sets/chat/a.jsonl",
        "--concurrency=4",
        "--max-tokens=64",
        "--judge-url=https://judge.example.com/v1",
        "--judge-model=big",
        "--judge-prompt=$$(HOME): YES or NO?",
    ]
    (key,) = (entry for entry in container["env"] if entry["name"] == "LLMD_JUDGE_API_KEY")
    assert key["valueFrom"] == {"secretKeyRef": {"name": "judge", "key": "apiKey"}}
    volumes = {volume["name"]: volume for volume in inner["volumes"]}
    assert volumes["golden"]["persistentVolumeClaim"] == {"claimName": "sets", "readOnly": True}
    # The same environment as the runtime's pods have.
    assert "/opt/llmdeployment/venv" in [m["mountPath"] for m in container["volumeMounts"]]
    assert "serving-env" in volumes
    assert "resources" in container


@pytest.mark.parametrize(
    ("evaluation", "why"),
    [
        ({"golden": {}}, "exactly one of configMapRef and pvc"),
        (
            {"golden": {"configMapRef": {"name": "a"}, "pvc": "pvc://a/b"}},
            "exactly one of configMapRef and pvc",
        ),
        ({"golden": {"pvc": "pvc://a"}}, "must be pvc://claim/path/file.jsonl"),
        ({"golden": {"pvc": "pvc://a/../b"}}, "must be pvc://claim/path/file.jsonl"),
        (
            {**EVALUATION, "judge": {"url": "https://me:key@host/v1", "model": "a"}},
            "spec.rollout.evaluation.judge.url must be http(s)://host/v1",
        ),
    ],
)
def test_a_bad_evaluation_is_refused_with_what_to_do(evaluation: Object, why: str) -> None:
    raw = admitted(sample("simulated"))
    raw["spec"]["rollout"] = {"evaluation": evaluation}
    with pytest.raises(ValueError, match="evaluation") as error:
        parse(raw)
    assert why in str(error.value)
    raw["spec"]["rollout"] = {"evaluation": EVALUATION, "strategy": "Recreate"}
    with pytest.raises(ValueError, match=r"spec\.rollout\.evaluation goes with strategy Canary"):
        parse(raw)
