"""What the cluster has: extended resources, and a StorageClass to fall back on."""

from collections.abc import Iterable

from kubernetes.aio.client import ApiClient

from llmdeployment_operator.kube import objects
from llmdeployment_operator.kube.errors import ApiRefused
from llmdeployment_operator.kube.resources import NODE, POD, STORAGE_CLASS
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.pods import Capacity, sum_capacity

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


async def read_capacity(
    client: ApiClient, namespace: str | None, pods: Iterable[Object]
) -> dict[str, Capacity]:
    """Return what there is of every extended resource that nodes have or these pods ask for.

    Args:
        client: of the API server.
        namespace: the only one whose pods may be seen, or None for all.
        pods: those of one LLMDeployment.

    Raises:
        ApiRefused: nodes or pods may not be listed.
    """
    nodes = await objects.list_by_label(client, NODE, None, {})
    running = await objects.list_by_label(client, POD, namespace, {})
    return sum_capacity(nodes, running, pods, partial=namespace is not None)


async def has_default_storage_class(client: ApiClient) -> bool:
    """Say whether a claim without a class gets a volume; no, where that may not be asked."""
    try:
        classes = await objects.list_by_label(client, STORAGE_CLASS, None, {})
    except ApiRefused:
        return False
    return any(c["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true" for c in classes)
