"""Checks from its files whether a folder holds a LoRA adapter of a model.

vLLM 0.32 reports a missing folder or a rank that is too high. It does not compare an adapter's shapes with the model's: an adapter
of a model with another width loads and answers nonsense (measured). The shapes of both are in the headers of their safetensors files.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmdeployment_serving.errors import AdapterError

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_peft_prefix = "base_model.model."
_plain = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
"""Types with one number per element; packed types (4 bits) have other shapes than their layers."""
_longest_header = 100_000_000  # bytes, safetensors' own limit

Shapes = dict[str, tuple[int, ...]]


def check_adapter(folder: Path, model: Path) -> None:
    """Check that an adapter can be loaded.

    Args:
        folder: folder of the adapter.
        model: folder of its base model.

    Raises:
        AdapterError: the folder holds no adapter, or one of another model.
    """
    if not folder.is_dir():
        raise AdapterError(f"there is no folder {folder} in this pod")
    if not (folder / CONFIG).is_file():
        raise AdapterError(f"{folder} has no {CONFIG}, so it is not an adapter in PEFT's format")
    if not (folder / WEIGHTS).is_file():
        return  # why: the engine checks older formats
    base: Shapes = {}
    for file in sorted(model.glob("*.safetensors")):
        base |= read_shapes(file)
    if (why := find_misfit(read_shapes(folder / WEIGHTS), base)) is not None:
        raise AdapterError(f"{folder} is an adapter of another model: {why}")


def find_misfit(
    adapter: Mapping[str, tuple[int, ...]], base: Mapping[str, tuple[int, ...]]
) -> str | None:
    """Return a sentence about the first layer whose shapes do not match, or None. Layers that the model's files lack are not checked.

    >>> base = {"model.q.weight": (576, 576)}
    >>> find_misfit({"base_model.model.model.q.lora_A.weight": (8, 576)}, base)
    >>> find_misfit({"base_model.model.model.q.lora_A.weight": (8, 64)}, base)
    'model.q takes 576 numbers, the adapter has 64'
    >>> find_misfit({"base_model.model.model.q.lora_B.weight": (64, 8)}, base)
    'model.q gives 576 numbers, the adapter has 64'
    """
    for name, shape in adapter.items():
        for mark, side, does in ((".lora_A.", 1, "takes"), (".lora_B.", 0, "gives")):
            layer = name.removeprefix(_peft_prefix).partition(mark)[0]
            wanted = base.get(f"{layer}.weight")
            if mark in name and wanted is not None and shape[side] != wanted[side]:
                return f"{layer} {does} {wanted[side]} numbers, the adapter has {shape[side]}"
    return None


def read_shapes(file: Path) -> Shapes:
    """Return the shape of each matrix in a safetensors file.

    Source: https://huggingface.co/docs/safetensors (8 bytes of length, little-endian, then JSON).

    Raises:
        AdapterError: the file cannot be read, or is not a safetensors file.
    """
    try:
        with file.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            header: dict[str, Any] = json.loads(handle.read(min(length, _longest_header)))
        return {
            name: tuple(tensor["shape"])
            for name, tensor in header.items()
            if name != "__metadata__" and tensor["dtype"] in _plain and len(tensor["shape"]) == 2  # noqa: PLR2004  # because a matrix has two
        }
    except OSError as error:
        raise AdapterError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise AdapterError(f"{file} is not a safetensors file: copy it again") from None
