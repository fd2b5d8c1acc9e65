"""Builds the images of this checkout without a registry, and loads them onto the local cluster's node: `python3 -m dev.images`.

A Docker engine builds them from the official Python image. Without one, buildah builds them from a Debian system that debootstrap
creates. An image whose sources did not change is neither built nor copied again.
"""

import argparse
import configparser
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dev.cluster.__main__ import find_choice
from dev.cluster.choose import Kind, is_docker_running
from dev.cluster.embedded import images as node_images
from dev.cluster.embedded import packages
from dev.cluster.paths import ensure_cache
from dev.cluster.stages import StageError, hold_lock, run_logged, stage

REPOSITORY = Path(__file__).resolve().parent.parent
VERSION = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
"""The chart's appVersion too (dev/release.py compares them), and so the tag that its values ask for."""
BASE_PACKAGES = ("ca-certificates", "libnuma1", "python3", "python3-venv")
"""Packages of the base image; libnuma1 is for vLLM on CPUs."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_CONFIG = Path("/etc/pip.conf")
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
BUILD_ADVICE = (
    "check that the package index can be reached, then try again; finished steps are kept"
)


@dataclass(frozen=True)
class Image:
    """One image of the project.

    Attributes:
        name: its folder and its name.
        requirements: the file its packages come from, part of what decides whether to build.
        arguments: build arguments.
        variant: the end of the tag, for a second image of one name.
    """

    name: str
    requirements: str
    arguments: tuple[str, ...] = ()
    variant: str = ""

    @property
    def reference(self) -> str:
        """The full name, as containerd keeps it and the chart's short one is read."""
        return f"docker.io/llmdeployment/{self.name}:{VERSION}{self.variant}"


IMAGES = (
    Image("operator", "operator.txt"),
    Image("gateway", "gateway.txt"),
    # Without packages: the local cluster mounts them (dev/serving_env.py), and is spared a copy of 7 GB.
    Image("serving", "serving-cpu.txt", ("ENGINE=none",)),
)
RELEASED = (
    Image("operator", "operator.txt"),
    Image("gateway", "gateway.txt"),
    Image("serving", "serving-gpu.txt", ("ENGINE=gpu",)),
    Image("serving", "serving-cpu.txt", ("ENGINE=cpu",), "-cpu"),
)
"""The images of a release. With its engine, the serving image holds several gigabytes of packages."""


def main() -> int:
    """Build outdated images and load them onto the node."""
    parser = argparse.ArgumentParser(prog="python3 -m dev.images", description=__doc__)
    parser.add_argument("--no-load", action="store_true", help="build the archives only")
    arguments = parser.parse_args()
    try:
        for image in IMAGES:
            archive = build(image)
            if arguments.no_load:
                print(archive)
            else:
                load(image, archive)
    except StageError as error:
        print(error.explain(), file=sys.stderr)
        return 1
    return 0


def build(image: Image) -> Path:
    """Return the image's archive, and build it if there is none for the current sources.

    Raises:
        StageError: the image cannot be built here; the message says why.
    """
    by_docker = is_docker_running()
    digest = hash_sources(
        image, f"docker {choose_docker_base(image)}" if by_docker else build_base_key()
    )
    archive = ensure_folder() / f"{image.name}-{digest}.tar"
    if archive.exists():
        return archive
    with hold_lock(ensure_cache() / "locks" / "images.lock"):
        if archive.exists():
            return archive
        scratch = archive.with_suffix(".part")
        scratch.unlink(missing_ok=True)
        if by_docker:
            build_with_docker(image, scratch)
        else:
            base = ensure_base_image()
            with stage(f"image {image.name}: build"):
                build_with_buildah(image, base, scratch)
        for old in ensure_folder().glob(f"{image.name}-*.tar"):
            old.unlink()
        scratch.rename(archive)
    return archive


def load(image: Image, archive: Path) -> None:
    """Load the image onto the node unless the node has it already."""
    record = ensure_folder() / f"{image.name}.loaded.json"
    here = find_node_digest(image.reference)
    if here and record.exists() and json.loads(record.read_text()) == [archive.name, here]:
        return
    with stage(f"image {image.name}: onto the node ({archive.stat().st_size // 1_000_000} MB)"):
        command = [sys.executable, "-m", "dev.cluster", "load-image", str(archive)]
        run_logged(
            command,
            locate_log(),
            cwd=REPOSITORY,
            advice="start the cluster with `python3 -m dev.cluster up`",
        )
    record.write_text(json.dumps([archive.name, find_node_digest(image.reference)]))


def find_revision(image: Image) -> str:
    """Return a digest of the image, for annotations that restart pods, because the tag does not change."""
    return build(image).stem.rpartition("-")[2]


def find_node_digest(reference: str) -> str | None:
    """Return the digest of a reference on the node, or None if it is unknown."""
    if find_choice().kind is not Kind.EMBEDDED:
        return None
    command = node_images.build_ctr_command("images", "ls", f"name=={reference}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()[1:]
    return next(
        (word for line in lines for word in line.split() if word.startswith("sha256:")), None
    )


def hash_sources(image: Image, base: str) -> str:
    """Return a digest of all sources of the image."""
    digest = hashlib.sha256(f"{base} {image.arguments}".encode())
    for path in list_sources(image):
        digest.update(f"{path.relative_to(REPOSITORY)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def list_sources(image: Image) -> Iterator[Path]:
    """Yield the source files of the image."""
    home = REPOSITORY / image.name
    yield REPOSITORY / "requirements" / image.requirements
    for path in sorted(home.rglob("*")):
        if path.is_file() and path.suffix != ".pyc" and ".egg-info" not in str(path):
            yield path


def build_with_docker(image: Image, archive: Path) -> None:
    """Build with Docker."""
    with stage(f"image {image.name}: build (Docker)"):
        command = ["docker", "build", "--tag", image.reference, "--file", find_dockerfile(image)]
        command += [
            f"--build-arg={argument}" for argument in (*choose_docker_base(image), *image.arguments)
        ]
        run_logged([*command, str(REPOSITORY)], locate_log(), advice=BUILD_ADVICE)
        run_logged(["docker", "save", "--output", str(archive), image.reference], locate_log())


def choose_docker_base(image: Image) -> tuple[str, ...]:
    """Return the build argument that names the base, where it is not the Dockerfile's own.

    The image without packages mounts an environment that was created for this machine's Python.
    """
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return ()
    if "ENGINE=none" in image.arguments and release["ID"] in {"debian", "ubuntu"}:
        return (f"BASE={release['ID']}:{release['VERSION_ID']}",)
    return ()


def build_with_buildah(image: Image, base: str, archive: Path) -> None:
    """Build with buildah; steps use this machine's access to the package index."""
    command = [
        *build_buildah_command(),
        "bud",
        "--isolation=chroot",
        "--layers",
        "--pull-never",
        "--quiet",
    ]
    command += ["--tag", image.reference, "--file", find_dockerfile(image)]
    command += [f"--build-arg={argument}" for argument in (f"BASE={base}", *image.arguments)]
    mounts = {write_pip_config(): PIP_CONFIG, CERTIFICATES: CERTIFICATES}
    command += [f"--volume={here}:{there}:ro" for here, there in mounts.items() if here.exists()]
    run_logged([*command, str(REPOSITORY)], locate_log(), advice=BUILD_ADVICE)
    target = f"docker-archive:{archive}:{image.reference}"
    run_logged([*build_buildah_command(), "push", "--quiet", image.reference, target], locate_log())


def write_pip_config() -> Path:
    """Write this machine's pip configuration for build steps, with the certificates that it trusts, and return its path.

    The file is mounted, so that nothing of it (such as a password in the index's address) stays in an image.
    """
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(PIP_CONFIG)
    parser.read_dict({"global": {"cert": str(CERTIFICATES)}})
    path = ensure_folder() / "pip.conf"
    path.touch(mode=0o600)
    with path.open("w") as out:
        parser.write(out)
    return path


def find_dockerfile(image: Image) -> str:
    """Return the path of the image's Dockerfile."""
    path = REPOSITORY / image.name / "Dockerfile"
    if not path.exists():
        raise StageError(f"there is no {path.relative_to(REPOSITORY)}")
    return str(path)


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


if __name__ == "__main__":
    sys.exit(main())
