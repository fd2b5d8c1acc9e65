"""The transformers engine with the demo's model on this machine's CPU: one server and one probe for the file."""

from __future__ import annotations

import json
import math
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
import urllib3
from dev import model, serving_env
from tests.support import vllm_options
from tests.support.plain_replica import read_stats, run_plain
from tests.support.ray_runtime import until
from tests.support.stats_contract import check

from llmdeployment_serving.errors import ENGINE_STOPPED
from llmdeployment_serving.self_test import TOLERANCE
from llmdeployment_serving.transformers_request import CANNOT, TEMPLATE_CANNOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.vllm_options import Option

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]
SOURCES = Path("serving/src").absolute()
PROBE = Path("tests/support/transformers_probe.py")
FRANCE = "What is the capital of France?"
LONG = "Name a colour. " * 30
"""More tokens than one step takes."""
PROMPTS = [FRANCE, "Write one sentence about the sea.", LONG]
TOKENS = 24
STEP_TOKENS = 64
ENVIRONMENT = {"PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "2"}


@pytest.fixture(scope="module")
def files() -> Path:
    found = model.find_ready()
    if found is None or not locate_python().exists():
        pytest.skip(reason="no model or no vLLM in the cache: `python3 -m dev.model` makes both")
    return found


def locate_python() -> Path:
    return serving_env.locate() / "bin/python"


@pytest.fixture(scope="module")
def probe(files: Path) -> dict[str, Any]:
    command = [str(locate_python()), str(PROBE), str(files), json.dumps(PROMPTS), str(TOKENS)]
    environment = {**os.environ, **ENVIRONMENT, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def url(files: Path) -> Iterator[str]:
    flags = {"max-model-len": 1024, "max-num-batched-tokens": STEP_TOKENS}
    config = {
        "servedName": "chat",
        "modelPath": str(files),
        "engine": {"name": "transformers", "args": flags},
    }
    revisions = {
        "1": {"prompt": {"system": "Reply in one word.", "defaults": {"max_tokens": 3}}},
        "2": {"prompt": {"defaults": {"temperature": 0}}},
    }
    with run_plain(str(locate_python()), config, {"revisions": revisions}, ENVIRONMENT) as found:
        yield found


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, prompt: str = FRANCE, **fields: Any) -> Any:
    messages: Any = [{"role": "user", "content": prompt}]
    return client.chat.completions.create(model="chat", messages=messages, **fields)


def test_greedy_answers_are_those_of_the_model_alone(
    client: openai.OpenAI, probe: dict[str, Any]
) -> None:
    answers = [ask(client, prompt, max_tokens=TOKENS) for prompt in PROMPTS]
    found = [
        {
            "text": answer.choices[0].message.content,
            "prompt": answer.usage.prompt_tokens,
            "tokens": answer.usage.completion_tokens,
        }
        for answer in answers
    ]

    assert found == probe["generate"]
    assert "Paris" in found[0]["text"]
    assert found[2]["prompt"] > STEP_TOKENS
    # The first ends by itself, and its end is a token.
    assert [answer.choices[0].finish_reason for answer in answers] == ["stop", *["length"] * 2]


def test_eight_at_once_are_answered_alike_and_streamed(
    client: openai.OpenAI, probe: dict[str, Any]
) -> None:
    def stream(_: int) -> tuple[str, Any, str | None]:
        options: Any = {"include_usage": True}
        chunks = list(ask(client, max_tokens=TOKENS, stream=True, stream_options=options))
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
        assert chunks[0].choices[0].delta.role == "assistant"
        assert not any(reasons[:-1])
        return text, chunks[-1].usage, reasons[-1]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(stream, range(8)))

    expected = probe["generate"][0]
    assert {text for text, _, _ in answers} == {expected["text"]}
    assert {usage.completion_tokens for _, usage, _ in answers} == {expected["tokens"]}
    assert {usage.total_tokens for _, usage, _ in answers} == {
        expected["tokens"] + expected["prompt"]
    }
    assert {reason for _, _, reason in answers} == {"stop"}


def test_an_answer_ends_before_a_stop_string_and_at_a_stop_token(client: openai.OpenAI) -> None:
    stopped = ask(client, stop=["is Par"], max_tokens=TOKENS)
    assert stopped.choices[0].message.content == "The capital of France "
    assert stopped.choices[0].finish_reason == "stop"
    prompt = "The capital of France is"
    whole = client.completions.create(model="chat", prompt=prompt, max_tokens=4)
    assert whole.choices[0].text.startswith(" Paris")
    period = client.completions.create(
        model="chat", prompt=prompt, max_tokens=4, extra_body={"stop_token_ids": [30]}
    )
    assert (period.choices[0].text, period.choices[0].finish_reason) == (" Paris", "stop")


def test_a_seed_repeats_an_answer(client: openai.OpenAI) -> None:
    def draw(seed: int) -> str:
        answer = ask(client, seed=seed, temperature=1.5, max_tokens=12, extra_body={"top_k": 50})
        return str(answer.choices[0].message.content)

    # The first one finds no prefix in the cache, so its logits are rounded differently.
    draw(1)
    one, again, *others = map(draw, (1, 1, 2, 3))

    assert one == again
    assert len({one, *others}) > 1


def test_a_revision_has_its_own_prompt(client: openai.OpenAI) -> None:
    answer = ask(client, extra_headers={"x-llm-revision": "1"})
    assert answer.usage.completion_tokens <= 3
    assert answer.usage.prompt_tokens < ask(client, max_tokens=1).usage.prompt_tokens


def test_a_client_that_leaves_takes_its_request_along(client: openai.OpenAI, url: str) -> None:
    stream = ask(client, "Tell a long story.", stream=True, extra_body={"ignore_eos": True})
    next(stream)
    next(stream)
    assert read_stats(url)["running"] == 1
    stream.close()
    until(lambda: read_stats(url)["running"] == 0, seconds=30, what="an empty batch")

    with pytest.raises(openai.APITimeoutError):
        ask(client, "Tell a long story.", extra_body={"ignore_eos": True}, timeout=0.5)
    until(lambda: read_stats(url)["running"] == 0, seconds=30, what="an empty batch")


@pytest.mark.parametrize(
    ("path", "start", "options"),
    [
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": FRANCE}]},
            vllm_options.CHAT,
        ),
        ("/v1/completions", {"prompt": "Paris is"}, vllm_options.COMPLETIONS),
    ],
    ids=["chat", "completions"],
)
def test_every_option_of_vllm_is_done_or_refused_and_never_a_fault(
    url: str, path: str, start: dict[str, Any], options: tuple[Option, ...]
) -> None:
    web = urllib3.PoolManager(maxsize=4, timeout=120, retries=False)

    def try_option(option: Option) -> tuple[Option, int, str] | None:
        body = vllm_options.build_body({"model": "chat", **start}, option)
        answer = web.request("POST", f"{url}{path}", json=body)
        text = answer.data.decode()
        answered = answer.status == 200 and '"error"' not in text
        asks_in_vain = any(
            name in CANNOT and json.dumps(value) not in CANNOT[name] for name, value in body.items()
        )
        refused = answer.status in {400, 404} and '"message"' in text
        is_right = refused and "cannot do" in text if asks_in_vain else refused or answered
        return None if is_right else (option, answer.status, text[:200])

    # Several at once, since some may harm those that are in the same batch.
    with ThreadPoolExecutor(4) as pool:
        bad = [found for found in pool.map(try_option, options) if found is not None]

    assert bad == []


def test_models_and_statistics_are_those_of_every_engine(client: openai.OpenAI, url: str) -> None:
    (card,) = client.models.list().data
    assert (card.id, card.model_dump()["max_model_len"]) == ("chat", 1024)
    stats = read_stats(url)
    check("replica", stats)
    assert stats["engine"] == "transformers"
    assert stats["waiting"] == 0
    assert 0 <= stats["kvCacheUsage"] < 0.5
    assert stats["generationTokens"] > 0
    assert stats["histograms"]["ttft"]["count"] > 0


def test_right_logits_are_those_of_transformers_in_float32(url: str) -> None:
    found = read_stats(url)["selfTest"]
    assert found["referenceFrom"] == "Transformers"
    assert abs(found["score"] - found["reference"]) < TOLERANCE / 5


def test_draws_have_the_probabilities_of_the_logits(probe: dict[str, Any]) -> None:
    found = probe["sampler"]
    chances = [0.5, 0.3, 0.15, 0.05]
    hot = [math.sqrt(chance) for chance in chances]

    # 20,000 draws are off by at most 4 standard deviations of 0.0035.
    assert found["plain"] == pytest.approx(chances, abs=0.015)
    assert found["hot"] == pytest.approx([root / sum(hot) for root in hot], abs=0.015)
    assert found["topK"] == pytest.approx([0.625, 0.375, 0, 0], abs=0.015)
    assert found["topP"] == pytest.approx([0.625, 0.375, 0, 0], abs=0.015)
    assert found["minP"] == pytest.approx([0.5263, 0.3158, 0.1579, 0], abs=0.015)
    assert found["mixed"] == [0, 0, 0]


def test_noise_of_a_seed_depends_on_seed_and_position_alone(probe: dict[str, Any]) -> None:
    found = probe["sampler"]
    assert found["seedsAlone"] == found["seedsTogether"]
    # 80 of 1,000 tokens that are equally likely: some are met twice, most are not.
    assert len(set(found["seedsAlone"])) > 60


def test_a_greedy_row_beside_a_drawn_one_stays_as_it_is(probe: dict[str, Any]) -> None:
    assert probe["sampler"]["greedyRowsStay"]
    assert probe["sampler"]["drawnRow"] == 3


def test_no_parameter_around_a_chat_template_is_a_clients(probe: dict[str, Any]) -> None:
    assert set(probe["templateParameters"]) == set(TEMPLATE_CANNOT)


def test_outputs_of_a_request_that_was_left_are_kept_nowhere(probe: dict[str, Any]) -> None:
    assert probe["unread"] == 0


def test_an_engine_that_dies_says_so_to_all(probe: dict[str, Any]) -> None:
    assert probe["death"] == {
        "answers": [ENGINE_STOPPED, ENGINE_STOPPED],
        "failure": "transformers stopped: no memory is left",
        # The next engine gets the memory of this one.
        "released": True,
        "idle": True,
    }


def test_what_cannot_start_says_why_in_one_line(probe: dict[str, Any]) -> None:
    assert probe["tooSmall"].startswith("max-model-len is 512, but the KV cache holds ")
    assert probe["tooSmall"].endswith("give the pod more memory, or set max-model-len lower")
    assert probe["tooLong"] == "max-model-len is 100000, but the model has 8192 positions"
    assert probe["noModel"].startswith("transformers cannot serve this model: ")
