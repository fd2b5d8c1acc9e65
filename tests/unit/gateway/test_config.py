import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from llmdeployment_gateway.assignment import parse_keys
from llmdeployment_gateway.config import STRIDE, read_programs, render
from llmdeployment_gateway.endpoints import Address
from llmdeployment_gateway.routes import BUCKETS
from llmdeployment_gateway.settings import Settings
from llmdeployment_gateway.tracing import TracesSettings

GOLDEN = Path(__file__).parent / "golden"
SERVERS = {"slot1": [Address("198.18.0.2", 30000), Address("198.18.0.1", 30000)]}
ANYBODY = Settings("ns", "chat", "none")
BY_KEY = Settings("ns", "chat", "apikey")
VARIANTS = {
    "none": ANYBODY,
    "apikey": BY_KEY,
    "limits": replace(
        BY_KEY, source_connections=100, key_requests=8, queue_requests=20, queue_seconds=5
    ),
    "body": replace(BY_KEY, assignment_keys=parse_keys("Header/x-user,Body/user,APIKey")),
    "forcing": replace(ANYBODY, forcing=True),
    "feedback": replace(BY_KEY, feedback_key=bytes(range(32))),
    "traces": replace(ANYBODY, traces=TracesSettings(sample_percent=5)),
}


@pytest.mark.parametrize(("name", "settings"), VARIANTS.items(), ids=VARIANTS)
def test_the_configuration_is_the_golden_one(name: str, settings: Settings) -> None:
    """`LLMD_UPDATE_GOLDEN=1 pytest tests/unit/gateway` writes it anew."""
    file = GOLDEN / f"haproxy-{name}.cfg"
    text = render(settings, SERVERS)
    if os.environ.get("LLMD_UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    assert text == file.read_text()


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_every_answer_of_the_gateways_own_is_openais_error(settings: Settings) -> None:
    text = render(settings, {}) + "".join(read_programs().values())
    bodies = [
        re.sub(r"%\[[^]]*\]", "sentence", body) for body in re.findall(r"'(\{.*?\}\})'", text)
    ]

    assert len(bodies) >= 12
    for body in bodies:
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]


def test_a_round_without_keys_visits_every_bucket_once() -> None:
    assert len({number * STRIDE % BUCKETS for number in range(BUCKETS)}) == BUCKETS


@pytest.mark.parametrize("percent", range(1, 100))
def test_any_hundred_requests_in_a_row_split_to_the_percent(percent: int) -> None:
    hits = [number * STRIDE % BUCKETS < percent * 100 for number in range(2 * BUCKETS)]
    windows = (sum(hits[start : start + 100]) for start in range(BUCKETS))

    assert max(abs(count - percent) for count in windows) <= 1


@pytest.mark.parametrize("requests", [100, 1000, 10000])
@pytest.mark.parametrize("below", [100, 500, 2500, 5000])
def test_requests_without_keys_split_evenly_from_the_first(requests: int, below: int) -> None:
    hits = sum(number * STRIDE % BUCKETS < below for number in range(requests))

    assert abs(hits - requests * below / BUCKETS) <= 3
