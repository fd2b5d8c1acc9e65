import json
from pathlib import Path

import pytest

from llmdeployment_serving.config import RESERVED_FLAGS, ServingConfig, UserConfig, parse
from llmdeployment_serving.errors import ConfigError
from llmdeployment_serving.flags import build_vllm_flags

PUT = json.loads(Path("tests/data/serving/put.json").read_text())
APPLICATION = PUT["applications"][0]
VLLM = {"servedName": "chat", "modelPath": "/models/model"}


def test_what_the_operator_puts_is_what_serving_parses() -> None:
    config = parse(ServingConfig, APPLICATION["args"])
    user = parse(UserConfig, APPLICATION["deployments"][0]["user_config"])

    # The one field that is said only when it is so: it came later, and the args of a living runtime must not change.
    assert config.model_dump(mode="json", by_alias=True) == {
        **APPLICATION["args"],
        "adapters": False,
    }
    assert user.find_newest() == "1"


def test_defaults_are_small() -> None:
    config = parse(ServingConfig, VLLM)

    assert (config.max_ongoing_requests, config.gpus, config.engine.name) == (256, 0, "vllm")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (VLLM | {"bogus": 1}, "ServingConfig is not valid: bogus: Extra inputs are not permitted"),
        (
            {"servedName": "chat"},
            "ServingConfig is not valid: ServingConfig: modelPath is empty: the vllm engine needs a model",
        ),
        (
            VLLM | {"gpus": 2},
            "ServingConfig is not valid: ServingConfig: gpus is 2 but tensorParallelSize x pipelineParallelSize is 1",
        ),
        (
            VLLM | {"engine": {"args": {"host": "127.0.0.1"}}},
            "ServingConfig is not valid: engine.args: flag host cannot be set: the operator sets it",
        ),
        (
            VLLM | {"engine": {"args": {"no-disable-log-stats": True}}},
            (
                "ServingConfig is not valid: engine.args: flag no-disable-log-stats cannot be set: "
                "scaling and rollouts decide on the engine's statistics"
            ),
        ),
        (
            [],
            "ServingConfig is not valid: ServingConfig: Input should be a valid dictionary or instance of ServingConfig",
        ),
    ],
)
def test_a_refusal_is_one_line(document: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(ServingConfig, document)

    assert str(caught.value) == message


@pytest.mark.parametrize("flag", ["--dtype", "max_model_len", "-tp", "a b", "x=y", ""])
def test_a_flag_is_a_bare_name(flag: str) -> None:
    with pytest.raises(ConfigError):
        parse(ServingConfig, VLLM | {"engine": {"args": {flag: 1}}})


def test_each_reserved_flag_says_who_sets_it() -> None:
    assert all(reason and not reason.endswith(".") for reason in RESERVED_FLAGS.values())


@pytest.mark.parametrize("flag", ["lora-modules.name", "no-api-key.x", "hf-token", "model.x.y"])
def test_a_part_of_a_reserved_flag_is_refused_like_the_whole(flag: str) -> None:
    with pytest.raises(ConfigError, match=f"flag {flag} cannot be set"):
        parse(ServingConfig, VLLM | {"engine": {"args": {flag: 1}}})


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        ({"enforce-eager": True}, "--enforce-eager"),
        ({"enforce-eager": False}, "--no-enforce-eager"),
        ({"compilation-config.debug": True}, "--compilation-config.debug=true"),
        ({"compilation-config.debug": False}, "--compilation-config.debug=false"),
        ({"reasoning-parser": ""}, "--reasoning-parser="),
    ],
)
def test_a_part_of_a_flag_keeps_its_value(given: dict[str, object], flag: str) -> None:
    config = parse(ServingConfig, VLLM | {"engine": {"args": given}})
    assert build_vllm_flags(config)[-1] == flag


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        ({}, ["--allowed-media-domains=media-urls-are-off.invalid"]),
        ({"allowed-media-domains": "a.example"}, ["--allowed-media-domains=a.example"]),
    ],
    ids=["nobody asked", "the user has one"],
)
def test_media_come_from_nowhere_unless_somebody_says_from_where(
    given: dict[str, str], flags: list[str]
) -> None:
    config = parse(ServingConfig, VLLM | {"engine": {"args": given}})
    assert [flag for flag in build_vllm_flags(config) if "media" in flag] == flags


@pytest.mark.parametrize(
    "revisions",
    [
        {"0": {}},
        {"one": {}},
        {"1": {"promt": {}}},
        {"1": {"prompt": {"defaults": {"model": "x"}}}},
        {"1": {"prompt": {"defaults": {"stream": True}}}},
    ],
)
def test_a_wrong_revision_is_refused(revisions: object) -> None:
    with pytest.raises(ConfigError):
        parse(UserConfig, {"revisions": revisions})


def test_the_newest_revision_is_the_highest_number_not_the_last_text() -> None:
    user = parse(UserConfig, {"revisions": {"9": {}, "10": {}}})

    assert user.find_newest() == "10"
    assert UserConfig().find_newest() is None
