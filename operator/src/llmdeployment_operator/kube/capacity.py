"""What the cluster has: extended resources, and a StorageClass to fall back on."""

import time
from collections.abc import Callable, Iterable

from kubernetes.aio.client import ApiClient

from llmdeployment_operator.kube import objects
from llmdeployment_operator.kube.errors import ApiRefused
from llmdeployment_operator.kube.resources import NODE, POD, STORAGE_CLASS
from llmdeployment_operator.plan.base.objects import Object
from llmdeployment_operator.plan.base.pods import Capacity, sum_capacity

LASTING_SECONDS = 10.0
"""For how long nodes and pods are believed while a pod waits. A cluster has thousands of them, and a node takes longer to come."""

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


class CapacityCache:
    """Nodes and running pods, which all LLMDeployments share: while a pod waits for room, each pass asks for them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read: dict[str | None, tuple[float, list[Object], list[Object]]] = {}

    async def read(
        self,
        client: ApiClient,
        namespace: str | None,
        pods: Iterable[Object],
        seconds: float = 0.0,
    ) -> dict[str, Capacity]:
        """Return what there is of every extended resource that nodes have or these pods ask for.

        Args:
            client: of the API server.
            namespace: the only one whose pods may be seen, or None for all.
            pods: those of one LLMDeployment.
            seconds: how old the answer may be.

        Raises:
            ApiRefused: nodes or pods may not be listed.
        """
        found = self._read.get(namespace)
        if found is None or self._clock() - found[0] >= seconds:
            nodes = await objects.list_by_label(client, NODE, None, {})
            running = await objects.list_by_label(client, POD, namespace, {})
            found = self._clock(), list(nodes), list(running)
            self._read[namespace] = found
        return sum_capacity(found[1], found[2], pods, partial=namespace is not None)


async def has_default_storage_class(client: ApiClient) -> bool:
    """Say whether a claim without a class gets a volume; no, where that may not be asked."""
    try:
        classes = await objects.list_by_label(client, STORAGE_CLASS, None, {})
    except ApiRefused:
        return False
    return any(c["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true" for c in classes)
