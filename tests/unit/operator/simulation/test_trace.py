import gzip
import itertools
import json
import re
import statistics
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_operator.simulation import generators
from llmdeployment_operator.simulation.errors import InputError
from llmdeployment_operator.simulation.generators import fixed_tokens, lognormal_tokens
from llmdeployment_operator.simulation.recipes import is_recipe, make_trace
from llmdeployment_operator.simulation.trace import Request, faster, parse_trace, read_trace

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens\r
2023-11-16 18:15:46.6805900,374,44\r
2023-11-16 18:15:50.9951690,396,109"""

AZURE_2024 = """TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 00:00:00.017335+00:00,2399,6"""

MOONCAKE = """{"timestamp": 27000, "input_length": 6955, "output_length": 52, "hash_ids": [1, 2]}

{"timestamp": 30500, "input_length": 6472, "output_length": 26, "hash_ids": []}"""

PLAIN = """output_tokens,seconds,prompt_tokens,user
5,10,100,a
6,12.5,200,b"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (AZURE, [(0.0, 374, 44), (4.314579, 396, 109)]),
        (AZURE_2024, [(0.0, 2162, 5), (0.007405, 2399, 6)]),
        (MOONCAKE, [(0.0, 6955, 52), (3.5, 6472, 26)]),
        (PLAIN, [(0.0, 100, 5), (2.5, 200, 6)]),
    ],
    ids=["azure 2023", "azure 2024", "mooncake", "plain"],
)
def test_formats(text: str, expected: list[tuple[float, int, int]]) -> None:
    requests = list(parse_trace(text.splitlines(keepends=True), "trace"))

    assert [tuple(request) for request in requests] == [
        (pytest.approx(at, abs=1e-5), prompt, output) for at, prompt, output in expected
    ]


def plain(*rows: str) -> str:
    return "\n".join(("seconds,prompt_tokens,output_tokens", *rows))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (plain("1,2,3", "2,,3"), "t.csv line 3: prompt_tokens is missing"),
        (plain("1,2,3", "2,5"), "t.csv line 3: output_tokens is missing"),
        (plain("-1,2,3"), "t.csv line 2: seconds is -1, before the trace begins"),
        (plain("9,2,3", "", "7,2,3"), "t.csv line 4: seconds goes back by 2.000 s; sort the trace"),
        (plain("nan,2,3"), "t.csv line 2: seconds is 'nan', which is no time"),
        (plain("1,2.5,3"), "t.csv line 2: prompt_tokens is '2.5', not a whole number"),
        (plain("1,2,0"), "t.csv line 2: output_tokens is 0; a request has at least 1"),
        (plain(), "t.csv holds no requests"),
        ("", "t.csv is no trace that is known"),
        ("a,b\n1,2", "t.csv is no trace that is known"),
        ('{"timestamp": 1, "input_length": 2}', "t.csv line 1: output_length is missing"),
        (MOONCAKE + "\n[1]", "t.csv line 4 is no JSON object"),
        (
            AZURE.replace("2023-11-16 18:15:50", "yesterday"),
            "t.csv line 3: TIMESTAMP is 'yesterday",
        ),
    ],
)
def test_what_is_no_trace_is_said_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        list(parse_trace(text.splitlines(keepends=True), "t.csv"))

    assert str(caught.value).startswith(sentence)


def test_a_file_is_read_as_a_stream_that_says_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(plain(*(f"{second},10,5" for second in range(20_000))))
    heard: list[int] = []
    requests = read_trace(path, heard.append)

    assert next(requests) == Request(0.0, 10, 5)
    assert sum(heard) < path.stat().st_size / 10
    assert sum(1 for _ in requests) == 19_999
    assert heard == sorted(heard)
    assert heard[-1] == path.stat().st_size


def test_a_packed_file(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress(AZURE.encode()))

    assert len(list(read_trace(path))) == 2


@pytest.mark.parametrize(
    "content",
    [None, b"\xff\xfe\x00", gzip.compress(AZURE.encode())[:30]],
    ids=["none", "binary", "cut"],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / ("trace.csv" if content is None or content[0] == 0xFF else "trace.csv.gz")
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InputError, match="cannot be read"):
        list(read_trace(path))


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_is_above_0(speed: float) -> None:
    with pytest.raises(InputError, match="is not above 0"):
        faster([], speed)


TOKENS = lognormal_tokens(500, 200)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda seed: generators.poisson(5, 2_000, TOKENS, seed=seed), 10_000),
        (lambda seed: generators.bursts(5, 2_000, TOKENS, seed=seed), 10_000),
        (lambda seed: generators.ramp(0, 10, 2_000, TOKENS, seed=seed), 10_000),
        (lambda seed: generators.diurnal(0, 10, 2_000, TOKENS, seed=seed, day=2_000), 10_000),
        (lambda seed: generators.steps([(500, 2), (100, 0), (400, 10)], TOKENS, seed=seed), 5_000),
    ],
    ids=["poisson", "bursts", "ramp", "diurnal", "steps"],
)
def test_generators(make: Callable[[int], Iterator[Request]], expected: int) -> None:
    requests = list(make(1))

    assert requests == list(make(1))
    assert requests != list(make(2))
    assert all(a.at <= b.at for a, b in itertools.pairwise(requests))
    # Five standard deviations of a count with bursts of variance 5.
    assert abs(len(requests) - expected) < 5 * (5 * expected) ** 0.5
    assert statistics.mean(r.prompt_tokens for r in requests) == pytest.approx(500, rel=0.1)
    assert statistics.mean(r.output_tokens for r in requests) == pytest.approx(200, rel=0.1)


def test_rates_change_when_they_are_to() -> None:
    requests = list(generators.steps([(500, 2), (100, 0), (400, 10)], fixed_tokens(7, 3), seed=1))

    # The gap that begins before the pause may end up to one grain later.
    assert not [r for r in requests if 500.1 < r.at < 599.9]
    assert sum(r.at < 500 for r in requests) == pytest.approx(1_000, abs=160)
    assert {(r.prompt_tokens, r.output_tokens) for r in requests} == {(7, 3)}


def test_bursts_are_burstier_than_poisson() -> None:
    def variance(requests: Iterator[Request]) -> float:
        gaps = [b.at - a.at for a, b in itertools.pairwise(requests)]
        return statistics.variance(gaps) / statistics.mean(gaps) ** 2

    tokens = fixed_tokens(1, 1)
    assert variance(generators.poisson(5, 4_000, tokens, seed=1)) == pytest.approx(1, rel=0.15)
    assert variance(generators.bursts(5, 4_000, tokens, seed=1)) == pytest.approx(5, rel=0.15)


@given(st.floats(0.1, 50), st.lists(st.floats(0, 100), min_size=1))
def test_a_faster_trace_is_the_same_trace(speed: float, times: list[float]) -> None:
    trace = [Request(at, 5, 5) for at in sorted(times)]

    assert [r.at * speed for r in faster(trace, speed)] == pytest.approx([r.at for r in trace])


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("poisson:rate=5,seconds=400", 2_000),
        ("bursts: rate=5, seconds=400, shape=0.5", 2_000),
        ("ramp:low=0,high=10,seconds=400", 2_000),
        ("steps:low=2,high=6,seconds=600", 2_000),
        ("diurnal:low=0,high=10,seconds=400,day=400,seed=2", 2_000),
    ],
)
def test_traffic_is_made_by_a_line(recipe: str, expected: int) -> None:
    requests = list(make_trace(recipe))

    assert is_recipe(recipe)
    assert requests == list(make_trace(recipe))
    assert abs(len(requests) - expected) < 5 * (2 * expected) ** 0.5


def test_a_line_says_how_long_requests_are() -> None:
    requests = list(make_trace("poisson:rate=50,seconds=100,prompt=1000,output=20"))

    assert statistics.mean(r.prompt_tokens for r in requests) == pytest.approx(1_000, rel=0.1)
    assert statistics.mean(r.output_tokens for r in requests) == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ("poisson:rate=5", "poisson:rate=5: seconds is missing; poisson needs rate and seconds"),
        ("poisson:rate=5,seconds=9,low=1", "poisson has no low; it has rate, seconds, prompt"),
        ("ramp:low=-1,high=2,seconds=9", "low is -1, which is not above 0"),
        ("poisson:rate=0,seconds=9", "rate is 0, which is not above 0"),
        ("poisson:rate=inf,seconds=9", "rate is inf, which is not above 0"),
        ("poisson:fast", "'fast' is not of the form name=number"),
        ("poisson:rate=", "'rate=' is not of the form name=number"),
    ],
)
def test_a_line_that_makes_nothing_is_said_in_a_sentence(recipe: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        make_trace(recipe)

    assert sentence in str(caught.value)


def line(seconds: float, **more: Any) -> str:
    """Return a line of the request log that came so many seconds after ten."""
    at = datetime(2026, 11, 30, 10, tzinfo=UTC) + timedelta(seconds=seconds)
    tokens = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20}
    return json.dumps({"time": at.isoformat(), "event": "answer", **tokens, **more}) + "\n"


def test_the_request_log_is_a_trace(tmp_path: Path) -> None:
    rows = [
        line(5),
        line(2, **{"gen_ai.usage.input_tokens": 7}),
        "\n",
        line(6, event="feedback"),
        line(7, **{"gen_ai.usage.output_tokens": None}),
        line(8, **{"gen_ai.usage.output_tokens": 0}),
        line(3599),
        line(9, **{"gen_ai.usage.output_tokens": True}),
    ]
    expected = [Request(0.0, 7, 20), Request(3.0, 100, 20), Request(3597.0, 100, 20)]
    for name in ("log.jsonl", "log.jsonl.gz"):
        path = tmp_path / name
        text = "".join(rows).encode()
        path.write_bytes(gzip.compress(text) if name.endswith("gz") else text)
        assert list(read_trace(path)) == expected


@given(st.lists(st.floats(0, 3000), min_size=1, max_size=50))
def test_lines_that_are_written_late_are_put_in_order(seconds: list[float]) -> None:
    found = [request.at for request in parse_trace([line(each) for each in seconds], "log")]
    assert found == sorted(found)
    assert found[0] == 0
    assert len(found) == len(seconds)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([line(0), "no json"], "log line 2 is no JSON object"),
        ([line(0), "[]"], "log line 2 is no JSON object"),
        ([line(0, time="noon")], "log line 1: time is 'noon', which is no time with its zone"),
        ([line(0, time="2026-11-30T10:00:00")], "which is no time with its zone"),
        ([line(0, event="feedback")], "log holds no answer with its tokens"),
        ([line(0), line(9000), line(13_000), line(10)], "log: time goes back by 8990 s; sort the lines"),
    ],
)  # fmt: skip
def test_a_request_log_that_is_none_is_refused(rows: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        list(parse_trace(rows, "log"))
