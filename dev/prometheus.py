"""Debian's Prometheus and promtool, unpacked in the cache: nothing is installed, so no service starts."""

import http
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.cluster.control_plane import find_free_ports
from dev.cluster.paths import ensure_cache
from dev.cluster.stages import hold_lock, run_logged, stage, wait_until

PROGRAMS = ("prometheus", "promtool")
READY_SECONDS = 60
"""Seconds that it may take to read its data and answer."""


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


@contextmanager
def run(programs: Path, config: str, folder: Path, data: Path | None = None) -> Iterator[str]:
    """Run Prometheus inside of `with`, and yield its address once it answers.

    Args:
        programs: the folder from `ensure`.
        config: its configuration.
        folder: where its configuration and its log are.
        data: where its data are; None for a part of the folder.

    Raises:
        StageError: it does not start; its log is in the folder.
    """
    (port,) = find_free_ports(1)
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    command = [
        str(programs / "prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={data or folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _is_ready(url), "Prometheus is ready", seconds=READY_SECONDS)
        yield url
    finally:
        # Told to end, it writes what it has in memory.
        process.terminate()
        process.wait(30)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:  # noqa: S310  # because it is the address of our own process
            return bool(answer.status == http.HTTPStatus.OK)
    except OSError:
        return False
