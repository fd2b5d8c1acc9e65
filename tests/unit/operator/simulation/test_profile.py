import json
from pathlib import Path

import pytest

from llmdeployment_operator.simulation.errors import InputError
from llmdeployment_operator.simulation.profile import Profile, parse_profile, read_profile
from llmdeployment_serving.queueing import Rates


def test_a_profile_is_what_the_simulated_engine_takes() -> None:
    rates, profile = Rates(), Profile()

    for name, value in profile.model_dump(exclude={"warm_up_seconds"}).items():
        assert getattr(rates, name) == value
    assert rates.step_seconds(20, 4_000) == profile.step_seconds(20, 4_000)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    profile = Profile(decode_tokens_per_second=33.3, max_num_seqs=8)
    path.write_text(profile.model_dump_json())

    assert read_profile(path) == profile
    path.write_text(json.dumps({"profile": {"max_num_seqs": 9}, "error": {"ttft": 0.1}}))
    assert read_profile(path).max_num_seqs == 9


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([], "p.json holds no engine profile: a JSON object such as {"),
        ({"max_num_seqs": 0}, "p.json: max_num_seqs: Input should be greater than or equal to 1"),
        ({"speed": 1}, "p.json: speed: Extra inputs are not permitted"),
        (
            {"batch_tokens_per_second": 1},
            "p.json: batch_tokens_per_second is below decode_tokens_per_second",
        ),
        ({"prefill_tokens_per_second": float("inf")}, "p.json: prefill_tokens_per_second: "),
    ],
)
def test_what_is_no_profile_is_said_in_a_sentence(document: object, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_profile(document, "p.json")

    assert str(caught.value).startswith(sentence)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_profile(tmp_path / "none.json")
    (tmp_path / "p.json").write_text("{")
    with pytest.raises(InputError, match="is no JSON"):
        read_profile(tmp_path / "p.json")
