from pathlib import Path

import pytest
from dev.cluster import api, processes
from dev.cluster import control_plane as cluster

pytestmark = pytest.mark.component


def test_the_programs_answer_and_take_objects(
    control_plane: cluster.ControlPlane, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one"},
        "spec": {"containers": [{"name": "main", "image": "localhost/none:1"}]},
    }

    api.call(control_plane.access, "POST", path, pod)

    assert "one" in cluster.run_kubectl(control_plane, "get", "pods", "-n", namespace)


def test_a_stranger_is_refused(control_plane: cluster.ControlPlane) -> None:
    stranger = api.Access(control_plane.url, control_plane.ca, "not-a-token")

    with pytest.raises(api.ApiError) as refused:
        api.call(stranger, "GET", "/api/v1/namespaces")

    assert refused.value.status == 401


def test_a_restart_keeps_url_and_data_and_stop_leaves_no_process(
    tmp_path: Path,
    control_plane: cluster.ControlPlane,  # noqa: ARG001  # because it skips when nothing can be built
) -> None:
    plane = cluster.start(tmp_path)
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}}
    path = "/api/v1/namespaces/default/configmaps"
    try:
        before = api.call(plane.access, "POST", path, config_map)
        plane.restart_apiserver()
        after = api.call(plane.access, "GET", f"{path}/kept")
    finally:
        plane.stop()

    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert not processes.find_running(tmp_path, "etcd")
    assert not processes.find_running(tmp_path, "kube-apiserver")
