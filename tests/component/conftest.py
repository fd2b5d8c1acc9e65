from collections.abc import Iterator

import pytest
from dev.cluster import control_plane as cluster
from tests.support.control_plane import cannot_have, make_namespace

MISSING = pytest.StashKey[str]()


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[MISSING] = cannot_have(session.items)


@pytest.fixture(scope="session")
def control_plane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[cluster.ControlPlane]:
    """One control plane for the whole run: kubeconfig, url, ca, token. Do not restart this one."""
    if missing := request.config.stash[MISSING]:
        pytest.skip(reason=f"etcd and kube-apiserver cannot be built here: {missing}")
    plane = cluster.start(tmp_path_factory.mktemp("control-plane"))
    yield plane
    plane.stop()


@pytest.fixture
def namespace(control_plane: cluster.ControlPlane) -> str:
    """A namespace of the test's own. It stays: without controllers none is ever finalised."""
    return make_namespace(control_plane)
