"""The Python environment of a replica without a GPU: `python3 -m dev.serving_env` creates it once and prints its folder last.

A serving image with these packages would have 7 GB to build and to copy onto the node. Instead the local cluster mounts this folder
read-only at `MOUNT`, into pods of a small image with the same Python; tests and measurements use it in place. So it must work under
two paths, for every user, without writes: it uses the system's interpreter, its scripts find it by their own path, and its modules
are compiled.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from dev.cluster.paths import ensure_cache
from dev.cluster.stages import StageError, hold_lock, run_logged, stage

MOUNT = "/opt/llmdeployment/venv"
"""Path of the environment in pods; the serving image has its own environment there."""
INTERPRETER = "/usr/bin/python3"
"""The system's Python: Debian's image has the same one at the same path."""
REPOSITORY = Path(__file__).resolve().parent.parent
REQUIREMENTS = REPOSITORY / "requirements" / "serving-cpu.txt"
SERVING = REPOSITORY / "serving"

MODEL_INFOS = "share/llmdeployment/modelinfos"
"""Path of vLLM's facts about model classes, which otherwise take 20 s at every start; a worker copies them from here."""

_MODEL_INFOS = """\
from vllm.model_executor.models import ModelRegistry
for name in ("LlamaForCausalLM",):
    ModelRegistry.models[name].inspect_model_cls()
"""
_COMPLETE = ".complete"
_INSTALLED = ".llmdeployment-serving"
_NETWORK = "check the connection to the package index, then try again; finished downloads are kept"


def main() -> int:
    """Create the environment and print its folder."""
    try:
        print(ensure())
    except StageError as error:
        print(error.explain(), file=sys.stderr)
        return 1
    return 0


def locate() -> Path:
    """Return the folder for the current requirements, whether or not it exists."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + (SERVING / "pyproject.toml").read_bytes())
    return ensure_cache() / f"serving-env-{digest.hexdigest()[:12]}"


def find_ready() -> Path | None:
    """Return the folder if it is complete and has this checkout's serving package, or None."""
    folder = locate()
    marker = folder / _INSTALLED
    if not (folder / _COMPLETE).exists() or not marker.exists():
        return None
    return folder if marker.read_text() == _hash_sources() else None


def ensure() -> Path:
    """Return the folder, and create what is missing.

    Raises:
        StageError: the environment cannot be created here; the message says why.
    """
    if folder := find_ready():
        return folder
    folder = locate()
    with hold_lock(ensure_cache() / "locks" / "serving-env.lock"):
        if not (folder / _COMPLETE).exists():
            _make(folder)
        if find_ready() is None:
            with stage("serving environment: this checkout's package"):
                _install(folder)
    return folder


def refresh() -> Path | None:
    """Return the folder with this checkout's package, or None if its other packages are missing, which would take long."""
    return ensure() if (locate() / _COMPLETE).exists() else None


def ensure_uv() -> str:
    """Return the path of uv, of the version `dev/bootstrap.sh` names, and install it if it is missing."""
    found = re.search(
        r"^uv_version=(\S+)$", (REPOSITORY / "dev/bootstrap.sh").read_text(), re.MULTILINE
    )
    if not found:
        raise StageError("dev/bootstrap.sh has no line uv_version=...")
    home = ensure_cache() / f"uv-{found[1]}"
    program = home / "bin" / "uv"
    if not program.exists():
        with stage(f"uv {found[1]}"):
            advice = "on Debian and Ubuntu: apt-get install python3-venv"
            run_logged([sys.executable, "-m", "venv", str(home)], _locate_log(), advice=advice)
            pip = [str(home / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
            run_logged([*pip, f"uv=={found[1]}"], _locate_log(), advice=_NETWORK)
    return str(program)


def _make(folder: Path) -> None:
    _check_interpreter()
    program = ensure_uv()
    with stage("serving environment: packages (6 GB on disk)"):
        make = [program, "venv", "--quiet", "--clear", "--relocatable", "--python", INTERPRETER]
        run_logged([*make, str(folder)], _locate_log())
        sync = [program, "pip", "sync", "--quiet", "--python", str(folder / "bin/python")]
        run_logged([*sync, "--require-hashes", str(REQUIREMENTS)], _locate_log(), advice=_NETWORK)
    with stage("serving environment: compile its modules"):
        compiling = [str(folder / "bin/python"), "-m", "compileall", "-q", "-j", "0"]
        compiling += ["--invalidation-mode", "unchecked-hash"]
        # why: it fails for one of 30,000 files, a template of another project that is not valid Python.
        with suppress(StageError):
            run_logged([*compiling, str(folder / "lib")], _locate_log())
    with stage("serving environment: facts about model classes for vLLM"):
        infos = [str(folder / "bin/python"), "-c", _MODEL_INFOS]
        with tempfile.TemporaryDirectory() as text:
            run_logged(infos, _locate_log(), env={**os.environ, "VLLM_CACHE_ROOT": text})
            shutil.copytree(Path(text) / "modelinfos", folder / MODEL_INFOS, dirs_exist_ok=True)
    (folder / _COMPLETE).touch()


def _install(folder: Path) -> None:
    command = [ensure_uv(), "pip", "install", "--quiet", "--python", str(folder / "bin/python")]
    command += ["--no-deps", "--reinstall-package", "llmdeployment-serving", "--compile-bytecode"]
    run_logged([*command, str(SERVING)], _locate_log(), advice=_NETWORK)
    (folder / _INSTALLED).write_text(_hash_sources())


def _hash_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted((SERVING / "src").rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path.relative_to(SERVING)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _check_interpreter() -> None:
    script = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run(
            [INTERPRETER, "-c", script], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise StageError(f"{INTERPRETER} does not run: {error}") from error
    version = tuple(int(part) for part in done.stdout.split())
    if not (3, 11) <= version < (3, 14):
        raise StageError(
            f"{INTERPRETER} is Python {'.'.join(map(str, version))}",
            advice="use a machine whose own Python is 3.11 to 3.13, such as Debian 12",
        )


def _locate_log() -> Path:
    return ensure_cache() / "logs" / f"serving-env-{os.getpid()}.log"


if __name__ == "__main__":
    sys.exit(main())
