from typing import Any

import pytest

from llmdeployment_serving.config import ServingConfig, parse
from llmdeployment_serving.errors import ConfigError
from llmdeployment_serving.transformers_flags import FLAGS, Flags, parse_flags

CONFIG: dict[str, Any] = {
    "servedName": "chat",
    "modelPath": "/m",
    "engine": {"name": "transformers"},
}


def test_flags_are_read_as_vllm_reads_them() -> None:
    found = parse_flags(
        {
            "max-model-len": "4096",
            "max-num-seqs": 8,
            "dtype": "float32",
            "no-enable-prefix-caching": True,
            "gpu-memory-utilization": "0.5",
            "seed": 0,
        }
    )

    assert found == Flags(
        max_model_len=4096,
        max_num_seqs=8,
        dtype="float32",
        enable_prefix_caching=False,
        gpu_memory_utilization=0.5,
        seed=0,
    )


def test_every_flag_has_a_setting() -> None:
    assert {name.replace("-", "_") for name in FLAGS} == set(vars(Flags()))


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"tensor-fun": 1}, "the transformers engine has no flag tensor-fun: remove it"),
        ({"max-num-seqs": 0}, "max-num-seqs: 0 is not a whole number of at least 1"),
        ({"max-num-seqs": True}, "max-num-seqs: True is not a whole number of at least 1"),
        ({"max-model-len": 2.5}, "max-model-len: 2.5 is not a whole number of at least 2"),
        ({"max-model-len": "4k"}, "max-model-len: '4k' is not a whole number of at least 2"),
        ({"block-size": 3}, "block-size: 3 is not a whole number of at least 4"),
        ({"no-max-num-seqs": True}, "max-num-seqs needs a value, so it has no opposite"),
        ({"dtype": "int8"}, "dtype: 'int8' is none of auto, bfloat16, float16, float32"),
        (
            {"gpu-memory-utilization": 1.5},
            "gpu-memory-utilization: 1.5 is not a number above 0 and up to 1",
        ),
        (
            {"gpu-memory-utilization": True},
            "gpu-memory-utilization: True is not a number above 0 and up to 1",
        ),
        ({"enable-prefix-caching": "no"}, "enable-prefix-caching: 'no' is neither true nor false"),
    ],
)
def test_a_wrong_flag_is_refused_in_one_line(args: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_flags(args)

    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"modelPath": ""}, "modelPath is empty: the transformers engine needs a model"),
        ({"adapters": True}, "adapters must be false: the transformers engine loads none"),
        (
            {"pipelineParallelSize": 2},
            "tensorParallelSize must be 1: the transformers engine has one GPU",
        ),
    ],
)
def test_a_config_that_it_cannot_serve_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(ServingConfig, CONFIG | change)

    assert sentence in str(refused.value)
