"""Where the API server keeps each kind the operator touches."""

from dataclasses import dataclass

from llmdeployment_operator.plan.base.objects import Kind


@dataclass(frozen=True)
class Resource:
    """The address of a kind: `/apis/<group>/<version>/namespaces/<ns>/<plural>`."""

    api_version: str
    kind: str
    plural: str

    def path(self, namespace: str | None, name: str | None = None, sub: str | None = None) -> str:
        """Return the URL path of the collection, of one object, or of its subresource."""
        root = (
            f"/api/{self.api_version}"
            if "/" not in self.api_version
            else f"/apis/{self.api_version}"
        )
        parts = [root]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, sub) if part is not None]
        return "/".join(parts)


LLMDEPLOYMENT = Resource("llmdeployment.dev/v1alpha1", "LLMDeployment", "llmdeployments")
POD = Resource("v1", Kind.POD, "pods")
SECRET = Resource("v1", Kind.SECRET, "secrets")
NODE = Resource("v1", "Node", "nodes")
STORAGE_CLASS = Resource("storage.k8s.io/v1", "StorageClass", "storageclasses")
EVENT = Resource("v1", "Event", "events")
LEASE = Resource("coordination.k8s.io/v1", "Lease", "leases")
HTTP_ROUTE = Resource("gateway.networking.k8s.io/v1", Kind.HTTP_ROUTE, "httproutes")
"""A child too, but one whose kind may be missing: it is looked for by name, and not watched."""

CHILDREN = (
    Resource("apps/v1", Kind.CONTROLLER_REVISION, "controllerrevisions"),
    Resource("v1", Kind.SERVICE_ACCOUNT, "serviceaccounts"),
    Resource("rbac.authorization.k8s.io/v1", Kind.ROLE, "roles"),
    Resource("rbac.authorization.k8s.io/v1", Kind.ROLE_BINDING, "rolebindings"),
    Resource("networking.k8s.io/v1", Kind.NETWORK_POLICY, "networkpolicies"),
    Resource("v1", Kind.CONFIG_MAP, "configmaps"),
    Resource("v1", Kind.SERVICE, "services"),
    Resource("apps/v1", Kind.STATEFUL_SET, "statefulsets"),
    Resource("apps/v1", Kind.DEPLOYMENT, "deployments"),
    Resource("policy/v1", Kind.POD_DISRUPTION_BUDGET, "poddisruptionbudgets"),
    Resource("batch/v1", Kind.JOB, "jobs"),
)
"""The kinds of children found by label. Secrets are not among them: the operator may get one by name, never list."""

BY_KIND = {
    r.kind: r
    for r in (*CHILDREN, HTTP_ROUTE, LLMDEPLOYMENT, POD, SECRET, NODE, STORAGE_CLASS, EVENT, LEASE)
}
