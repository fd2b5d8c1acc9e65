from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dev.cluster.stages import StageError
from dev.demo import kube as local
from dev.demo import volumes
from dev.demo.kube import Kube, KubeError
from tests.support.live import Live
from tests.support.until import until

NAMESPACE = "llm-e2e"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="session")
def kube() -> Iterator[Kube]:
    """A namespace under the restricted Pod Security Standard, with its claims in it and an operator for it."""
    found = local.connect(NAMESPACE)
    try:
        found.get("node", "any")
    except (KubeError, StageError) as error:
        pytest.skip(reason=f"no cluster is up (`make test` brings one up): {error}")
    clean(found)
    found.ensure_namespace(RESTRICTED)
    found.system.ensure_namespace(RESTRICTED)
    folders = {"models": Path(local.run_module("dev.model")).parent}
    folders[local.ENVIRONMENT_CLAIM] = Path(local.run_module("dev.serving_env"))
    volumes.provide(found, folders)
    found.install_operator()
    yield found
    clean(found)


def clean(kube: Kube) -> None:
    """Remove what an earlier run left."""
    if kube.get("namespace", NAMESPACE) is None:
        return
    if kube.get("crd", "llmdeployments.llmdeployment.dev") is not None:
        kube.run("delete", "llm", "--all", "--wait")
    kube.uninstall_operator()
    names = (NAMESPACE, kube.system.namespace)
    kube.run("delete", "namespace", *names, "--ignore-not-found", "--wait=false")
    until(lambda: kube.get("namespace", NAMESPACE) is None, 300, "the namespace is gone")
    volumes.remove(kube)


@pytest.fixture(scope="module")
def live(kube: Kube) -> Iterator[Callable[[str], Live]]:
    """Names LLMDeployments; all are deleted when the module ends."""
    made: list[Live] = []

    def named(name: str) -> Live:
        found = Live(kube, name)
        made.append(found)
        return found

    yield named
    for each in made:
        kube.run("delete", "llm", each.name, "--ignore-not-found", "--wait=false")
    for each in made:
        each.until_gone(200)
