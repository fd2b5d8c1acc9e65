"""Builds the images of this checkout and loads them onto the local cluster's node, or pushes them: `python3 -m dev.images`.

A Docker engine builds them from the official Python image. Without one, buildah builds them from a Debian system that debootstrap
creates. An image whose sources did not change is neither built nor copied again.
"""

import argparse
import configparser
import hashlib
import json
import platform
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dev import console_page
from dev.cluster.__main__ import find_choice
from dev.cluster.choose import Kind, is_docker_running
from dev.cluster.embedded import images as node_images
from dev.cluster.paths import ensure_cache
from dev.cluster.stages import StageError, hold_lock, run_logged, stage
from dev.image_base import (
    build_base_key,
    build_buildah_command,
    ensure_base_image,
    ensure_folder,
    locate_log,
)

REPOSITORY = Path(__file__).resolve().parent.parent
VERSION = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
"""The chart's appVersion too (dev/release.py compares them), and so the tag that its values ask for."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_CONFIG = Path("/etc/pip.conf")
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
        sources: files and folders that it is made of; empty: its folder.
    """

    name: str
    requirements: str
    arguments: tuple[str, ...] = ()
    variant: str = ""
    sources: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name with its variant, for files and messages."""
        return f"{self.name}{self.variant}"

    @property
    def path(self) -> str:
        """The name as the chart's values have it."""
        return f"llmdeployment/{self.name}:{VERSION}{self.variant}"

    @property
    def reference(self) -> str:
        """The full name, as containerd keeps it and the chart's short one is read."""
        return f"docker.io/{self.path}"


OWN = (Image("operator", "operator.txt"), Image("gateway", "gateway.txt"))
SERVING = {
    engine: Image("serving", f"serving-{engine}.txt", (f"ENGINE={engine}",), f"-{engine}")
    for engine in ("gpu", "cpu", "simulated")
}
"""The flavors of the serving image. With vLLM it holds several gigabytes of packages, with the simulated engine alone a tenth."""
CONSOLE = Image(
    "console",
    "console.txt",
    sources=(
        "console/Dockerfile",
        *(
            f"{each}/{part}"
            for each in ("operator", "cli", "console")
            for part in ("pyproject.toml", "src")
        ),
    ),
)
"""The console for a cluster (console.enabled). Few want it, so the operator's image does without its web server and its page."""
RELEASED = (*OWN, CONSOLE, *SERVING.values())
SMALL = (*OWN, SERVING["simulated"])
MOUNTED = Image("serving", "serving-cpu.txt", ("ENGINE=none",), "-mounted")
"""The serving image without packages: a local cluster mounts them (dev/serving_env.py), and is spared a copy of 7 GB."""
EVALUATING = Image("serving", "serving-lm-eval.txt", ("ENGINE=lm-eval",), "-lm-eval")
"""The simulated flavor with lm-evaluation-harness, for the Jobs of evaluations. It is not released: few golden sets need it."""
EXTRA = {"cpu": SERVING["cpu"], "gpu": SERVING["gpu"], "lm-eval": EVALUATING}
"""What is built only when it is asked for."""


def main() -> int:
    """Build outdated images and load them onto the node."""
    parser = argparse.ArgumentParser(prog="python3 -m dev.images", description=__doc__)
    parser.add_argument("--no-load", action="store_true", help="build the archives only")
    parser.add_argument(
        "--engine",
        choices=tuple(EXTRA),
        help="a serving image with vLLM too (gigabytes), or with lm-evaluation-harness (0.9 GB)",
    )
    parser.add_argument(
        "--console", action="store_true", help="the console's image too, with its page"
    )
    parser.add_argument(
        "--registry", help="push the images there, such as registry.example.com/team"
    )
    arguments = parser.parse_args()
    wanted = [*SMALL, *([EXTRA[arguments.engine]] if arguments.engine else [])]
    wanted += [CONSOLE] if arguments.console else []
    try:
        if arguments.registry:
            for image in wanted:
                push(image, arguments.registry)
            print(f"helm install ... --set image.registry={arguments.registry}")
            return 0
        for image in (*wanted, MOUNTED):
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
    prepare(image)
    digest = hash_sources(
        image, f"docker {choose_docker_base(image)}" if by_docker else build_base_key()
    )
    archive = ensure_folder() / f"{image.label}-{digest}.tar"
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
            with stage(f"image {image.label}: build"):
                build_with_buildah(image, base, scratch)
        for old in ensure_folder().glob(f"{image.label}-*.tar"):
            old.unlink()
        scratch.rename(archive)
    return archive


def prepare(image: Image) -> None:
    """Make what an image copies and git does not have: the console's page.

    Raises:
        StageError: it cannot be made here; the message says why.
    """
    if image is CONSOLE:
        console_page.ensure()


def load(image: Image, archive: Path) -> None:
    """Load the image onto the node unless the node has it already."""
    record = ensure_folder() / f"{image.label}.loaded.json"
    here = find_node_digest(image.reference)
    if here and record.exists() and json.loads(record.read_text()) == [archive.name, here]:
        return
    with stage(f"image {image.label}: onto the node ({archive.stat().st_size // 1_000_000} MB)"):
        command = [sys.executable, "-m", "dev.cluster", "load-image", str(archive)]
        run_logged(
            command,
            locate_log(),
            cwd=REPOSITORY,
            advice="start the cluster with `python3 -m dev.cluster up`",
        )
    record.write_text(json.dumps([archive.name, find_node_digest(image.reference)]))


def push(image: Image, registry: str) -> None:
    """Build the image and push it to a registry, under the path that the chart's values name.

    Raises:
        StageError: the image cannot be built or pushed; the message says why.
    """
    target = f"{registry.rstrip('/')}/{image.path}"
    by_docker = is_docker_running()
    archive = build(image)
    advice = f"log in with `{'docker' if by_docker else 'buildah'} login`, then try again"
    if by_docker:
        steps = [
            ["docker", "load", "--quiet", "--input", str(archive)],
            ["docker", "tag", image.reference, target],
            ["docker", "push", "--quiet", target],
        ]
    else:
        # Docker takes a registry on this machine without TLS, and buildah has to be told.
        local = registry.startswith(("localhost", "127."))
        option = [f"--tls-verify={str(not local).lower()}"]
        source = f"docker-archive:{archive}"
        steps = [
            [*build_buildah_command(), "pull", "--quiet", source],
            [*build_buildah_command(), "push", "--quiet", *option, image.reference, target],
        ]
    with stage(f"image {image.label}: to {registry} ({archive.stat().st_size // 1_000_000} MB)"):
        for step in steps:
            run_logged(step, locate_log(), advice=advice)
    print(target)


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
    yield REPOSITORY / "requirements" / image.requirements
    roots = [REPOSITORY / each for each in image.sources or (image.name,)]
    for path in (path for root in roots for path in (root, *sorted(root.rglob("*")))):
        if path.is_file() and path.suffix != ".pyc" and ".egg-info" not in str(path):
            yield path


def build_with_docker(image: Image, archive: Path) -> None:
    """Build with Docker."""
    with stage(f"image {image.label}: build (Docker)"):
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


if __name__ == "__main__":
    sys.exit(main())
