"""What a viewer sees and may do: everything that the kubeconfig may, everything and nothing, or what the API server says of them."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from llmdeployment_console.cluster import Owner
from llmdeployment_console.refusals import RequestRefused
from llmdeployment_console.reviews import Reviews, Right
from llmdeployment_console.viewers import Viewer

log = logging.getLogger(__name__)

Apply = Callable[[Owner, str, str | None], None]
"""Does an action on an LLMDeployment or one of its arms; takes as long as the network does, and may raise `Refusal`."""


class Rights(Protocol):
    """The rights of viewers. Each method may raise `Refusal` where the API server does not answer."""

    async def list_visible(self, viewer: Viewer, namespaces: Collection[str]) -> Collection[str]:
        """Return those of these namespaces that a viewer sees."""

    async def explain_acting(self, viewer: Viewer, namespace: str) -> str | None:
        """Return why a viewer may press no button there; None if they may."""

    async def explain_chat(self, viewer: Viewer, namespace: str) -> str | None:
        """Return why a viewer may ask no replica there; None if they may."""

    async def apply(self, viewer: Viewer, owner: Owner, action: str, arm: str | None) -> None:
        """Do what a viewer decided."""


@dataclass(frozen=True)
class OwnRights:
    """Those of the kubeconfig: the API server refuses what its user may not do.

    Attributes:
        apply_as_user: does an action.
    """

    apply_as_user: Apply

    async def list_visible(self, viewer: Viewer, namespaces: Collection[str]) -> Collection[str]:
        """Return all of them."""
        del viewer
        return namespaces

    async def explain_acting(self, viewer: Viewer, namespace: str) -> str | None:
        """Return nothing."""
        del viewer, namespace
        return None  # because it is an answer

    async def explain_chat(self, viewer: Viewer, namespace: str) -> str | None:
        """Return nothing."""
        del viewer, namespace
        return None  # because it is an answer

    async def apply(self, viewer: Viewer, owner: Owner, action: str, arm: str | None) -> None:
        """Do it as the user."""
        del viewer
        await asyncio.to_thread(self.apply_as_user, owner, action, arm)


READ_ONLY = (
    "This console is read-only. Use kubectl llm, or kubectl llm console with your own kubeconfig."
)


class ReadRights:
    """Everybody sees everything, and nobody may do anything."""

    async def list_visible(self, viewer: Viewer, namespaces: Collection[str]) -> Collection[str]:
        """Return all of them."""
        del viewer
        return namespaces

    async def explain_acting(self, viewer: Viewer, namespace: str) -> str | None:
        """Return why nobody may."""
        del viewer, namespace
        return READ_ONLY

    async def explain_chat(self, viewer: Viewer, namespace: str) -> str | None:
        """Return why nobody may."""
        del viewer, namespace
        return READ_ONLY

    async def apply(self, viewer: Viewer, owner: Owner, action: str, arm: str | None) -> None:
        """Refuse it."""
        del viewer, owner, action, arm
        raise RequestRefused(HTTPStatus.FORBIDDEN, "read_only", READ_ONLY)


@dataclass(frozen=True)
class ReviewedRights:
    """Those that the API server knows of each viewer.

    Attributes:
        reviews: its answers.
        impersonate: returns what does an action as a viewer.
    """

    reviews: Reviews
    impersonate: Callable[[Viewer], Apply]

    async def list_visible(self, viewer: Viewer, namespaces: Collection[str]) -> Collection[str]:
        """Return those whose LLMDeployments the viewer may list."""
        # Who may list those of all namespaces, as most who look at a fleet, costs one question and not one for each.
        if len(namespaces) > 1 and await self.reviews.allow(viewer, Right.to_view("")):
            return namespaces
        asked = [self.reviews.allow(viewer, Right.to_view(each)) for each in namespaces]
        found = await asyncio.gather(*asked)
        return {each for each, allowed in zip(namespaces, found, strict=True) if allowed}

    async def explain_acting(self, viewer: Viewer, namespace: str) -> str | None:
        """Return why the viewer may not patch LLMDeployments there."""
        if await self.reviews.allow(viewer, Right.to_change(namespace)):
            return None
        return f"{viewer.user} may not patch LLMDeployments in namespace {namespace}. Ask for the role edit there."

    async def explain_chat(self, viewer: Viewer, namespace: str) -> str | None:
        """Return why the viewer may not send requests to Services there."""
        if await self.reviews.allow(viewer, Right.to_chat(namespace)):
            return None
        return f"{viewer.user} may not create services/proxy in namespace {namespace}. Ask for the role edit there."

    async def apply(self, viewer: Viewer, owner: Owner, action: str, arm: str | None) -> None:
        """Do it as the viewer: the API server refuses what they may not do, and its audit log names them."""
        await asyncio.to_thread(self.impersonate(viewer), owner, action, arm)
        log.info("%s: %s of %s/%s", viewer.user, action, *owner)


def restrict_document(
    document: Mapping[str, Any], *, acting: str | None, chatting: str | None
) -> dict[str, Any]:
    """Return the document of an LLMDeployment in which a viewer can choose only what they may do.

    Args:
        document: as everybody sees it.
        acting: why the viewer may press no button; None if they may.
        chatting: why the viewer may ask no replica; None if they may.

    >>> document = {"actions": [{"name": "pause", "possible": True, "why": None}], "revisions": [{"number": 4, "chat": True}]}
    >>> restrict_document(document, acting="No.", chatting="No.")
    {'actions': [{'name': 'pause', 'possible': False, 'why': 'No.'}], 'revisions': [{'number': 4, 'chat': False}]}
    """
    actions, revisions = document["actions"], document["revisions"]
    if acting is not None:
        actions = [{**each, "possible": False, "why": acting} for each in actions]
    if chatting is not None:
        revisions = [{**each, "chat": False} for each in revisions]
    return {**document, "actions": actions, "revisions": revisions}
