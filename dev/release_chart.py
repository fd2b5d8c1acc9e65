"""Write a release's chart, install.yaml and kustomization.yaml.

    python -m dev.release_chart 0.1.0 registry.example/team dist/digests.json

A digest is known once its image was pushed, so dev/publish.sh runs this again after `make release` did, with the digests of the registry.
"""

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dev.cluster import tools
from dev.cluster.stages import StageError

REPOSITORY = Path(__file__).resolve().parent.parent
CHART = Path("charts/llmdeployment-operator")
IMAGES = "llmdeployment"
"""The part before an image's name in the chart's values."""
NAMESPACE = "llmdeployment-system"
"""Namespace of the operator in install.yaml."""
KUBERNETES = "1.34.0"
"""Version that helm renders for; without a cluster it would assume an old Kubernetes."""
SECONDS = 300
"""Seconds that a program that writes one file may take."""
PLACES = {
    "operator": "image.operator.digest",
    "gateway": "image.gateway.digest",
    "console": "image.console.digest",
    "serving-gpu": "image.serving.digests.gpu",
    "serving-cpu": "image.serving.digests.cpu",
    "serving-simulated": "image.serving.digests.simulated",
}
"""Where the chart's values have the digest of each image."""
KUSTOMIZATION = f"""\
# kubectl apply --server-side -k .
# Add labels and patches here. Set no namespace and no images: the operator's environment has them too. The chart can change both.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - install.yaml
# The operator's namespace is {NAMESPACE}.
"""


def main() -> int:
    """Write the files once more, with digests, and the checksums of all files."""
    parser = argparse.ArgumentParser(prog="python -m dev.release_chart", description=__doc__)
    parser.add_argument("version", help="version of the release, such as 0.1.0")
    parser.add_argument("images", help="the registry and path of the images")
    parser.add_argument(
        "digests", type=Path, help='a file such as {"operator": "sha256:...", "serving-gpu": ...}'
    )
    arguments = parser.parse_args()
    dist = REPOSITORY / "dist"
    try:
        digests = json.loads(arguments.digests.read_text())
        package_chart(REPOSITORY, dist, arguments.version, arguments.images, digests)
    except StageError as error:
        print(error.explain(), file=sys.stderr)
        return 1
    write_checksums(dist)
    return 0


def package_chart(
    root: Path, dist: Path, version: str, image_prefix: str, digests: Mapping[str, str]
) -> None:
    """Write the chart's archive, install.yaml and kustomization.yaml.

    Args:
        root: the checkout.
        dist: the folder to write to.
        version: the version of the release.
        image_prefix: the part before an image's name.
        digests: of images that were pushed, by the keys of `PLACES`.

    Raises:
        StageError: helm failed, or there is no such image.
    """
    helm = tools.find("helm")
    with tempfile.TemporaryDirectory() as scratch:
        chart = Path(scratch) / CHART.name
        shutil.copytree(root / CHART, chart)
        values = chart / "values.yaml"
        values.write_text(pin_images(values.read_text(), image_prefix, digests))
        run([helm, "package", str(chart), "--destination", str(dist)], root)
        command = [helm, "template", CHART.name, str(chart), "--namespace", NAMESPACE]
        rendered = run([*command, "--kube-version", KUBERNETES, "--skip-tests"], root)
    namespace = f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n"
    header = f"# The operator {version}: kubectl apply --server-side -f install.yaml\n"
    (dist / "install.yaml").write_text(f"{header}{namespace}{rendered}")
    (dist / "kustomization.yaml").write_text(KUSTOMIZATION)


def pin_images(text: str, image_prefix: str, digests: Mapping[str, str]) -> str:
    """Return values.yaml with the release's repositories and the digests that are known.

    Raises:
        StageError: a digest is not one, or of an image that the chart does not have.
    """
    text = text.replace(f"repository: {IMAGES}/", f"repository: {image_prefix}/")
    for name, digest in digests.items():
        if name not in PLACES or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            raise StageError(
                f"{name}: {digest} is not the digest of an image",
                advice=f"name {', '.join(PLACES)}, each as sha256:<64 hex digits>",
            )
        text = set_value(text, PLACES[name], digest)
    return text


def set_value(text: str, path: str, value: str) -> str:
    r"""Return YAML of blocks, two blanks a level, with another value at a path; comments stay.

    Raises:
        StageError: there is no such path.

    >>> print(set_value("a:\n  # One.\n  b: x\nb: x\n", "a.b", "y"), end="")
    a:
      # One.
      b: "y"
    b: x
    """
    lines, here = text.splitlines(), list[str]()
    for number, line in enumerate(lines):
        found = re.match(r"( *)([A-Za-z]+):", line)
        if found is None:
            continue
        here[len(found[1]) // 2 :] = [found[2]]
        if ".".join(here) == path:
            lines[number] = f"{found[0]} {json.dumps(value)}"
            return "\n".join(lines) + "\n"
    raise StageError(f"the chart's values have no {path}")


def write_checksums(dist: Path) -> None:
    """Write SHA256SUMS, in the format of `sha256sum --check`."""
    lines = []
    for path in sorted(dist.iterdir()):
        if path.name.startswith("SHA256SUMS"):
            continue
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    (dist / "SHA256SUMS").write_text("".join(lines))


def run(command: list[str], root: Path) -> str:
    """Run a program in the checkout and return what it prints.

    Raises:
        StageError: the program failed.
    """
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StageError(f"{command[0]}: {error}") from error
    if done.returncode:
        raise StageError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
