"""Python tools with an environment of their own in the cache, because their dependencies do not fit the project's."""

import hashlib
from pathlib import Path

from dev.cluster.paths import ensure_cache
from dev.cluster.stages import hold_lock, run_logged, stage
from dev.serving_env import INTERPRETER, ensure_uv

_REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"


def ensure(name: str, requirements: str) -> Path:
    """Return the folder of an environment, and install it if it is missing.

    Args:
        name: of the folder in the cache.
        requirements: file in requirements/, with hashes.

    Raises:
        StageError: it cannot be installed here; the message says why.
    """
    file = _REQUIREMENTS / requirements
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    cache = ensure_cache()
    folder = cache / f"{name}-{digest}"
    complete = folder / "complete"
    with hold_lock(cache / "locks" / f"{name}.lock"):
        if not complete.exists():
            log = cache / "logs" / f"{name}.log"
            with stage(name):
                uv = ensure_uv()
                run_logged(
                    [uv, "venv", "--quiet", "--clear", "--python", INTERPRETER, str(folder)], log
                )
                sync = [uv, "pip", "sync", "--quiet", "--python", str(folder / "bin/python")]
                advice = "connect this machine to the package index, and run this again"
                run_logged([*sync, "--require-hashes", str(file)], log, advice=advice)
            complete.touch()
    return folder
