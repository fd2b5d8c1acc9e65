"""The HTTPRoute kind on a control plane: the published CRD, or none of it."""

import contextlib

import yaml
from dev.cluster import api, tools
from dev.cluster.control_plane import ControlPlane
from tests.support.until import until

_NAME = "httproutes.gateway.networking.k8s.io"
_CRD = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{_NAME}"


def install(plane: ControlPlane) -> None:
    """Apply the CRD and return once HTTPRoutes are served.

    Raises:
        StageError: the CRD cannot be had.
    """
    text = (tools.ensure_gateway_api() / "gateway.networking.k8s.io_httproutes.yaml").read_text()
    body = yaml.safe_load(text)
    api.apply(plane.access, _CRD, {key: body[key] for key in body if key != "status"})
    until(lambda: served(plane), 20, "HTTPRoutes are served")


def remove(plane: ControlPlane) -> None:
    """Take the CRD away, and every HTTPRoute with it."""
    with contextlib.suppress(api.ApiError):
        api.call(plane.access, "DELETE", _CRD)
    until(lambda: not served(plane), 20, "HTTPRoutes are not served any more")


def served(plane: ControlPlane) -> bool:
    """Say whether the API server knows HTTPRoutes."""
    try:
        api.call(plane.access, "GET", "/apis/gateway.networking.k8s.io/v1/httproutes")
    except api.ApiError:
        return False
    return True
