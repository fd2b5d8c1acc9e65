"""Nodes and pods are not listed at each pass of each LLMDeployment that waits for room."""

from typing import Any

import pytest

from llmdeployment_operator.kube import objects
from llmdeployment_operator.kube.capacity import LASTING_SECONDS, CapacityCache

NODE = {"metadata": {"name": "a"}, "status": {"allocatable": {"nvidia.com/gpu": "2"}}}


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []

    async def list_by_label(_: Any, resource: Any, namespace: str | None, __: Any) -> list[Any]:
        found.append((resource.kind, namespace))
        return [NODE] if resource.kind == "Node" else []

    monkeypatch.setattr(objects, "list_by_label", list_by_label)
    return found


async def test_what_was_read_lasts_for_some_seconds_and_for_everybody(
    listed: list[tuple[str, str | None]],
) -> None:
    now = 100.0
    cache = CapacityCache(lambda: now)
    client: Any = None
    first = await cache.read(client, None, [], LASTING_SECONDS)
    assert first["nvidia.com/gpu"].total == 2
    now += LASTING_SECONDS - 1
    assert await cache.read(client, None, [], LASTING_SECONDS) == first
    assert listed == [("Node", None), ("Pod", None)]
    now += 1
    await cache.read(client, None, [], LASTING_SECONDS)
    assert len(listed) == 4
    # Before a change, what there is now counts.
    await cache.read(client, None, [])
    assert len(listed) == 6
    # Who may see one namespace only is not told of the others.
    await cache.read(client, "team", [], LASTING_SECONDS)
    assert listed[-1] == ("Pod", "team")
