"""The evaluation's Job: when there is one, what it asks, what disturbs it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.support.evaluations import (
    CANARY,
    EVALUATION,
    SHOUT,
    WHISPER,
    answers,
    edited_world,
    end,
    job,
    jobs,
    recorded,
    run,
    scored_world,
)
from tests.support.stories import conditions, message, split
from tests.support.world import World, sample

from llmdeployment_operator.api.evaluation import EvaluationSpec
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.plan.base.names import COMPONENT
from llmdeployment_operator.plan.rollout.evaluation_result import hash_golden_set


def test_wherever_the_operator_is_killed_there_is_one_job_and_one_verdict() -> None:
    for writes in range(8):
        world = scored_world()
        world.edit(prompt=SHOUT)
        for _ in range(3):
            world.crash(writes)
        world.settle()
        assert jobs(world) == ["r2-eval-1"]
        answers(world, 2, 10)
        for _ in range(3):
            world.crash(writes)
        world.settle()
        assert split(world) == [(1, 10_000)]
        assert "retry: 2/1" in message(world, "Degraded")


def test_bars_and_speed_are_no_part_of_what_is_asked() -> None:
    def spec(**more: Any) -> str:
        return hash_golden_set(EvaluationSpec.model_validate({**EVALUATION, **more}))

    assert spec() == spec(minScorePercent=1, timeoutSeconds=60, concurrency=1)
    judge = {"url": "https://judge/v1", "model": "big"}
    assert len({spec(), spec(maxTokens=5), spec(judge=judge)}) == 3


def test_a_status_that_is_lost_is_told_again_by_the_job() -> None:
    world = edited_world()
    answers(world, 2, 99)
    world.step()
    row = recorded(world, 2) or {}
    world.observe(status=Status())
    world.step()
    # What it was compared with is lost for good.
    assert recorded(world, 2) == {key: row[key] for key in row if key != "comparison"}


def test_another_pod_does_not_speak_for_the_job() -> None:
    world = edited_world()
    run(
        world, 2, terminated={"exitCode": 0, "message": '{"passed": 9, "total": 9, "failures": []}'}
    )
    (*others, false) = world.cluster.pods
    false["metadata"]["ownerReferences"] = [{"uid": "of-somebody-else"}]
    world.pods(*others, false)
    end(world, 2)
    world.settle()
    assert "Its pod was gone before the operator read the result." in message(world, "Degraded")


def test_a_config_map_that_is_missing_is_named_and_waited_for() -> None:
    world = scored_world()
    world.observe(missing_config_maps=frozenset({"questions"}))
    world.edit(prompt=SHOUT)
    world.step()
    world.settle()
    assert jobs(world) == []
    assert conditions(world)["Degraded"] == ("True", "ConfigMapMissing")
    said = message(world, "Degraded")
    assert "ConfigMap questions of spec.rollout.evaluation.golden.configMapRef" in said
    assert "Create it." in said
    world.observe(missing_config_maps=frozenset())
    world.settle()
    assert jobs(world) == ["r2-eval-1"]


def test_what_keeps_the_evaluations_pod_from_running_is_told() -> None:
    world = edited_world()
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    run(world, 2, waiting=waiting)
    world.settle()
    pod_name = job(world, 2)["metadata"]["name"] + "-x"
    assert f"first request. Pod {pod_name} cannot pull the image" in message(world)
    assert "no such image" in message(world)


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
    ready = world.cluster.pods
    world.pods(*(p for p in ready if p["metadata"]["labels"][COMPONENT] != "worker"))
    world.step()
    assert "rejected" not in world.status["arms"][0]
    assert jobs(world) == ["r2-eval-1"]


def test_an_evaluation_that_is_taken_out_of_the_spec_leaves_nothing_but_the_scores() -> None:
    world = edited_world()
    policies = {name for kind, name in world.cluster.children if kind == "NetworkPolicy"}
    assert {"simulated-evaluation", "simulated-evaluated"} <= policies
    world.edit(rollout={key: value for key, value in CANARY.items() if key != "evaluation"})
    world.step()
    assert split(world) == [(2, 1000), (1, 10_000)]
    assert jobs(world) == []
    policies = {name for kind, name in world.cluster.children if kind == "NetworkPolicy"}
    assert not {"simulated-evaluation", "simulated-evaluated"} & policies
    row = recorded(world, 1)
    assert row is not None
    assert row["score"] == 95


def test_a_job_is_left_as_it_was_born() -> None:
    world = edited_world()
    before = job(world, 2)
    world.edit(rollout={**CANARY, "evaluation": {**EVALUATION, "concurrency": 9}})
    images = replace(world.settings.serving_images, simulated="serving:2")
    world.settings = replace(world.settings, serving_images=images)
    plan = world.plan()
    assert [obj["kind"] for obj in plan.apply if obj["kind"] == "Job"] == []
    world.step()
    assert job(world, 2) == before


def test_who_is_scaled_to_zero_is_asked_when_a_replica_is_back() -> None:
    world = edited_world()
    world.edit(replicas=0, prompt=WHISPER)
    (runtime,) = world.runtimes()
    for _ in range(3):
        world.pods(
            *(p for p in world.cluster.pods if p["metadata"]["labels"][COMPONENT] != "worker")
        )
        world.serve(runtime, replicas=0)
        world.step()
    assert jobs(world) == []
    assert split(world) == [(1, 10_000)]
    assert conditions(world)["Ready"] == ("False", "ScaledToZero")
    world.edit(replicas=2)
    for _ in range(4):
        world.step()
        world.obey()
    assert jobs(world) == ["r3-eval-1"]
    assert split(world) == [(1, 10_000)]


def test_an_aborted_revision_asks_nothing_and_begins_anew() -> None:
    world = edited_world()
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/abort": "2"}
    world.settle()
    assert jobs(world) == []
    world.raw["metadata"]["annotations"] = {}
    world.settle()
    assert jobs(world) == ["r2-eval-1"]


def refused_arm() -> World:
    """A world with an arm that is new and answered too badly."""
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
    assert "Arm terse gets no requests. It answered 10 of 100" in message(world, "Degraded")
    return world


def test_an_arm_that_is_new_answers_the_golden_set_before_its_first_request() -> None:
    world = refused_arm()
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/promote": "2"}
    world.step()
    assert split(world) == [(1, 9000), (2, 10_000)]


def test_an_arm_that_is_new_is_tried_again_as_the_message_says() -> None:
    world = refused_arm()
    assert "the annotation llmdeployment.dev/retry: 2/1, or skip" in message(world, "Degraded")
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/retry": "2/1"}
    world.settle()
    assert jobs(world) == ["r1-eval-1", "r2-eval-2"]
    assert conditions(world)["Progressing"] == ("True", "Evaluating")
    answers(world, 2, 20, attempt=2)
    world.settle()
    assert "answered 20 of 100" in message(world, "Degraded")
    assert "llmdeployment.dev/retry: 2/2" in message(world, "Degraded")
    assert jobs(world) == ["r1-eval-1", "r2-eval-2"]
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/retry": "2/2"}
    world.settle()
    assert jobs(world) == ["r1-eval-1", "r2-eval-3"]
    answers(world, 2, 99, attempt=3)
    world.settle()
    assert split(world) == [(1, 9000), (2, 10_000)]
    world.gateway_applies(up=2)
    world.settle()
    assert conditions(world)["Ready"] == ("True", "Serving")
    assert jobs(world) == ["r1-eval-1", "r2-eval-3"]


def test_a_new_arm_that_may_have_requests_by_now_needs_no_other_job() -> None:
    world = refused_arm()
    lower = {**EVALUATION, "minScorePercent": 5, "maxRegressionPercent": 100}
    world.edit(rollout={**CANARY, "evaluation": lower})
    world.raw["metadata"]["annotations"] = {"llmdeployment.dev/retry": "2/1"}
    world.settle()
    assert split(world) == [(1, 9000), (2, 10_000)]
    assert jobs(world) == ["r1-eval-1", "r2-eval-1"]


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
    (made,) = (obj for (kind, _), obj in world.cluster.children.items() if kind == "Job")
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
    # It needs no engine, so it has the small image whatever the runtime's pods have.
    assert container["image"] == "serving:1-simulated"
    assert "resources" in container
