from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.lora import write_adapter, write_model

from llmdeployment_serving.errors import AdapterError
from llmdeployment_serving.lora_files import check_adapter

if TYPE_CHECKING:
    from pathlib import Path

LAYER = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", {LAYER: (32, 16)})


def test_an_adapter_that_fits_is_taken(model: Path, tmp_path: Path) -> None:
    check_adapter(write_adapter(tmp_path / "a", {LAYER: (32, 16)}), model)


def test_layers_that_the_model_does_not_name_are_not_judged(model: Path, tmp_path: Path) -> None:
    check_adapter(write_adapter(tmp_path / "a", {"other.layer": (7, 7)}), model)


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ((32, 64), f"{LAYER} takes 16 numbers, the adapter has 64"),
        ((64, 16), f"{LAYER} gives 32 numbers, the adapter has 64"),
    ],
)
def test_an_adapter_of_another_model_is_refused(
    model: Path, tmp_path: Path, shape: tuple[int, int], why: str
) -> None:
    folder = write_adapter(tmp_path / "a", {LAYER: shape})
    with pytest.raises(AdapterError) as caught:
        check_adapter(folder, model)

    assert str(caught.value) == f"{folder} is an adapter of another model: {why}"


def test_what_is_no_adapter_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="there is no folder"):
        check_adapter(tmp_path / "none", model)
    with pytest.raises(AdapterError, match=r"has no adapter_config\.json"):
        check_adapter(model, model)
    folder = write_adapter(tmp_path / "a", {LAYER: (32, 16)})
    (folder / "adapter_model.safetensors").write_bytes(b"<html>not found</html>")
    with pytest.raises(AdapterError, match="is not a safetensors file"):
        check_adapter(folder, model)
