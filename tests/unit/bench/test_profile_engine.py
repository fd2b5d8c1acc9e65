"""The profiler against the simulated engine, whose true rates are known, on a virtual clock; its HTTP is in tests/component/serving."""

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from bench.profile_engine import Plan, measure
from bench.profile_fit import Batch, decode_of, prefill_of
from bench.profile_probe import Answer, Endpoint, ProbeError
from tests.support.virtual_time import VirtualLoop, post_lines

from llmdeployment_operator.simulation.profile import parse_profile
from llmdeployment_serving import engine_simulated
from llmdeployment_serving.config import ServingConfig, parse

PLAN = Plan(concurrency=(1, 2, 4, 8, 12), rounds=2, requests=150)


def profiled(
    monkeypatch: pytest.MonkeyPatch,
    plan: Plan = PLAN,
    limits: dict[str, Any] | None = None,
    **args: Any,
) -> dict[str, Any]:
    """Profiles a simulated engine with these flags."""
    loop = VirtualLoop()
    clock = SimpleNamespace(monotonic=loop.time, time=loop.time)
    monkeypatch.setattr(engine_simulated, "time", clock)
    flags = {name.replace("_", "-"): value for name, value in args.items()}
    config = {"servedName": "chat", "engine": {"name": "simulated", "args": flags}}

    async def run() -> dict[str, Any]:
        engine = await engine_simulated.start_simulated(parse(ServingConfig, config))
        app = await engine.build_app()

        def post(body: dict[str, Any]) -> AsyncIterator[bytes]:
            lines: AsyncIterator[bytes] = post_lines(
                app, "/v1/chat/completions", json.dumps(body).encode()
            )
            return lines

        try:
            return await measure(Endpoint(post, loop.time, "chat"), plan, limits or {})
        finally:
            engine.shutdown()

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


@pytest.mark.parametrize(
    "rates",
    [
        {"prefill_tokens_per_second": 9_000, "decode_tokens_per_second": 80},
        {
            "prefill_tokens_per_second": 700,
            "decode_tokens_per_second": 33,
            "batch_tokens_per_second": 420,
        },
    ],
)
def test_a_known_engine_is_found_again(
    monkeypatch: pytest.MonkeyPatch, rates: dict[str, float]
) -> None:
    found = profiled(monkeypatch, **rates)
    true = {"batch_tokens_per_second": 2_000, **rates}

    for name, value in true.items():
        assert found["profile"][name] == pytest.approx(value, rel=0.02), name
    assert found["overhead_ms"] < 0.1
    assert found["heldout"]["requests"] > 100
    for metric in ("ttft", "itl", "e2e"):
        for percentile in ("p50", "p90", "p99"):
            assert abs(found["heldout"][metric][percentile]["error"]) < 0.03, (metric, percentile)
    assert parse_profile(found, "profile.json").max_num_seqs == 64


def test_the_engines_jitter_is_told_from_its_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    found = profiled(monkeypatch, jitter_percent=20)

    assert found["profile"]["decode_tokens_per_second"] == pytest.approx(100, rel=0.1)
    assert found["profile"]["batch_tokens_per_second"] == pytest.approx(2_000, rel=0.25)
    assert abs(found["heldout"]["e2e"]["p50"]["error"]) < 0.1


def test_how_many_sequences_fit_is_seen_where_more_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = profiled(monkeypatch, max_num_seqs=6)

    assert found["profile"]["max_num_seqs"] == 6
    assert list(found["gaps_ms"]) == ["1", "2", "4"]


def test_what_is_given_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"max_num_seqs": 12, "kv_cache_tokens": 50_000, "warm_up_seconds": 90.0}
    found = profiled(monkeypatch, Plan(concurrency=(1, 4), rounds=1, requests=20), limits)

    assert found["profile"] | limits == found["profile"]


def test_an_error_in_the_profile_is_seen_on_the_unseen_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine refuses nothing, but a KV cache that is given too small makes the simulator wrong, and the error says so."""
    found = profiled(monkeypatch, limits={"kv_cache_tokens": 1_500})

    assert found["heldout"]["ttft"]["p90"]["error"] > 0.5


def answer(ttft: float, prompt: int) -> Answer:
    return Answer(0.0, (ttft,), prompt, 1)


def test_a_prefill_too_fast_to_measure_is_a_large_number() -> None:
    assert prefill_of([[answer(0.02, 100)], [answer(0.01, 200)]])[0] == 1e9


def test_one_slow_answer_does_not_change_the_rates() -> None:
    rows = [[answer(p / 100, p) for _ in range(5)] for p in (10, 20, 40)]
    rows[1][3] = answer(9.0, 20)

    assert prefill_of(rows) == (pytest.approx(100), pytest.approx(0, abs=1e-9))


def test_rates_stay_possible_where_the_measurement_is_noisy() -> None:
    decode, batch = decode_of([Batch(1, 0.001), Batch(2, 0.009), Batch(4, 0.02)])
    assert decode == batch
    decode, batch = decode_of([Batch(1, 0.02), Batch(2, 0.019)])
    assert (decode, batch) == (pytest.approx(1 / 0.0195), pytest.approx(1e9))
    assert decode_of([Batch(1, 0.02)]) == (50, 50)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([b"data: <html>"], "which is no JSON"),
        ([b'data: {"error": "no"}'], "which has no choices"),
        ([b'data: {"choices": []}', b"data: [DONE]"], "gave 0 events with text and the usage {}"),
        ([b'data: {"choices": [{"delta": {"content": "a"}}]}'], "gave 1 events with text and the"),
    ],
)
async def test_what_is_no_openai_api_is_said(lines: list[bytes], sentence: str) -> None:
    async def post(_: dict[str, Any]) -> AsyncIterator[bytes]:
        for line in lines:
            yield line

    with pytest.raises(ProbeError, match=sentence):
        await measure(Endpoint(post, lambda: 0.0, "chat"), PLAN, {})
