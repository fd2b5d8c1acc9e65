"""Build `kubectl llm` in dist/: a wheel, one file that needs nothing but Python, and krew's manifest. `make cli` runs it.

The file holds the packages of requirements/cli.txt for each of `PYTHONS`: their compiled modules carry the version of Python in their
names, so they lie side by side.
"""

import gzip
import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import yaml

from dev.cluster.paths import ensure_cache
from dev.cluster.stages import StageError, run_logged, stage
from dev.serving_env import ensure_uv

REPOSITORY = Path(__file__).resolve().parent.parent
PROGRAM = "kubectl-llm"
PYTHONS = ("3.11", "3.12", "3.13")
"""Versions of Python that run the file: those of the lock."""
PLATFORM = "x86_64-manylinux_2_28"
"""The platform whose compiled modules it holds."""
SELECTOR = {"os": "linux", "arch": "amd64"}
"""The same platform, as krew calls it."""
ARCHIVE = f"{PROGRAM}-linux-amd64.tar.gz"
MANIFEST = "llm.krew.yaml"
DOWNLOADS = "https://downloads.example"
"""The folder of the release's files on the web, unless somebody says where."""

_PREAMBLE = """\
import sys
if "%d.%d" % sys.version_info[:2] not in {pythons!r}:
    sys.exit("kubectl llm: this file runs with Python {listed}, not with %s. Use one of these, or pipx." % sys.version.split()[0])
"""
_NETWORK = "check the connection to the package index, then try again"


def main() -> int:
    """Build the wheel and the file, and print where they are."""
    dist = REPOSITORY / "dist"
    dist.mkdir(exist_ok=True)
    try:
        build_plugin(REPOSITORY, dist)
    except StageError as error:
        print(error.explain(), file=sys.stderr)
        return 1
    print(f"{dist / PROGRAM}: put it on PATH, and `kubectl llm` finds it.")
    return 0


def build_plugin(root: Path, dist: Path) -> None:
    """Write the wheel and the file, and run the file once.

    Raises:
        StageError: a package cannot be had, or the file does not run.
    """
    with stage("kubectl llm"), tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        log = _locate_log()
        uv = ensure_uv()
        build = [
            uv,
            "build",
            "--quiet",
            "--wheel",
            "--out-dir",
            str(scratch / "wheel"),
            str(root / "cli"),
        ]
        run_logged(build, log, advice=_NETWORK)
        (wheel,) = (scratch / "wheel").glob("*.whl")
        shutil.copy(wheel, dist)
        packages = scratch / "packages"
        for python in PYTHONS:
            install_packages(uv, root, wheel, python, scratch / python)
            shutil.copytree(scratch / python, packages, dirs_exist_ok=True)
        preamble = scratch / "preamble.py"
        listed = ", ".join(PYTHONS)
        preamble.write_text(_PREAMBLE.format(pythons=PYTHONS, listed=listed))
        pack = [sys.executable, "-m", "shiv", "--site-packages", str(packages)]
        pack += ["--console-script", PROGRAM, "--python", "/usr/bin/env python3"]
        pack += ["--preamble", str(preamble), "--compressed", "--reproducible"]
        run_logged([*pack, "--output-file", str(dist / PROGRAM)], log)
        environment = {**os.environ, "SHIV_ROOT": str(scratch / "unpacked")}
        run_logged([sys.executable, str(dist / PROGRAM), "--help"], log, env=environment)


def install_packages(uv: str, root: Path, wheel: Path, python: str, folder: Path) -> None:
    """Install the locked packages and the wheel for one version of Python into a folder."""
    into = [uv, "pip", "install", "--quiet", "--target", str(folder), "--python-version", python]
    into += ["--python-platform", PLATFORM, "--only-binary", ":all:"]
    log = _locate_log()
    locked = ["--require-hashes", "-r", str(root / "requirements/cli.txt")]
    run_logged([*into, *locked], log, advice=_NETWORK)
    run_logged([*into, "--no-deps", str(wheel)], log)


def write_archive(root: Path, dist: Path) -> None:
    """Write the archive that krew installs from: the file and the licence, with the same bytes for the same content."""
    with (
        (dist / ARCHIVE).open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        archive.add(dist / PROGRAM, PROGRAM, filter=_forget_maker)
        archive.add(root / "LICENSE", "LICENSE", filter=_forget_maker)


def write_manifest(dist: Path, version: str, downloads: str) -> None:
    """Write krew's manifest beside the archive.

    Args:
        dist: where the archive is.
        version: the version of the release.
        downloads: URL of the folder from which users get the archive.
    """
    with (dist / ARCHIVE).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    manifest = build_manifest(version, f"{downloads.rstrip('/')}/{ARCHIVE}", digest)
    (dist / MANIFEST).write_text(yaml.safe_dump(manifest, sort_keys=False, width=120))


def build_manifest(version: str, uri: str, digest: str) -> dict[str, Any]:
    """Return krew's manifest of an archive."""
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "llm"},
        "spec": {
            "version": f"v{version}",
            "shortDescription": "Show LLMDeployments and control their rollouts",
            "description": "Shows rollouts of LLMDeployments, compares and restores their revisions,\n"
            "promotes, pauses and aborts canaries, and talks to the model.\n",
            "caveats": f"It needs Python {', '.join(PYTHONS[:-1])} or {PYTHONS[-1]} as python3.\n",
            "platforms": [
                {
                    "selector": {"matchLabels": SELECTOR},
                    "uri": uri,
                    "sha256": digest,
                    "bin": PROGRAM,
                    "files": [{"from": PROGRAM, "to": "."}, {"from": "LICENSE", "to": "."}],
                }
            ],
        },
    }


def _locate_log() -> Path:
    return ensure_cache() / "logs" / "plugin.log"


def _forget_maker(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime = 0
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    sys.exit(main())
