"""Make a release of this checkout in dist/: `make release VERSION=0.1.0`. It neither tags nor pushes.

It checks the version and the tree, packages the chart, renders install.yaml, builds the plugin for kubectl, lists the packages of
each image (SBOM), builds the images where a Docker engine answers, and writes checksums. Last, it moves the changelog's fragments
into CHANGELOG.md.
"""

import argparse
import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

from dev import images, plugin
from dev.cluster.choose import is_docker_running
from dev.cluster.stages import StageError, stage
from dev.release_chart import CHART, IMAGES, package_chart, run, write_checksums

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECTS = (".", "operator", "gateway", "serving", "cli", "console")
SBOMS = {
    "operator": ("operator", "operator"),
    "gateway": ("gateway", "gateway"),
    "console": ("console", "console"),
    "serving-gpu": ("serving", "serving-gpu"),
    "serving-cpu": ("serving", "serving-cpu"),
    "serving-simulated": ("serving", "serving-simulated"),
    "cli": ("cli", "cli"),
}
"""Shipped artifacts, with their project and requirements file."""


def main() -> int:
    """Make the release and print the next commands."""
    parser = argparse.ArgumentParser(prog="python -m dev.release", description=__doc__)
    parser.add_argument("version", help="version of the projects and the chart, such as 0.1.0")
    parser.add_argument("--images", default=IMAGES, help="the registry and path of the images")
    parser.add_argument(
        "--downloads",
        default=plugin.DOWNLOADS,
        help="the URL of the folder that will have the files of dist/, for krew's manifest",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="build no images, validate nothing, and leave the changelog as it is",
    )
    arguments = parser.parse_args()
    try:
        release(
            REPOSITORY,
            arguments.version,
            arguments.images,
            arguments.downloads,
            dry_run=arguments.dry_run,
        )
    except StageError as error:
        print(error.explain(), file=sys.stderr)
        return 1
    return 0


def release(root: Path, version: str, image_prefix: str, downloads: str, *, dry_run: bool) -> None:
    """Write dist/ and the changelog.

    Args:
        root: the checkout.
        version: the version to release.
        image_prefix: the part before an image's name in the chart and in install.yaml.
        downloads: the URL of the folder that will have the files, for krew's manifest.
        dry_run: build no images, do not validate the SBOMs, and leave the changelog as it is.

    Raises:
        StageError: the tree is not ready, or a step failed.
    """
    check_versions(root, version)
    check_tree(root)
    notes = build_release_notes(root, version)
    dist = root / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir()
    (dist / "release-notes.md").write_text(notes)
    with stage("chart and install.yaml"):
        package_chart(root, dist, version, image_prefix, {})
    plugin.build_plugin(root, dist)
    plugin.write_archive(root, dist)
    plugin.write_manifest(dist, version, downloads)
    # Validation is nine tenths of the time an SBOM takes.
    validation = "--no-validate" if dry_run else "--validate"
    with stage("SBOMs"):
        for name in SBOMS:
            write_sbom(root, dist, name, validation)
    if dry_run:
        print("  images: skipped, this is a dry run", file=sys.stderr)
    elif not is_docker_running():
        print("  images: skipped, no Docker engine answers here", file=sys.stderr)
    else:
        build_images(dist)
    write_checksums(dist)
    if dry_run:
        print("dist/ is complete except for the images. Next: run the same without DRY_RUN.")
        return
    write_changelog(root, version)
    commit = f"git add --all CHANGELOG.md changelog.d && git commit -m 'Release {version}'"
    tag = f"git tag -a v{version} -m 'Release {version}' && git push origin v{version}"
    print("\n  ".join(["dist/ is complete. Next:", *([commit] if list_changes(root) else []), tag]))


def read_versions(root: Path) -> dict[str, str]:
    """Return the versions in the checkout, by their place."""
    found = {}
    for project in PROJECTS:
        path = Path(project) / "pyproject.toml"
        found[str(path)] = tomllib.loads((root / path).read_text())["project"]["version"]
    chart = (root / CHART / "Chart.yaml").read_text()
    for field, value in re.findall(r"^(version|appVersion): (\S+)$", chart, re.MULTILINE):
        found[f"{CHART}/Chart.yaml {field}"] = value.strip('"')
    return found


def check_versions(root: Path, version: str) -> None:
    """Compare the version with all versions in the checkout.

    Raises:
        StageError: a version differs.
    """
    others = {place: each for place, each in read_versions(root).items() if each != version}
    if others:
        listed = ", ".join(f"{place} says {each}" for place, each in others.items())
        raise StageError(
            f"this is not {version}: {listed}",
            advice="change them to the version of the release, and commit",
        )


def list_changes(root: Path) -> str:
    """Return git's list of changed and unknown files."""
    command = ["git", "-C", str(root), "status", "--porcelain"]
    return run(command, root).strip()


def check_tree(root: Path) -> None:
    """Check that the checkout has no uncommitted changes.

    Raises:
        StageError: it has.
    """
    if found := list_changes(root):
        raise StageError(f"the tree is not clean:\n{found}", advice="commit or remove these files")


def build_release_notes(root: Path, version: str) -> str:
    """Return the version's section of the changelog, rendered from fragments if it is not written yet.

    Raises:
        StageError: there is nothing to release, or the version was released before.
    """
    written = find_section((root / "CHANGELOG.md").read_text(), version)
    waiting = list_fragments(root)
    if written and waiting:
        names = ", ".join(path.name for path in waiting)
        advice = "this version was released before: choose the next one"
        raise StageError(f"CHANGELOG.md has {version} already, without {names}", advice=advice)
    if written:
        return written
    if not waiting:
        raise StageError(
            "there is no changelog fragment", advice="write one as changelog.d/README.md describes"
        )
    return run_towncrier(root, version, "--draft")


def find_section(changelog: str, version: str) -> str:
    r"""Return the changelog's section of a version; or an empty text if there is none.

    >>> find_section("# Changelog\n\n## 0.2.0 (2026-12-01)\n\n- New.\n\n## 0.1.0 (2026-11-27)\n", "0.2.0")
    '## 0.2.0 (2026-12-01)\n\n- New.\n'
    """
    found = re.search(
        rf"^## {re.escape(version)} .*?(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL
    )
    return found[0].rstrip() + "\n" if found else ""


def list_fragments(root: Path) -> list[Path]:
    """Return the changelog's fragments."""
    found = (root / "changelog.d").glob("*.md")
    return sorted(path for path in found if path.name != "README.md")


def run_towncrier(root: Path, version: str, option: str) -> str:
    """Run towncrier on the fragments and return what it prints."""
    command = [sys.executable, "-m", "towncrier", "build", "--version", version, option]
    return run(command, root)


def write_changelog(root: Path, version: str) -> None:
    """Move the fragments into CHANGELOG.md, if there are any."""
    if list_fragments(root):
        with stage("changelog"):
            run_towncrier(root, version, "--yes")


def write_sbom(root: Path, dist: Path, name: str, validation: str) -> None:
    """Write the list of an image's Python packages, as CycloneDX."""
    project, requirements = SBOMS[name]
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", validation]
    command += [
        "--output-reproducible",
        "--pyproject",
        f"{project}/pyproject.toml",
        f"requirements/{requirements}.txt",
    ]
    (dist / f"sbom-{name}.cdx.json").write_text(run(command, root))


def build_images(dist: Path) -> None:
    """Build the images with Docker and keep each as an archive."""
    built = {}
    for image in images.RELEASED:
        archive = dist / f"image-{image.label}.tar"
        images.prepare(image)
        images.build_with_docker(image, archive)
        built[image.reference] = archive.name
    (dist / "images.json").write_text(json.dumps(built, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
