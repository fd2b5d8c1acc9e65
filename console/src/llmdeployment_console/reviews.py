"""What viewers may do, asked of the API server (SubjectAccessReview) and remembered for half a minute."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from llmdeployment_cli import kube
from llmdeployment_cli.transport import ApiRequest
from llmdeployment_console.viewers import Viewer

SECONDS = 30.0
"""How long an answer stands: who loses a right sees and does nothing any more after that."""
MOST = 4096
"""Answers that are remembered."""
_AT_ONCE = 8
_PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@dataclass(frozen=True)
class Right:
    """A right in a namespace.

    Attributes:
        verb: such as list.
        group: of the API.
        resource: its plural, with a subresource after a slash.
        namespace: empty for all.
    """

    verb: str
    group: str
    resource: str
    namespace: str

    @classmethod
    def to_view(cls, namespace: str) -> "Right":
        """Return the right without which nothing of a namespace is shown."""
        return cls("list", kube.GROUP, kube.PLURAL, namespace)

    @classmethod
    def to_change(cls, namespace: str) -> "Right":
        """Return the right that the buttons need."""
        return cls("patch", kube.GROUP, kube.PLURAL, namespace)

    @classmethod
    def to_chat(cls, namespace: str) -> "Right":
        """Return the right to send requests to Services, as `kubectl proxy` asks for it."""
        return cls("create", "", "services/proxy", namespace)


class Reviews:
    """The last answers, at most 4,096. Who asks while one is being asked for gets the same.

    Args:
        ask: asks the API server; takes as long as the network does, and may raise `Refusal`.
        clock: seconds that only grow.
    """

    def __init__(
        self, ask: Callable[[Viewer, Right], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._known: OrderedDict[tuple[Viewer, Right], tuple[float, bool]] = OrderedDict()
        self._asking: dict[tuple[Viewer, Right], asyncio.Task[bool]] = {}

    async def allow(self, viewer: Viewer, right: Right) -> bool:
        """Say whether a viewer has a right, as of half a minute ago at most.

        Raises:
            Refusal: the API server does not say.
        """
        key = (viewer, right)
        known = self._known.get(key)
        if known is not None and self._clock() - known[0] < SECONDS:
            return known[1]
        if key not in self._asking:
            self._asking[key] = asyncio.create_task(self._review(key))
        # Who comes next may still want it, so it is not given up with the one who asked first.
        return await asyncio.shield(self._asking[key])

    async def _review(self, key: tuple[Viewer, Right]) -> bool:
        try:
            async with self._room:
                found = await asyncio.to_thread(self._ask, *key)
        finally:
            self._asking.pop(key, None)
        self._known[key] = (self._clock(), found)
        self._known.move_to_end(key)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return found


def ask_api_server(cluster: kube.Cluster, viewer: Viewer, right: Right) -> bool:
    """Ask the API server whether a viewer has a right.

    Raises:
        Refusal: it does not say.
    """
    answer = kube.send(cluster, ApiRequest("POST", _PATH, body=build_review(viewer, right)))
    status = answer.get("status") or {}
    return status.get("allowed") is True and status.get("denied") is not True


def build_review(viewer: Viewer, right: Right) -> dict[str, object]:
    """Return the question. The API server adds `system:authenticated` to requests by itself, but not here."""
    resource, _, subresource = right.resource.partition("/")
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": viewer.user,
            "groups": [*viewer.groups, "system:authenticated"],
            "resourceAttributes": {
                "verb": right.verb,
                "group": right.group,
                "resource": resource,
                "subresource": subresource,
                "namespace": right.namespace,
            },
        },
    }
