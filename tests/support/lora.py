"""Small LoRA adapters as PEFT saves them, and models of which only the shapes matter; the safetensors format is simple enough to write."""

import json
import random
import struct
from pathlib import Path

Layers = dict[str, tuple[int, int]]
"""What a layer gives and takes: the shape of its weight."""


def write_model(folder: Path, layers: Layers) -> Path:
    """Writes a model of these layers, all zeros; returns its folder."""
    folder.mkdir(parents=True)
    _write(
        folder / "model.safetensors", {f"{name}.weight": s for name, s in layers.items()}, 0.0, 0
    )
    return folder


def write_adapter(
    folder: Path, layers: Layers, *, rank: int = 4, scale: float = 0.5, seed: int = 0
) -> Path:
    """Writes an adapter of random numbers for these layers; returns its folder."""
    folder.mkdir(parents=True)
    shapes = {}
    for name, (gives, takes) in layers.items():
        shapes[f"base_model.model.{name}.lora_A.weight"] = (rank, takes)
        shapes[f"base_model.model.{name}.lora_B.weight"] = (gives, rank)
    _write(folder / "adapter_model.safetensors", shapes, scale, seed)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "bias": "none",
        "target_modules": sorted({name.rpartition(".")[2] for name in layers}),
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def _write(file: Path, shapes: dict[str, tuple[int, int]], scale: float, seed: int) -> None:
    source = random.Random(seed)  # noqa: S311  # because these are no secrets
    header, data = {}, bytearray()
    for name, (rows, columns) in shapes.items():
        begin = len(data)
        numbers = [source.gauss(0, scale) if scale else 0.0 for _ in range(rows * columns)]
        data += struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {
            "dtype": "F32",
            "shape": [rows, columns],
            "data_offsets": [begin, len(data)],
        }
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)
