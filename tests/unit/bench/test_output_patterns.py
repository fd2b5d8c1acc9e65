"""The measurement of what looking at answers costs runs, and its answers arrive as they were sent."""

import pytest
from bench import output_patterns

from llmdeployment_serving.answer_watch import AnswerWatch


async def test_an_answer_of_the_measurement_arrives_whole() -> None:
    events = output_patterns.write_events("a brand1 price " * 9)
    seconds, differs = await output_patterns.measure_once(
        events, output_patterns.PATTERNS, AnswerWatch
    )
    assert seconds > 0
    assert differs == 0


async def test_each_length_has_its_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_patterns, "SIZES", (1, 2))
    found = await output_patterns.measure_sizes(1, lambda size: "x" * size)
    assert [row["kib"] for row in found["rows"]] == [1, 2]
