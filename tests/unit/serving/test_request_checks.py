"""What vLLM would answer with a fault of its own is refused as the client's."""

from typing import Any

import pytest

from llmdeployment_serving.errors import RefusedError
from llmdeployment_serving.request_checks import check_request


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"structured_outputs": 0}, "structured_outputs must be an object"),
        ({"structured_outputs": []}, "structured_outputs must be an object"),
        ({"response_format": "json"}, "response_format must be an object"),
        ({"length_penalty": -2.9e16}, "length_penalty must be between -50 and 50"),
        ({"length_penalty": 50.5}, "length_penalty must be between -50 and 50"),
        ({"length_penalty": float("nan")}, "length_penalty must be between -50 and 50"),
    ],
)
def test_refused(body: dict[str, Any], field: str) -> None:
    with pytest.raises(RefusedError, match=field) as refused:
        check_request(body)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"structured_outputs": None, "response_format": None, "length_penalty": None},
        {"structured_outputs": {"regex": "a"}, "response_format": {"type": "json_object"}},
        {"length_penalty": 50},
        {"length_penalty": -50.0},
    ],
)
def test_left_to_the_engine(body: dict[str, Any]) -> None:
    check_request(body)
