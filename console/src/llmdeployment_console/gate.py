"""Holds each request of the API to the viewer's rights by its path, so that no route can forget to."""

from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from llmdeployment_cli.errors import Refusal
from llmdeployment_console.cache import ReadCache
from llmdeployment_console.guard import API
from llmdeployment_console.refusals import RequestRefused, build_refusal
from llmdeployment_console.rights import Rights
from llmdeployment_console.viewers import SCOPE_KEY, Viewer

FLEET = "fleet"
"""The one path for all namespaces; its route leaves out what the viewer does not see."""
ONE = "llmdeployments"
SEEN = frozenset({"actions", "what-if"})
"""What needs no more than to see, though it is sent. The preview of an action shows, and what it writes is written as the viewer. A
simulation asks nobody."""


class Gate:
    """Lets requests through that the viewer has the rights for. Pure ASGI, so that streams pass as they come.

    Args:
        app: what answers.
        rights: of viewers.
        cache: which LLMDeployments there are.
    """

    def __init__(self, app: ASGIApp, rights: Rights, cache: ReadCache) -> None:
        self._app = app
        self._rights = rights
        self._cache = cache

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            if scope["type"] == "http" and scope["path"].startswith(API):
                await self._check(scope[SCOPE_KEY], scope["method"], scope["path"])
        except RequestRefused as refused:
            await build_refusal(refused)(scope, receive, send)
            return
        except Refusal as refusal:
            # The API server does not say what the viewer may do.
            found = RequestRefused(HTTPStatus.BAD_GATEWAY, "refused", str(refusal))
            await build_refusal(found)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _check(self, viewer: Viewer, method: str, path: str) -> None:
        parts = path.removeprefix(API).split("/")
        if parts == [FLEET]:
            return
        if parts[0] != ONE or len(parts) < len((ONE, "namespace", "name")):
            message = "There is no such page. Open the console's first page."
            raise RequestRefused(HTTPStatus.NOT_FOUND, "not_found", message)
        namespace, name = parts[1], parts[2]
        # One that is not there and one that the viewer does not see look the same.
        known = (namespace, name) in (await self._cache.read()).deployments
        if not known or not await self._rights.list_visible(viewer, [namespace]):
            message = f"There is no LLMDeployment {name} in namespace {namespace} that you may list. It may have been deleted."
            raise RequestRefused(HTTPStatus.NOT_FOUND, "not_found", message)
        if method in {"GET", "HEAD"} or (len(parts[3:]) == 1 and parts[3] in SEEN):
            return
        why = await self._rights.explain_chat(viewer, namespace)
        if why is not None:
            raise RequestRefused(HTTPStatus.FORBIDDEN, "no_right", why)
