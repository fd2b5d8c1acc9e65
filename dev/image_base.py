"""The base image that buildah builds on: a Debian system from debootstrap, for machines without a Docker engine."""

import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

from dev.cluster.embedded import packages
from dev.cluster.paths import ensure_cache
from dev.cluster.stages import StageError, run_logged, stage

BASE_PACKAGES = ("ca-certificates", "libnuma1", "python3", "python3-venv")
"""Packages of the base image; libnuma1 is for vLLM on CPUs."""
UNWANTED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "var/cache/apt",
    "var/lib/apt/lists",
    "dev",
    "proc",
    "sys",
)


def build_base_key() -> str:
    """Return the name of the base: this machine's own release, so that its Python is that of the mounted environment."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")
    packages_key = hashlib.sha256(" ".join(BASE_PACKAGES).encode()).hexdigest()[:8]
    return f"{release}-{packages_key}"


def ensure_base_image() -> str:
    """Return the base image's reference in buildah's store, and create it if it is missing.

    Raises:
        StageError: the base image cannot be created here; the message says why.
    """
    if os.geteuid() != 0:
        advice = "run this as root, or start Docker"
        raise StageError(
            "debootstrap and buildah need root, and no Docker engine answers", advice=advice
        )
    packages.ensure()
    key = build_base_key()
    reference = f"localhost/llmdeployment/base:{key}"
    present = subprocess.run(
        [*build_buildah_command(), "inspect", "--type=image", reference],
        capture_output=True,
        check=False,
    )
    if present.returncode == 0:
        return reference
    archive = ensure_folder() / f"base-{key}.tar.gz"
    if not archive.exists():
        with stage("base image: debootstrap (once)"):
            bootstrap(key.partition("-")[0], archive)
    with stage("base image: import"):
        container = read_output([*build_buildah_command(), "from", "scratch"])
        try:
            run_logged(
                [*build_buildah_command(), "add", "--quiet", container, str(archive), "/"],
                locate_log(),
            )
            variables = [
                "--env=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "--env=LANG=C.UTF-8",
            ]
            run_logged(
                [*build_buildah_command(), "config", *variables, "--cmd=python3", container],
                locate_log(),
            )
            run_logged(
                [*build_buildah_command(), "commit", "--quiet", container, reference], locate_log()
            )
        finally:
            run_logged([*build_buildah_command(), "rm", container], locate_log())
    return reference


def bootstrap(release: str, archive: Path) -> None:
    """Create a root file system from packages, and archive it."""
    root = ensure_folder() / "base-root"
    shutil.rmtree(root, ignore_errors=True)
    command = [
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(BASE_PACKAGES)}",
        release,
        str(root),
    ]
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    advice = "check that the package mirror can be reached, then try again"
    run_logged(command, locate_log(), env={**os.environ, "PATH": path}, advice=advice)
    scratch = archive.with_suffix(".part")
    leave_out = [f"--exclude=./{name}/*" for name in UNWANTED]
    run_logged(
        [
            "tar",
            "-C",
            str(root),
            "--numeric-owner",
            *leave_out,
            "-I",
            "gzip -1",
            "-cf",
            str(scratch),
            ".",
        ],
        locate_log(),
    )
    shutil.rmtree(root)
    scratch.rename(archive)


def build_buildah_command() -> list[str]:
    """Return the beginning of a buildah command line, with its own store in the cache."""
    # why: overlayfs does not work on top of overlayfs, as in a container.
    kind = read_output(["stat", "--file-system", "--format=%T", str(ensure_folder())])
    driver = "vfs" if kind == "overlayfs" else "overlay"
    store = ensure_folder() / "store"
    return ["buildah", f"--root={store}", f"--runroot={store}-run", f"--storage-driver={driver}"]


def read_output(command: list[str]) -> str:
    """Run a program and return what it prints.

    Raises:
        StageError: the program failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StageError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


def ensure_folder() -> Path:
    """Return the folder of images, and create it if it is missing."""
    path = ensure_cache() / "images"
    path.mkdir(exist_ok=True)
    return path


def locate_log() -> Path:
    """Return the log file of the builders."""
    return ensure_cache() / "logs" / f"images-{os.getpid()}.log"
