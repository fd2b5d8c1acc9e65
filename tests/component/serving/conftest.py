from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.ray_runtime import RayRuntime

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def put_document() -> dict[str, Any]:
    return dict(json.loads(Path("tests/data/serving/put.json").read_text()))


@pytest.fixture(scope="module")
def ray_runtime(
    tmp_path_factory: pytest.TempPathFactory, put_document: dict[str, Any]
) -> Iterator[RayRuntime]:
    """A head, a worker and the application of `put.json`, which answers."""
    runtime = RayRuntime(tmp_path_factory.mktemp("ray"))
    try:
        runtime.start()
        assert runtime.put(put_document) == 200
        runtime.until_replicas(300)
        yield runtime
    finally:
        runtime.stop()
