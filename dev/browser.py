"""Finds a Chromium for tests of the console's page, and installs Debian's if there is none."""

import os
import shutil
from pathlib import Path

from dev.cluster.paths import ensure_cache
from dev.cluster.stages import StageError, hold_lock, run_logged, stage

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
"""Names of the browser's program: Debian's, Ubuntu's, and the vendor's."""
PACKAGES = ("chromium", "fonts-dejavu-core")
"""Debian's packages. Without a font a page would have no letters."""
_BY_HAND = f"run `apt-get update` and install these packages by hand: {' '.join(PACKAGES)}"


def find_chromium() -> Path | None:
    """Return the path of the browser, or None."""
    found = (shutil.which(each) for each in PROGRAMS)
    return next((Path(each) for each in found if each), None)


def ensure_chromium() -> Path:
    """Return the path of the browser, and install it if it is missing.

    Raises:
        StageError: it is missing and cannot be installed here; the message says why.
    """
    with hold_lock(ensure_cache() / "locks" / "packages.lock"):
        if browser := find_chromium():
            return browser
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise StageError(
                "there is no Chromium, and only root on Debian can install it", advice=_BY_HAND
            )
        log = ensure_cache() / "logs" / "packages.log"
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        with stage("Chromium (once)"):
            run_logged(["apt-get", "update", "-qq"], log, env=env, advice=_BY_HAND)
            install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES]
            run_logged(install, log, env=env, advice=_BY_HAND)
    browser = find_chromium()
    if browser is None:
        raise StageError(
            "apt-get installed Chromium, and it is not on PATH", advice=_BY_HAND, log=log
        )
    return browser
