"""`make images REGISTRY=...`: an image of this checkout, as a node would pull it."""

import json
import urllib.request
from pathlib import Path

import pytest
from dev.images import OWN, VERSION, push
from tests.support.registry import running_registry

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_an_image_goes_to_a_registry(tmp_path: Path) -> None:
    gateway = next(image for image in OWN if image.name == "gateway")
    with running_registry(tmp_path) as host:
        push(gateway, f"{host}/team")

        url = f"http://{host}/v2/team/llmdeployment/gateway/tags/list"
        with urllib.request.urlopen(
            url, timeout=10
        ) as answer:  # because it is our own http address
            assert json.load(answer)["tags"] == [VERSION]
