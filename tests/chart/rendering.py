"""What the tests of the chart share: how helm renders it, and what they look for in what it made."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
CHART = HERE.parents[1] / "charts/llmdeployment-operator"
# helm built from source takes itself for Kubernetes 1.20 when it renders without a cluster.
RENDER = ("template", "op", str(CHART), "-n", "llm-system", "--kube-version", "1.34.0")
# As of a cluster with the Prometheus operator.
MONITORS = ("--api-versions", "monitoring.coreos.com/v1/PodMonitor")
RULES = ("--api-versions", "monitoring.coreos.com/v1/PrometheusRule")
NO_CRD = ("--set", "crds.install=false")
CASES = ("default", "own-namespace", "confined", "everything", "console")
"""The files in values/ and golden/."""

Object = dict[str, Any]
Helm = Callable[..., subprocess.CompletedProcess[str]]


def render(helm: Helm, *arguments: str) -> list[Object]:
    """Return the objects that helm makes."""
    done = helm(*RENDER, *arguments)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def render_release(helm: Helm, *arguments: str) -> list[Object]:
    """Return the objects of the release, without those that `helm test` makes."""
    return render(helm, "--skip-tests", *arguments)


def find_deployment(documents: list[Object], program: str = "operator") -> Object:
    """Return the Deployment of the operator, or of the console."""
    found = (d for d in documents if d["kind"] == "Deployment")
    return next(
        d for d in found if d["spec"]["template"]["spec"]["containers"][0]["name"] == program
    )


def find_container(documents: list[Object]) -> Object:
    """Return the operator's container."""
    pod = find_deployment(documents)["spec"]["template"]["spec"]
    container: Object = pod["containers"][0]
    return container
