from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dev import model, serving_env
from tests.support.lora import write_adapter
from tests.support.otlp_receiver import receive_spans
from tests.support.ray_runtime import RayRuntime, status_of, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.otlp_receiver import Received

HIDDEN = 576
"""The width of SmolLM2-135M."""


@pytest.fixture(scope="session")
def put_document() -> dict[str, Any]:
    return dict(json.loads(Path("tests/data/serving/put.json").read_text()))


@pytest.fixture(scope="module")
def ray_runtime(
    tmp_path_factory: pytest.TempPathFactory, put_document: dict[str, Any]
) -> Iterator[RayRuntime]:
    """A head, a worker and the application of `put.json`, which answers."""
    runtime = RayRuntime(tmp_path_factory.mktemp("ray"))
    try:
        runtime.start()
        assert runtime.put(put_document) == 200
        runtime.until_replicas(300)
        yield runtime
    finally:
        runtime.stop()


@pytest.fixture(scope="package")
def collector() -> Iterator[Received]:
    with receive_spans() as received:
        yield received


@pytest.fixture(scope="module")
def vllm_runtime(
    tmp_path_factory: pytest.TempPathFactory, put_document: dict[str, Any], collector: Received
) -> Iterator[RayRuntime]:
    """vLLM on this machine's CPU with the demo's model. One for each file: two Ray clusters at once disturb each other."""
    files = model.find_ready()
    environment = serving_env.refresh()
    if files is None or environment is None:
        pytest.skip(reason="no model or no vLLM in the cache: `python3 -m dev.model` makes both")
    document = copy.deepcopy(put_document)
    application = document["applications"][0]
    flags = {"max-model-len": 2048, "max-num-seqs": 16, "enforce-eager": True}
    application["args"] |= {
        "modelPath": str(files),
        "adapters": True,
        "engine": {"name": "vllm", "args": flags},
    }
    application["deployments"][0]["user_config"] = {
        "revisions": {
            "1": {"prompt": {"defaults": {"temperature": 0, "max_tokens": 32}}},
            "2": {"prompt": {"system": "Reply in one word.", "defaults": {"max_tokens": 3}}},
            **adapters(tmp_path_factory.mktemp("adapters")),
        },
        "monitoring": {"traces": {"samplePercent": 0, "slowerThanSeconds": 9999}},
    }
    runtime = RayRuntime(
        tmp_path_factory.mktemp("ray"),
        python=str(environment / "bin/python"),
        # Like the image for CPUs, this has no C++ compiler.
        environment={
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "HF_HUB_OFFLINE": "1",
            "CXX": "no-compiler",
            "LLMD_TRACES": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        },
    )
    try:
        runtime.start()
        assert runtime.put(document) == 200
        url = runtime.replica_url("/-/healthz")
        until(lambda: status_of(url) == 200, seconds=600, what="a replica with vLLM")
        yield runtime
    finally:
        runtime.stop()


def adapters(folder: Path) -> dict[str, Any]:
    """Revisions with other files for one name, and one whose adapters cannot be loaded."""
    layers = {f"model.layers.{n}.self_attn.q_proj": (HIDDEN, HIDDEN) for n in range(8)}
    narrow = dict.fromkeys(layers, (64, 64))
    made = {
        "3": {"legal": write_adapter(folder / "one", layers, scale=0.5, seed=1)},
        "4": {"legal": write_adapter(folder / "two", layers, scale=0.5, seed=2)},
        "5": {
            "missing": folder / "none",
            "high": write_adapter(folder / "high", dict(list(layers.items())[:1]), rank=128),
            "narrow": write_adapter(folder / "narrow", narrow),
        },
    }
    return {
        number: {
            "prompt": {"defaults": {"temperature": 0, "max_tokens": 12}},
            "adapters": [{"name": name, "path": str(path)} for name, path in found.items()],
        }
        for number, found in made.items()
    }
