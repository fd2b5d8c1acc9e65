"""`make release DRY_RUN=1` in a copy of the checkout: what lies in dist/ afterwards."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml
from dev.cluster import tools
from dev.cluster.stages import StageError
from dev.images import VERSION
from dev.plugin import ARCHIVE, MANIFEST, PROGRAM

from llmdeployment_operator.api.crd import build_crd

pytestmark = pytest.mark.chart

REPOSITORY = Path(__file__).resolve().parents[2]
PREFIX = "registry.example/team"
CHART = f"llmdeployment-operator-{VERSION}.tgz"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows, committed in a repository of their own, after a dry run."""
    try:
        tools.find("helm")
    except StageError as error:
        pytest.skip(reason=f"helm cannot be had here: {error.explain()}")
    root = tmp_path_factory.mktemp("checkout")
    for name in output(REPOSITORY, "git", "ls-files", "-z").split("\0"):
        # A file that was deleted and not yet committed is listed and not there.
        if name and (REPOSITORY / name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, root / name)
    # Whatever was released before, there is something new to say.
    (root / "CHANGELOG.md").write_text("<!-- towncrier release notes start -->\n")
    (root / "changelog.d/+copy.fixed.md").write_text("- What was fixed in the copy.\n")
    person = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    output(root, "git", "init", "--quiet")
    output(root, "git", "add", "--all")
    output(root, "git", *person, "commit", "--quiet", "--message=copy")
    # The copy runs in this environment: `--old-file` keeps make from building one.
    command = ["make", "--old-file=.venv/.synced", "release", f"PY={sys.executable}", "DRY_RUN=1"]
    output(root, *command, f"VERSION={VERSION}", f"IMAGES={PREFIX}")
    return root


def output(root: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_is_there_and_the_tree_is_as_it_was(copy: Path) -> None:
    assert {path.name for path in (copy / "dist").iterdir()} == {
        CHART,
        ARCHIVE,
        MANIFEST,
        PROGRAM,
        "SHA256SUMS",
        "install.yaml",
        "kustomization.yaml",
        f"llmdeployment_cli-{VERSION}-py3-none-any.whl",
        "release-notes.md",
        "sbom-cli.cdx.json",
        "sbom-console.cdx.json",
        "sbom-gateway.cdx.json",
        "sbom-operator.cdx.json",
        "sbom-serving-cpu.cdx.json",
        "sbom-serving-gpu.cdx.json",
        "sbom-serving-simulated.cdx.json",
    }
    assert "- What was fixed in the copy.\n" in (copy / "dist/release-notes.md").read_text()
    assert output(copy, "git", "status", "--porcelain") == ""


def test_install_yaml_is_the_namespace_the_crd_and_the_operator(copy: Path) -> None:
    documents = [
        each for each in yaml.safe_load_all((copy / "dist/install.yaml").read_text()) if each
    ]
    namespace, *others = documents

    assert namespace["kind"] == "Namespace"
    kustomization = yaml.safe_load((copy / "dist/kustomization.yaml").read_text())
    assert kustomization["resources"] == ["install.yaml"]
    namespaces = {each["metadata"].get("namespace") for each in others}
    assert namespaces == {None, namespace["metadata"]["name"]}
    found = next(each for each in others if each["kind"] == "CustomResourceDefinition")
    assert found["spec"] == build_crd()["spec"]
    deployment = next(each for each in others if each["kind"] == "Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == f"{PREFIX}/operator:{VERSION}"


def test_the_charts_images_are_those_of_the_release(copy: Path) -> None:
    with tarfile.open(copy / "dist" / CHART) as archive:
        member = archive.extractfile("llmdeployment-operator/values.yaml")
        assert member
        values = yaml.safe_load(member)

    repositories = {name: values["image"][name]["repository"] for name in ("operator", "serving")}
    assert repositories == {"operator": f"{PREFIX}/operator", "serving": f"{PREFIX}/serving"}
    assert values["image"]["gateway"]["repository"] == f"{PREFIX}/gateway"


def test_the_sbom_lists_the_pinned_packages_with_their_hashes(copy: Path) -> None:
    sbom = json.loads((copy / "dist/sbom-operator.cdx.json").read_text())

    pinned = {
        line.split(";")[0].split()[0]
        for line in (copy / "requirements/operator.txt").read_text().splitlines()
        if "==" in line and not line.startswith(" ")
    }
    listed = {f"{each['name']}=={each['version']}" for each in sbom["components"]}
    assert listed == pinned
    assert sbom["metadata"]["component"]["version"] == VERSION
    references = [each["externalReferences"] for each in sbom["components"]]
    assert all(reference[0]["hashes"] for reference in references)


def test_the_plugin_is_one_file(copy: Path, tmp_path: Path) -> None:
    with tarfile.open(copy / "dist" / ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    command = [tmp_path / PROGRAM, "version"]
    environment = {**os.environ, "SHIV_ROOT": str(tmp_path / "unpacked"), "KUBECONFIG": "/none"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout == f"Client: {VERSION}\n", done.stderr


def test_the_checksums_are_right(copy: Path) -> None:
    lines = (copy / "dist/SHA256SUMS").read_text().splitlines()

    assert len(lines) == len(list((copy / "dist").iterdir())) - 1
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((copy / "dist" / name).read_bytes()).hexdigest() == digest
