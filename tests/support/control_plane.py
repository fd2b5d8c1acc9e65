"""A control plane for the tests: real etcd, real kube-apiserver, nothing else."""

import secrets
from collections.abc import Iterable

import pytest
from dev.cluster import api, tools
from dev.cluster.control_plane import ControlPlane
from dev.cluster.stages import StageError

PROGRAMS = ("etcd", "kube-apiserver", "kubectl")


def cannot_have(items: Iterable[pytest.Item], fixture: str = "control_plane") -> str:
    """Build the programs if a test needs them; returns why that is impossible, else "".

    Called between collection and the first test: the first build takes minutes, which no test's
    timeout should have to cover.
    """
    if not any(fixture in getattr(item, "fixturenames", ()) for item in items):
        return ""
    try:
        for name in PROGRAMS:
            tools.find(name)
    except StageError as error:
        return error.explain()
    return ""


def make_namespace(plane: ControlPlane, prefix: str = "test") -> str:
    """Create a namespace with a name of its own and return the name."""
    name = f"{prefix}-{secrets.token_hex(4)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    api.call(plane.access, "POST", "/api/v1/namespaces", body)
    return name
