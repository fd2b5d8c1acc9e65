"""Every method of the official client, called against the gateway: what is served is answered, the rest is told so in OpenAI's words."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import openai
import pytest
from tests.component.gateway.conftest import NewReplica
from tests.component.gateway.pod import Pod

pytestmark = pytest.mark.component

SERVED = {
    "models.list",
    "models.retrieve",
    "completions.create",
    "chat.completions.create",
    "chat.completions.parse",
    "beta.chat.completions.create",
    "beta.chat.completions.parse",
    "beta.responses.create",
    "responses.create",
    "responses.parse",
}
SKIPPED = {"connect", "upload_file_chunked", "with_raw_response", "with_streaming_response"}
"""What opens another protocol, reads a file of this machine, or is another view of the same methods."""


def list_methods(resource: object, prefix: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the name and the function of every method below a resource of the client."""
    for name, member in inspect.getmembers(type(resource)):
        if name.startswith("_") or name in SKIPPED:
            continue
        if isinstance(member, cached_property):
            child = getattr(resource, name)
            if type(child).__module__.startswith("openai.resources"):
                yield from list_methods(child, f"{prefix}{name}.")
        elif inspect.isfunction(member) and prefix:
            yield prefix + name, getattr(resource, name)


def build_arguments(method: Callable[..., Any]) -> dict[str, Any]:
    """Return something for every argument that a method needs."""
    chosen = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
    return {
        name: chosen.get(name, "x")
        for name, parameter in inspect.signature(method).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    } | ({"prompt": "x"} if "prompt" in inspect.signature(method).parameters else {})


def try_method(method: Callable[..., Any]) -> int | str:
    """Return the status of a refusal, "answered", or "not sent" where the client itself refuses these arguments."""
    try:
        method(**build_arguments(method))
    except openai.APIStatusError as error:
        explained = isinstance(error.body, dict) and error.body.get("message")
        return error.status_code if explained else "refused without a message"
    except openai.APIConnectionError:
        raise
    except Exception:  # noqa: BLE001  # because a client may refuse "x" in any way that it likes
        return "not sent"
    return "answered"


async def test_every_method_of_the_official_client_is_answered_or_refused_in_its_own_words(
    pod: Pod, replicas: NewReplica
) -> None:
    replica = await replicas()
    pod.write_routes()
    pod.write_endpoints(replica.host)
    await pod.up()
    await pod.serving(1)

    def try_all() -> dict[str, int | str]:
        url = f"http://127.0.0.1:{pod.port}/v1"
        with openai.OpenAI(
            base_url=url, api_key="x", admin_api_key="x", max_retries=0, timeout=10
        ) as client:
            return {name: try_method(method) for name, method in list_methods(client)}

    outcomes = await asyncio.to_thread(try_all)
    answered = {name for name, outcome in outcomes.items() if outcome == "answered"}
    sent = {name: status for name, status in outcomes.items() if isinstance(status, int)}
    lazy = {name for name in answered if name.endswith("stream")}

    assert answered - lazy == SERVED
    assert "refused without a message" not in outcomes.values()
    assert set(sent.values()) <= {404, 405}
    assert len(sent) > 200
