"""A plain synchronous client of the API server, for tests that look from the outside."""

from typing import Any

from dev.cluster import api
from dev.cluster.api import Access

LLM = "/apis/llmdeployment.dev/v1alpha1/namespaces/{ns}/llmdeployments"
PATHS = {
    "ConfigMap": "/api/v1/namespaces/{ns}/configmaps",
    "Secret": "/api/v1/namespaces/{ns}/secrets",
    "Service": "/api/v1/namespaces/{ns}/services",
    "ServiceAccount": "/api/v1/namespaces/{ns}/serviceaccounts",
    "Pod": "/api/v1/namespaces/{ns}/pods",
    "Event": "/api/v1/namespaces/{ns}/events",
    "Deployment": "/apis/apps/v1/namespaces/{ns}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{ns}/statefulsets",
    "ControllerRevision": "/apis/apps/v1/namespaces/{ns}/controllerrevisions",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases",
    "Job": "/apis/batch/v1/namespaces/{ns}/jobs",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings",
    "LLMDeployment": LLM,
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1/namespaces/{ns}/httproutes",
}
# An HTTPRoute is one too, where its kind is installed.
CHILD_KINDS = [k for k in PATHS if k not in {"Pod", "Event", "Lease", "LLMDeployment", "HTTPRoute"}]

Object = dict[str, Any]


class ClusterClient:
    """Objects of one namespace."""

    def __init__(self, access: Access, namespace: str) -> None:
        self.access = access
        self.namespace = namespace

    def path(self, kind: str, name: str = "") -> str:
        root = PATHS[kind].format(ns=self.namespace)
        return f"{root}/{name}" if name else root

    def get(self, kind: str, name: str) -> Object | None:
        try:
            found: Object = api.call(self.access, "GET", self.path(kind, name))
        except api.ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    def items(self, kind: str, selector: str = "") -> list[Object]:
        query = f"?labelSelector={selector}" if selector else ""
        found: list[Object] = api.call(self.access, "GET", self.path(kind) + query)["items"]
        return found

    def create(self, body: Object) -> Object:
        body = {**body, "metadata": {**body["metadata"], "namespace": self.namespace}}
        made: Object = api.call(self.access, "POST", self.path(body["kind"]), body)
        return made

    def patch(self, kind: str, name: str, body: Object, sub: str = "") -> Object:
        path = self.path(kind, name) + sub
        changed: Object = api.call(
            self.access, "PATCH", path, body, content_type="application/merge-patch+json"
        )
        return changed

    def delete(self, kind: str, name: str) -> None:
        api.call(self.access, "DELETE", self.path(kind, name))

    def children(self, name: str) -> dict[tuple[str, str], Object]:
        """Everything labelled as belonging to an LLMDeployment."""
        selector = f"llmdeployment.dev/name={name}"
        return {
            (kind, obj["metadata"]["name"]): obj
            for kind in CHILD_KINDS
            for obj in self.items(kind, selector)
        }
