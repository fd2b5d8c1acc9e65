"""The chart in an OCI registry: pushed, shown and rendered from there, as a user of a release would."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dev.cluster.stages import StageError
from tests.chart.rendering import CHART, RENDER, Helm
from tests.support.registry import running_registry

pytestmark = pytest.mark.chart


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        with running_registry(tmp_path_factory.mktemp("registry")) as host:
            yield host
    except StageError as error:
        pytest.skip(reason=f"no registry can be built here: {error.explain()}")


def test_the_chart_comes_from_a_registry(helm: Helm, registry: str, tmp_path: Path) -> None:
    packaged = helm("package", str(CHART), "--destination", str(tmp_path))
    assert packaged.returncode == 0, packaged.stderr
    (archive,) = tmp_path.glob("*.tgz")
    where = f"oci://{registry}/charts"

    pushed = helm("push", str(archive), where, "--plain-http")
    shown = helm("show", "chart", f"{where}/llmdeployment-operator", "--plain-http")
    rendered = helm(
        "template", "op", f"{where}/llmdeployment-operator", "--plain-http", *RENDER[3:]
    )

    assert pushed.returncode == 0, pushed.stderr
    assert "Digest: sha256:" in pushed.stdout + pushed.stderr
    assert yaml.safe_load(shown.stdout)["name"] == "llmdeployment-operator"
    assert rendered.returncode == 0, rendered.stderr
    kinds = {each["kind"] for each in yaml.safe_load_all(rendered.stdout) if each}
    assert {"Deployment", "CustomResourceDefinition"} <= kinds
