"""The self-test: what passes, what does not, and who is asked for a reference."""

from __future__ import annotations

import asyncio
import json
import math
import struct
from typing import TYPE_CHECKING, Any

import pytest

from llmdeployment_serving import reference
from llmdeployment_serving.config import SelfTestConfig, ServingConfig, parse
from llmdeployment_serving.engine_simulated import SimulatedEngine, start_simulated
from llmdeployment_serving.errors import ConfigError, SelfTestError
from llmdeployment_serving.reference import explain_absence
from llmdeployment_serving.score import Score
from llmdeployment_serving.self_test import TEXT, TOLERANCE, SelfTest, find_fault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Scoring:
    """The part of an engine that the self-test uses."""

    def __init__(self, score: float | None, computed: float | None = None) -> None:
        self.own, self.computed, self.asked = score, computed, 0

    def find_failure(self) -> str | None:
        return None

    async def score(self, text: str) -> Score | None:
        assert text == TEXT
        return None if self.own is None else Score((1, 2, 3), (self.own, self.own))

    async def compute_reference(self, tokens: Sequence[int]) -> float | None:
        assert tokens == (1, 2, 3)
        self.asked += 1
        return self.computed


async def run(engine: Any, **settings: Any) -> SelfTest:
    test = SelfTest(engine)
    await test.run(SelfTestConfig(**settings))
    return test


def test_a_difference_up_to_the_tolerance_passes_in_both_directions() -> None:
    assert TOLERANCE == 0.05
    for sign in (1, -1):
        assert find_fault(-3 + sign * 0.0499, -3) is None
        assert find_fault(-3 + sign * 0.0501, -3) is not None


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
async def test_what_is_no_number_fails_without_a_reference(score: float) -> None:
    engine = Scoring(score)
    with pytest.raises(SelfTestError, match="no number that a working engine gives"):
        await run(engine, reference_from="FirstReplica")


async def test_the_operators_reference_is_not_computed_again() -> None:
    engine = Scoring(-3.0, computed=-9.0)
    test = await run(engine, reference=-3.01)
    assert engine.asked == 0
    row = test.describe()
    assert row is not None
    assert row.pop("seconds") >= 0
    assert row == {"score": -3.0, "reference": -3.01, "referenceFrom": "Transformers"}


async def test_without_a_reference_transformers_is_asked_once() -> None:
    engine = Scoring(-3.0, computed=-3.001)
    test = await run(engine)
    await test.run(SelfTestConfig())
    assert engine.asked == 1
    row = test.describe() or {}
    assert (row["reference"], row["referenceFrom"]) == (-3.001, "Transformers")
    engine.own = -3.2
    with pytest.raises(SelfTestError, match=r"scores -3\.200 .* reference is -3\.001"):
        await test.run(SelfTestConfig())


async def test_a_first_replica_has_no_reference_and_a_later_word_of_the_operator_counts() -> None:
    engine = Scoring(-3.0, computed=-9.0)
    test = await run(engine, reference_from="FirstReplica")
    assert engine.asked == 0
    assert "reference" not in (test.describe() or {})
    test.compare(SelfTestConfig(reference=-3.04, reference_from="FirstReplica"))
    with pytest.raises(SelfTestError, match=r"differ by 0\.060"):
        test.compare(SelfTestConfig(reference=-3.06, reference_from="FirstReplica"))


async def test_a_card_that_begins_to_compute_wrongly_is_found_at_the_next_period() -> None:
    engine = Scoring(-3.0)
    test = await run(engine, reference=-3.0)
    test.take(SelfTestConfig.model_construct(reference=-3.0, period_seconds=0))
    assert test.fault is None
    engine.own = -3.2
    await asyncio.wait_for(test.repeat(), 10)
    assert "scores -3.200 nats" in (test.fault or "")


async def test_a_new_reference_counts_at_once_and_a_switch_leads_to_a_test() -> None:
    engine = Scoring(-3.0)
    test = await run(engine, enabled=False)
    test.take(SelfTestConfig(enabled=False, reference=-9.0))
    assert test.fault is None
    repeating = asyncio.create_task(test.repeat())
    test.take(SelfTestConfig(enabled=True, reference=-9.0))
    await asyncio.wait_for(repeating, 10)
    assert "the reference is -9.000" in (test.fault or "")


async def test_one_that_is_off_or_cannot_be_done_is_not_reported() -> None:
    assert (await run(Scoring(-3.0, computed=-9.0), enabled=False)).describe() is None
    assert (await run(Scoring(None))).describe() is None


async def simulate(**args: Any) -> SimulatedEngine:
    engine = {"name": "simulated", "args": args}
    return await start_simulated(parse(ServingConfig, {"servedName": "chat", "engine": engine}))


@pytest.mark.parametrize("fault", ["scale", "permute", "nan"])
async def test_a_simulated_engine_with_wrong_logits_fails(fault: str) -> None:
    engine = await simulate(**{"logits-fault": fault})
    try:
        with pytest.raises(SelfTestError, match="the self-test failed on pod"):
            await run(engine)
    finally:
        engine.shutdown()


async def test_a_hundred_simulated_engines_agree() -> None:
    scores = set()
    for seed in range(100):
        engine = await simulate(seed=seed)
        test = await run(engine, reference_from="FirstReplica")
        scores.add((test.describe() or {})["score"])
        engine.shutdown()
    assert len(scores) == 1


async def test_a_fault_that_is_not_known_is_refused() -> None:
    with pytest.raises(ConfigError, match="logits-fault: 'add' is none of scale, permute, nan"):
        await simulate(**{"logits-fault": "add"})


def write_model(folder: Path, rows: int = 8, dtype: str = "BF16", **config: Any) -> None:
    header = json.dumps({"w": {"dtype": dtype, "shape": [rows, 1000], "data_offsets": [0, 0]}})
    text = header.encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("model", "flags", "free", "why"),
    [
        ({}, ("dtype", "max-model-len"), None, None),
        ({}, (), 50_000_000, None),
        ({"rows": 1_200_000}, (), None, None),
        ({"rows": 1_200_001}, (), None, "1,200,001,000 parameters, more than 1,200,000,000"),
        ({"rows": 2000}, (), 9_999_999, "9 are free"),
        ({}, ("hf-overrides.rope_theta",), None, "flag hf-overrides changes"),
        ({}, ("quantization",), None, "flag quantization changes"),
        ({"quantization_config": {}}, (), None, "weights are quantized"),
        ({"dtype": "I32"}, (), None, "no safetensors files with plain numbers"),
    ],
)
def test_who_is_held_to_transformers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: dict[str, Any],
    flags: tuple[str, ...],
    free: int | None,
    why: str | None,
) -> None:
    write_model(tmp_path, **model)
    monkeypatch.setattr(reference, "_read_free_memory", lambda: free)
    found = explain_absence(tmp_path, flags)
    assert found == why if why is None else why in (found or "")


@pytest.mark.parametrize(
    ("limit", "use", "free"), [(None, 5, None), (9, 5, 4), (5, 9, 0), (9, None, 0)]
)
def test_memory_that_is_not_known_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, use: int | None, free: int | None
) -> None:
    monkeypatch.setattr(reference, "read_memory_limit", lambda: limit)
    monkeypatch.setattr(reference, "read_memory_use", lambda: use)
    assert reference._read_free_memory() == free


def test_a_folder_without_a_model_is_no_reason_to_end(tmp_path: Path) -> None:
    assert "config.json" in (explain_absence(tmp_path, ()) or "")
