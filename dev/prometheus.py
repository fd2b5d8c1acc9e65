"""Debian's Prometheus and promtool, unpacked in the cache: nothing is installed, so no service starts."""

import os
import shutil
from pathlib import Path

from dev.cluster.paths import ensure_cache
from dev.cluster.stages import hold_lock, run_logged, stage

PROGRAMS = ("prometheus", "promtool")


def ensure() -> Path:
    """Return the folder with both programs: that of the system's if it has them, else of Debian's package.

    Raises:
        StageError: the package cannot be had here; the message says why.
    """
    if all(found := [shutil.which(program) for program in PROGRAMS]):
        return Path(str(found[0])).parent
    cache = ensure_cache()
    folder = cache / "prometheus"
    with hold_lock(cache / "locks" / "prometheus.lock"):
        if not (folder / "complete").exists():
            log = cache / "logs" / "prometheus.log"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            advice = "run `apt-get update`, or install the package `prometheus` by hand"
            with stage("Prometheus"):
                # A path that apt's own user may write to is not needed: it warns, and goes on.
                command = (
                    f"cd {folder} && apt-get download -q prometheus && dpkg -x prometheus_*.deb ."
                )
                run_logged(["sh", "-c", command], log, env=dict(os.environ), advice=advice)
            (folder / "complete").touch()
    return folder / "usr" / "bin"
