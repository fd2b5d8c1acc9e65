"""What the official clients of OpenAI and Anthropic can do with each engine, and that streams of vLLM pass the replica unchanged.

vLLM runs here with a model whose answers are known, in one process: the model knows tools, so its parser is chosen at the start.
"""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
import urllib3
from dev import model, serving_env
from tests.support.conformance import (
    CASES,
    CHATS,
    FLAT_TOOL,
    HELLO,
    JSON_SCHEMA,
    MESSAGE_TOOL,
    MESSAGES,
    NAMED_SCHEMA,
    RESPONSES,
    SAYS_CALL,
    SCHEMA,
    TOOL,
    Case,
    Clients,
    find_support,
)
from tests.support.ports import free_port
from tests.support.scripted_model import write_model
from tests.support.simulated_server import run_simulated
from tests.support.until import until

from llmdeployment_serving.parsers import (
    OPENING_RULES,
    REASONING_RULES,
    TOOL_RULES,
    UNTEMPLATED,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]
NAMED = [f"{case.path} {case.call}" for case in CASES]
LIMITS: Any = {"model": "chat", "temperature": 0, "stream": True}
STREAMS: list[tuple[str, dict[str, Any]]] = [
    (CHATS, {"messages": HELLO, "max_tokens": 200, "tools": [TOOL], **SAYS_CALL}),
    (CHATS, {"messages": HELLO, "max_tokens": 200, "tools": [TOOL], "tool_choice": "required"}),
    (CHATS, {"messages": HELLO, "max_tokens": 200, "response_format": JSON_SCHEMA}),
    (
        CHATS,
        {
            "messages": HELLO,
            "max_tokens": 200,
            "tools": [TOOL],
            "tool_choice": {"type": "function", "function": {"name": "find_city"}},
        },
    ),
    (
        RESPONSES,
        {
            "input": "Hello",
            "max_output_tokens": 200,
            "tools": [FLAT_TOOL],
            "tool_choice": "required",
        },
    ),
    (
        RESPONSES,
        {"input": "Hello", "max_output_tokens": 200, "text": {"format": NAMED_SCHEMA}},
    ),
    (
        MESSAGES,
        {
            "messages": HELLO,
            "max_tokens": 200,
            "tools": [MESSAGE_TOOL],
            "tool_choice": {"type": "any"},
        },
    ),
    (
        MESSAGES,
        {
            "messages": HELLO,
            "max_tokens": 200,
            "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        },
    ),
]


@pytest.fixture(scope="module")
def environment() -> Path:
    found = serving_env.refresh()
    if found is None or model.find_ready() is None:
        pytest.skip(reason="no model or no vLLM in the cache: `python3 -m dev.model` makes both")
    return found


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Path:
    """The folder of a model whose answers are known."""
    assert environment
    files = model.find_ready()
    assert files is not None
    return write_model(tmp_path_factory.mktemp("model") / "scripted", files)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "vllm.log"


@pytest.fixture(scope="module")
def server(environment: Path, scripted: Path, log: Path) -> Iterator[str]:
    """The base URL of vLLM behind the replica's front; under `/plain` is vLLM itself."""
    with run_engine(environment, "vllm", scripted, log) as url:
        yield url


@contextmanager
def run_engine(environment: Path, engine: str, folder: Path, log: Path) -> Iterator[str]:
    """Run an engine in a process of its own, and yield its base URL once it answers."""
    port = free_port()
    program = (str(environment / "bin/python"), "tests/support/tool_server.py", engine)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*program, str(folder), str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            return urllib3.request("GET", f"{url}/health", retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    try:
        until(answers, 400, f"{engine} answers")
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def connect(url: str) -> Iterator[Clients]:
    given: Any = {"api_key": "none", "max_retries": 0}
    with (
        openai.OpenAI(base_url=f"{url}/v1", **given) as chats,
        anthropic.Anthropic(base_url=url, **given) as messages,
    ):
        yield Clients(chats, messages)


@pytest.fixture(scope="module")
def vllm(server: str) -> Iterator[Clients]:
    with connect(server) as clients:
        yield clients


@pytest.fixture(scope="module")
def transformers(environment: Path, scripted: Path, log: Path) -> Iterator[Clients]:
    other = log.with_name("transformers.log")
    with run_engine(environment, "transformers", scripted, other) as url, connect(url) as clients:
        yield clients


@pytest.fixture(scope="module")
def simulated() -> Iterator[Clients]:
    with run_simulated({"revisions": {"1": {}}}) as url, connect(url) as clients:
        yield clients


@pytest.mark.parametrize("case", CASES, ids=NAMED)
def test_the_table_holds_for_vllm(vllm: Clients, case: Case) -> None:
    assert find_support(case, vllm) == case.vllm


@pytest.mark.parametrize("case", CASES, ids=NAMED)
def test_the_table_holds_for_transformers(transformers: Clients, case: Case) -> None:
    assert find_support(case, transformers) == case.transformers


@pytest.mark.parametrize("case", CASES, ids=NAMED)
def test_the_table_holds_for_the_simulated_engine(simulated: Clients, case: Case) -> None:
    assert find_support(case, simulated) == case.simulated


@pytest.mark.parametrize(("path", "body"), STREAMS)
def test_a_stream_is_vllms_own_byte_by_byte(server: str, path: str, body: dict[str, Any]) -> None:
    asked = {**LIMITS, **body}
    front = urllib3.request("POST", f"{server}{path}", json=asked).data
    kept = urllib3.request("GET", f"{server}/kept").data
    plain = urllib3.request("POST", f"{server}/plain{path}", json=asked).data
    assert front == kept
    texts = join_events(front)
    assert any(
        city in text for text in texts.values() for city in SCHEMA["properties"]["city"]["enum"]
    )
    # Plain vLLM's answer to another request has other ids, and its events may hold several tokens.
    assert texts == join_events(plain)


def join_events(stream: bytes) -> dict[str, str]:
    """Return the texts of a stream's events, put together by the event's kind and the text's field."""
    found: dict[str, str] = {}
    for line in stream.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        event = json.loads(line.removeprefix("data: "))
        for field, text in walk(event):
            key = f"{event.get('type', '')} {field}"
            found[key] = found.get(key, "") + text
    assert found
    return found


def walk(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the texts that the model has a part in, with the names of their fields."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from walk(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from walk(part, name)
    elif isinstance(value, str) and name in (
        "content",
        "text",
        "delta",
        "arguments",
        "partial_json",
    ):
        yield name, value


@pytest.mark.usefixtures("server")
def test_the_log_says_which_parsers_were_chosen_and_which_cannot_be_used(log: Path) -> None:
    (line,) = (each for each in log.read_text().splitlines() if "tool-call parser: " in each)
    assert "tool-call parser: hermes, because the chat template of this llama prints" in line
    assert "reasoning parser: none, because vLLM cannot use deepseek_r1: " in line


@pytest.mark.parametrize(
    ("module", "table", "names"),
    [
        (
            "tool_parsers",
            "_TOOL_PARSERS_TO_REGISTER",
            {rule.parser for rule in TOOL_RULES} | {tool for tool, _ in UNTEMPLATED.values()},
        ),
        (
            "reasoning",
            "_REASONING_PARSERS_TO_REGISTER",
            {rule.parser for rule in (*REASONING_RULES, *OPENING_RULES)}
            | {name for _, name in UNTEMPLATED.values() if name},
        ),
    ],
)
def test_this_vllm_has_every_parser_of_the_table(
    environment: Path, module: str, table: str, names: set[str]
) -> None:
    (file,) = environment.glob(f"lib/python*/site-packages/vllm/{module}/__init__.py")
    (value,) = (
        node.value
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == table
    )
    assert names <= set(ast.literal_eval(value))
