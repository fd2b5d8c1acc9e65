"""The least an operator on kopf does for an LLMDeployment: write the same children with the official client, once.

    python -m bench.bare_operator KUBECONFIG NAMESPACE

It reads nothing, compares nothing and reports nothing: what `bench/control_plane.py` compares the operator's CPU with.
"""

import asyncio
import copy
import logging
import sys
from typing import Any

import kopf
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from tests.support.world import World, admitted

from llmdeployment_operator.handlers.watch import build_settings, make_login
from llmdeployment_operator.kube.client import Access
from llmdeployment_operator.kube.resources import BY_KIND

SAMPLE = {
    "apiVersion": "llmdeployment.dev/v1alpha1",
    "kind": "LLMDeployment",
    "metadata": {"name": "template"},
    "spec": {"model": {"source": "file:///none"}, "engine": {"name": "simulated"}},
}


def render(template: list[dict[str, Any]], meta: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the children of one object."""
    found = copy.deepcopy(template)
    for child in found:
        own = child["metadata"]
        own["name"] = own["name"].replace("template", meta["name"], 1)
        own["namespace"] = meta["namespace"]
        own["labels"]["llmdeployment.dev/name"] = meta["name"]
        own["ownerReferences"][0] |= {"name": meta["name"], "uid": meta["uid"]}
    return found


async def write(client: ApiClient, child: dict[str, Any]) -> None:
    """Write one child by server-side apply, as the client's generated code does it."""
    meta = child["metadata"]
    prepared = await client.param_serialize(
        "PATCH",
        BY_KIND[child["kind"]].path(meta["namespace"], meta["name"]),
        query_params=[("fieldManager", "bare"), ("force", "true")],
        header_params={"Content-Type": "application/apply-patch+yaml"},
        body=child,
        auth_settings=["BearerToken"],
    )
    response = await client.call_api(*prepared)
    await response.read()  # type: ignore[no-untyped-call]  # because the client has no types here


async def main(kubeconfig: str, namespace: str) -> None:
    """Operate until SIGTERM."""
    configuration = Configuration()
    await config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]  # because the client has no types here
    template = list(World(admitted(SAMPLE)).plan().apply)
    registry, ready = kopf.OperatorRegistry(), asyncio.Event()
    async with ApiClient(configuration=configuration) as client:

        async def on_event(event: dict[str, Any], **_: Any) -> None:  # noqa: ANN401  # because kopf fills them
            if event.get("type") in (None, "ADDED"):
                for child in render(template, event["object"]["metadata"]):
                    await write(client, child)

        kopf.on.event("llmdeployment.dev", "v1alpha1", "llmdeployments", registry=registry)(
            on_event
        )
        kopf.on.login(registry=registry)(make_login(Access(configuration, inside=False)))
        running = asyncio.create_task(
            kopf.operator(
                registry=registry,
                settings=build_settings(),
                standalone=True,
                namespaces=[namespace],
                ready_flag=ready,
            )
        )
        await ready.wait()
        print("watching", flush=True)
        await running


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(main(*sys.argv[1:]))
