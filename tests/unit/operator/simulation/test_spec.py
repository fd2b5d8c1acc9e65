from datetime import UTC, datetime
from typing import Any

import pytest

from llmdeployment_operator.autoscaler.types import ScalingPolicy, Target
from llmdeployment_operator.simulation.errors import InputError
from llmdeployment_operator.simulation.profile import Profile
from llmdeployment_operator.simulation.spec import Subject, profile_for, subject

SCALING = {
    "minReplicas": 0,
    "maxReplicas": 8,
    "targets": {
        "ttft": {"percentile": 95, "milliseconds": 500},
        "e2e": {"milliseconds": 9000},
    },
    "scaleToZeroAfter": "10m",
}


NIGHT = {"schedule": "0 22 * * *", "duration": "2h", "minReplicas": 5, "timeZone": "Europe/Berlin"}


def llm(scaling: Any = SCALING, **spec: Any) -> dict[str, Any]:
    return {
        "kind": "LLMDeployment",
        "metadata": {"name": "chat"},
        "spec": {"scaling": scaling, **spec},
    }


def test_what_is_promised() -> None:
    engine = {"name": "simulated", "args": {"max-num-seqs": 4}}
    documents = [{"kind": "Secret"}, None, llm(engine=engine)]

    assert subject(documents, "llm.yaml") == Subject(
        name="chat",
        policy=ScalingPolicy(0, 8, (Target("ttft", 95, 0.5), Target("e2e", 90, 9.0)), 600.0),
        engine="simulated",
        args={"max-num-seqs": 4},
    )


@pytest.mark.parametrize(
    ("documents", "sentence"),
    [
        ([], "llm.yaml holds no LLMDeployment; it is to hold one"),
        ([llm(), llm()], "llm.yaml holds 2 LLMDeployments; it is to hold one"),
        ([llm(None)], "llm.yaml: spec.scaling is missing: say maxReplicas and targets"),
        ([llm({"minReplicas": 1})], "llm.yaml: spec.scaling: maxReplicas: Field required."),
        ([llm({"maxReplicas": 1})], "llm.yaml: spec.scaling: targets: Field required."),
        (
            [llm({"minReplicas": 5, "maxReplicas": 3, "targets": {"itl": {"milliseconds": 50}}})],
            (
                "llm.yaml: spec.scaling: spec.scaling.minReplicas must not be above spec.scaling.maxReplicas. "
                "Lower the one or raise the other."
            ),
        ),
        (
            [llm({"maxReplicas": 3, "targets": {"ttft": {"milliseconds": 0}}})],
            "llm.yaml: spec.scaling: targets.ttft.milliseconds: Input should be greater than or equal to 1.",
        ),
        (
            [llm({"maxReplicas": 3, "targets": {"ttft": {"milliseconds": 750_001}}})],
            "llm.yaml: spec.scaling: targets.ttft.milliseconds: Input should be less than or equal to 750000.",
        ),
        (
            [llm({"maxReplicas": 3, "targets": {"ttft": {"milliseconds": 5, "percentile": 100}}})],
            "llm.yaml: spec.scaling: targets.ttft.percentile: Input should be 50, 75, 90, 95 or 99.",
        ),
        (
            [llm({**SCALING, "schedules": [{**NIGHT, "schedule": "0 20-8 * * *"}]})],
            (
                "llm.yaml: spec.scaling: spec.scaling.schedules: "
                'schedule "0 20-8 * * *" is not a cron expression of five fields: Bad hour.'
            ),
        ),
        (
            [llm({"maxReplicas": 3, "targets": {"tpot": {"milliseconds": 5}}})],
            "llm.yaml: spec.scaling: targets.tpot: Extra inputs are not permitted.",
        ),
    ],
)
def test_what_cannot_be_simulated_is_said_in_a_sentence(
    documents: list[object], sentence: str
) -> None:
    with pytest.raises(InputError) as caught:
        subject(documents, "llm.yaml")

    assert str(caught.value) == sentence


def with_engine(name: str, **args: Any) -> Subject:
    flags = {flag.replace("_", "-"): value for flag, value in args.items()}
    return subject([llm(engine={"name": name, "args": flags})], "llm.yaml")


def test_a_simulated_engine_is_its_own_profile() -> None:
    wanted = with_engine(
        "simulated", max_num_seqs="4", decode_tokens_per_second=50, warm_up_seconds=7, seed=1
    )

    assert profile_for(wanted, None) == Profile(
        max_num_seqs=4, decode_tokens_per_second=50, warm_up_seconds=7
    )
    assert profile_for(with_engine("simulated"), None).warm_up_seconds == 0


def test_a_profile_that_fits_is_taken() -> None:
    profile = Profile(max_num_seqs=4, kv_cache_tokens=4_096)

    assert profile_for(with_engine("vllm", max_num_seqs=4, max_model_len=4_096), profile) is profile
    assert profile_for(with_engine("vllm"), profile) is profile


@pytest.mark.parametrize(
    ("wanted", "profile", "sentence"),
    [
        (with_engine("vllm"), None, "the engine is vllm: say what one replica can do with"),
        (
            with_engine("vllm", max_num_seqs=8),
            Profile(max_num_seqs=4),
            "the engine profile does not fit spec.engine.args: max-num-seqs is 8 there and 4 in",
        ),
        (
            with_engine("vllm", max_model_len=8_192),
            Profile(kv_cache_tokens=4_096),
            "the engine profile does not fit spec.engine.args: max-model-len is 8192, but the",
        ),
        (
            with_engine("simulated", decode_tokens_per_second=-1),
            None,
            "spec.engine.args: decode_tokens_per_second: Input should be greater than 0",
        ),
    ],
)
def test_a_profile_that_does_not_fit_is_refused(
    wanted: Subject, profile: Profile | None, sentence: str
) -> None:
    with pytest.raises(InputError) as caught:
        profile_for(wanted, profile)

    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_schedules_go_by_the_time_the_trace_was_recorded(speed: float) -> None:
    wanted = subject([llm({**SCALING, "schedules": [NIGHT]})], "llm.yaml")
    # 20:00 in Berlin, in winter.
    minimum = wanted.minimum_at(datetime(2026, 11, 24, 19, tzinfo=UTC).timestamp(), speed)

    hours = [minimum(hour * 3600 / speed) for hour in (0, 1.9, 2.1, 3.9, 4.1)]
    assert hours == [0, 0, 5, 5, 0]
