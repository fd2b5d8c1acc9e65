"""What checkov says of the rendered chart and of the objects that the operator makes: nothing, but for tests/chart/checkov.yaml."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dev import checkov
from dev.cluster.stages import StageError

pytestmark = [pytest.mark.chart, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
CHILDREN = HERE.parents[1] / "tests/data/operator"
MANIFESTS = (
    *sorted((HERE / "golden").glob("*.yaml")),
    *(CHILDREN / f"{name}.yaml" for name in ("external", "gpu")),
)

# `helm test` has to make its model somewhere, and the default namespace is the one that there always is.
MEANT = {
    ("CKV_K8S_21", f"{kind}.default.llm-system-op-llmdeployment-operator-test")
    for kind in ("Role", "RoleBinding")
}


@pytest.fixture(scope="module")
def program() -> Path:
    try:
        return checkov.ensure()
    except StageError as error:
        pytest.skip(reason=f"checkov cannot be had here: {error.explain()}")


def check(program: Path, folder: Path, *options: str) -> dict[str, Any]:
    """Return what checkov says of the manifests in a folder."""
    command = [str(program), "--directory", str(folder), "--framework", "kubernetes"]
    done = subprocess.run(
        [*command, "--output", "json", "--compact", *options],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return dict(json.loads(done.stdout))


def test_checkov_finds_nothing(program: Path, tmp_path: Path) -> None:
    for file in MANIFESTS:
        shutil.copy(file, tmp_path)
    found = check(program, tmp_path, "--config-file", str(HERE / "checkov.yaml"))

    failed = [
        f"{row['check_id']} {row['check_name']}: {row['file_path']} {row['resource']}"
        for row in found["results"]["failed_checks"]
        if (row["check_id"], row["resource"]) not in MEANT
    ]
    assert failed == []
    assert found["summary"]["parsing_errors"] == 0
    assert found["summary"]["passed"] > 500


def test_checkov_would_find_a_privileged_pod(program: Path, tmp_path: Path) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bad", "namespace": "team"},
        "spec": {
            "containers": [{"name": "a", "image": "a", "securityContext": {"privileged": True}}]
        },
    }
    (tmp_path / "pod.json").write_text(json.dumps(pod))
    found = check(program, tmp_path, "--config-file", str(HERE / "checkov.yaml"))

    assert "CKV_K8S_16" in {row["check_id"] for row in found["results"]["failed_checks"]}
