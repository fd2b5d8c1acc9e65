import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_serving.errors import ConfigError
from llmdeployment_serving.queueing import Batch, Rates, Sequence, parse_rates


def run(batch: Batch) -> float:
    """Steps until nothing is left; returns the seconds it took."""
    seconds = 0.0
    while batch.running or batch.waiting:
        step = batch.begin()
        seconds += step.seconds
        batch.end(step)
    return seconds


def test_the_worked_example_of_the_module() -> None:
    rates = Rates()

    assert rates.step_seconds(1, 0) == pytest.approx(0.010)
    assert rates.step_seconds(20, 0) == pytest.approx(0.0195)
    assert 20 / rates.step_seconds(20, 0) == pytest.approx(1026, abs=1)


def test_one_sequence_takes_its_prefill_and_a_step_per_token() -> None:
    batch = Batch(Rates(prefill_tokens_per_second=1_000, decode_tokens_per_second=50))
    batch.add(Sequence(prompt_tokens=500, output_tokens=10))

    assert run(batch) == pytest.approx(0.5 + 10 / 50)


def test_a_sequence_beyond_the_batch_limit_waits() -> None:
    batch = Batch(Rates(max_num_seqs=2))
    for _ in range(3):
        batch.add(Sequence(10, 5))

    assert len(batch.begin().sequences) == 2
    assert len(batch.waiting) == 1


def test_kv_cache_is_reserved_whole_and_the_head_is_not_overtaken() -> None:
    batch = Batch(Rates(kv_cache_tokens=100))
    for prompt in (60, 60, 1):
        batch.add(Sequence(prompt, 10))

    assert len(batch.begin().admitted) == 1
    assert [sequence.prompt_tokens for sequence in batch.waiting] == [60, 1]


def test_a_prompt_longer_than_the_budget_is_admitted_alone() -> None:
    batch = Batch(Rates(max_num_batched_tokens=100))
    batch.add(Sequence(500, 1))
    batch.add(Sequence(50, 1))

    assert [sequence.prompt_tokens for sequence in batch.begin().admitted] == [500]


def test_a_removed_sequence_gets_no_token_of_the_step_under_way() -> None:
    batch = Batch(Rates())
    left, stays = Sequence(1, 5), Sequence(1, 5)
    batch.add(left)
    batch.add(stays)
    step = batch.begin()
    batch.remove(left)

    assert batch.end(step) == (stays,)
    batch.remove(left)  # again, and nothing happens


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 40)), max_size=30),
    st.integers(1, 8),
)
def test_every_sequence_gets_exactly_its_tokens(
    requests: list[tuple[int, int]], slots: int
) -> None:
    batch = Batch(Rates(max_num_seqs=slots, kv_cache_tokens=400))
    sequences = [Sequence(prompt, output) for prompt, output in requests]
    for sequence in sequences:
        batch.add(sequence)
    while batch.running or batch.waiting:
        batch.end(batch.begin())
        assert batch.kv_tokens <= 400

    assert [s.produced for s in sequences] == [s.output_tokens for s in sequences]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            {"max-model-length": 1},
            "the simulated engine has no flag max-model-length: remove it from spec.engine.args",
        ),
        ({"seed": "x"}, "engine flag seed: 'x' is not a number"),
        ({"max-num-seqs": 0}, "the simulated engine needs rates and limits above zero"),
        (
            {"batch-tokens-per-second": 1},
            "batch-tokens-per-second is below decode-tokens-per-second: it must be at least as high",
        ),
    ],
)
def test_a_wrong_flag_is_named(args: dict[str, int | str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_rates(dict(args))

    assert str(caught.value) == message


def test_flags_may_be_text() -> None:
    rates = parse_rates({"decode-tokens-per-second": "50", "max-num-seqs": "4"})

    assert (rates.decode_tokens_per_second, rates.max_num_seqs) == (50.0, 4)
