"""One pass at a time, for tests that look between two of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient

from llmdeployment_operator.kube import objects
from llmdeployment_operator.kube.observe import Clients
from llmdeployment_operator.kube.poller import Poller
from llmdeployment_operator.kube.resources import CHILDREN, LLMDEPLOYMENT, POD
from llmdeployment_operator.kube.store import Store
from llmdeployment_operator.plan.base.names import MANAGED_BY, MANAGER
from llmdeployment_operator.reconcile import DeploymentKey, Operator, PassResult, reconcile

ANSWER_SECONDS = 30


class Turns:
    """Is told that those who were asked have answered."""

    def __init__(self) -> None:
        self.came = asyncio.Event()

    def __call__(self, _: Any) -> None:
        self.came.set()


@asynccontextmanager
async def clients_for_passes(
    client: ApiClient, session: aiohttp.ClientSession
) -> AsyncIterator[Clients]:
    """Give what passes need; nothing feeds the store but `make_pass`."""
    poller = Poller(session, Turns())
    try:
        yield Clients(client, Store(), poller, cluster_read=True, everywhere=False)
    finally:
        await poller.close()


async def make_pass(operator: Operator, key: DeploymentKey) -> PassResult:
    """Make one pass that knows everything there is, as if all events had come, and wait for those it asks."""
    await know_everything(operator, key.namespace)
    while (result := await reconcile(operator, key)) is None:
        turns: Any = operator.clients.poller._call
        await asyncio.wait_for(turns.came.wait(), ANSWER_SECONDS)
        turns.came.clear()
    return result


async def know_everything(operator: Operator, namespace: str) -> None:
    """Fill the store with a list of everything, and read anew what is read by name."""
    clients = operator.clients
    ours = {MANAGED_BY: MANAGER}
    kinds = [(LLMDEPLOYMENT, {}), *((kind, ours) for kind in (*CHILDREN, POD))]
    for kind, selector in kinds:
        found, version = await objects.list_versioned(clients.client, kind, namespace, selector)
        clients.store.replace(kind.kind, namespace, found, int(version))
    clients.names._read.clear()
