"""checkov, which looks for insecure settings in Kubernetes manifests, in an environment of its own in the cache."""

import hashlib
from pathlib import Path

from dev.cluster.paths import ensure_cache
from dev.cluster.stages import hold_lock, run_logged, stage
from dev.serving_env import INTERPRETER, ensure_uv

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements" / "checkov.txt"


def ensure() -> Path:
    """Return the path of checkov, and install it if it is missing.

    Raises:
        StageError: it cannot be installed here; the message says why.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:8]
    cache = ensure_cache()
    folder = cache / f"checkov-{digest}"
    complete = folder / "complete"
    with hold_lock(cache / "locks" / "checkov.lock"):
        if not complete.exists():
            log = cache / "logs" / "checkov.log"
            with stage("checkov"):
                uv = ensure_uv()
                run_logged(
                    [uv, "venv", "--quiet", "--clear", "--python", INTERPRETER, str(folder)], log
                )
                sync = [uv, "pip", "sync", "--quiet", "--python", str(folder / "bin/python")]
                advice = "connect this machine to the package index, and run this again"
                run_logged([*sync, "--require-hashes", str(REQUIREMENTS)], log, advice=advice)
            complete.touch()
    return folder / "bin" / "checkov"
