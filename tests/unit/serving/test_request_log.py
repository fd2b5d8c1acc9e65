"""A replica logs its requests: every answer, refusal and broken stream, and nothing that nobody asked for."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.until import until
from tests.unit.serving.test_answer_watch import END, ask, say
from tests.unit.serving.test_asgi import HELLO, ROLE, Idle, answering, call, front
from typing_extensions import override

from llmdeployment_serving import log_queue, request_log
from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.config import ServingConfig, UserConfig, parse
from llmdeployment_serving.errors import AnswerCutError
from llmdeployment_serving.log_queue import Sink
from llmdeployment_serving.model_tasks import ModelTask, Task

if TYPE_CHECKING:
    from pathlib import Path

    from llmdeployment_serving.engine import ASGIApp, Receive, Scope, Send

USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}}\n\n'
SECRET = "GB82 WEST 1234 5698 7654 32"  # noqa: S105  # because it is the example of an IBAN


class Kept(Sink):
    """Keeps lines, once it may."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.may_write = threading.Event()
        self.may_write.set()

    @override
    def write(self, records: list[dict[str, Any]]) -> None:
        assert self.may_write.wait(30)
        self.lines += records

    @override
    def tend(self) -> None:
        pass

    @override
    def close(self) -> None:
        pass


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    sink = Kept()
    monkeypatch.setattr(request_log, "choose_sink", lambda *_: sink)
    monkeypatch.setattr(log_queue, "BATCH_SECONDS", 0.0)
    return sink


def configure(app: ReplicaApp, log: dict[str, Any] | None, **more: Any) -> None:
    revisions = {"1": {"prompt": {"system": "Secret system text."}}, "2": {}}
    monitoring = {"outputPatterns": [{"name": "brand", "pattern": "Acme"}], **more}
    if log is not None:
        monitoring["requestLog"] = log
    app.take(parse(UserConfig, {"revisions": revisions, "monitoring": monitoring}))


def logging_app(app: ASGIApp, **config: Any) -> ReplicaApp:
    made = front(app)
    configure(made, config)
    return made


def read(app: ReplicaApp, kept: Kept, count: int = 1) -> list[dict[str, Any]]:
    """Return the lines once so many are written."""
    until(lambda: app.stats()["requestLog"]["written"] >= count, 30, "the lines are written")
    assert len(kept.lines) == count
    return kept.lines


HEADERS = {
    "x_request_id": "r-1",
    "x_llm_arm": "blue",
    "x_llm_key_name": "team-a",
    "x_llm_bucket": "17",
    "x_llm_unique_id": "u-1",
    "x_llm_revision": "1",
    "authorization": "Bearer abcdefgh12345678",
    "cookie": "session=abcdefgh12345678",
}


async def test_a_streamed_answer_is_a_line(kept: Kept) -> None:
    app = logging_app(answering(ROLE, say("Buy Ac"), say("me."), USAGE, END))
    await ask(app, **HEADERS)
    (line,) = read(app, kept)
    assert (
        0
        <= line.pop("llmdeployment.time_to_first_chunk_seconds")
        <= line.pop("llmdeployment.duration_seconds")
        < 30
    )
    assert line.pop("time").endswith("Z")
    assert line.pop("k8s.pod.name")
    assert line == {
        "event": "answer",
        "llmdeployment.request_id": "r-1",
        "llmdeployment.answer_id": "u-1",
        "llmdeployment.arm": "blue",
        "llmdeployment.key": "team-a",
        "llmdeployment.bucket": "17",
        "llmdeployment.revision": "1",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "chat",
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.response.finish_reasons": ["stop"],
        "http.response.status_code": 200,
        "llmdeployment.patterns": ["brand"],
    }  # fmt: skip
    assert "abcdefgh12345678" not in json.dumps(kept.lines)


async def test_content_is_logged_without_secrets_and_without_the_revisions_prompt(
    kept: Kept,
) -> None:
    app = logging_app(
        answering(ROLE, say("IBAN "), *map(say, SECRET), say("."), END),
        level="Content",
        redact=[{"name": "case", "pattern": "CASE-[0-9]+"}],
    )
    body = {"messages": [{"role": "user", "content": f"CASE-9, joe@example.com, {SECRET}"}]}
    await ask(app, json.dumps(body).encode(), **HEADERS)
    (line,) = read(app, kept)
    (asked,) = line["gen_ai.input.messages"]
    (answer,) = line["gen_ai.output.messages"]
    assert asked == {
        "role": "user",
        "parts": [{"type": "text", "content": "[case], [email], [iban]"}],
    }
    assert answer["parts"] == [{"type": "text", "content": "IBAN [iban]."}]
    assert "Secret system text" not in json.dumps(line)


@pytest.mark.parametrize(
    ("body", "headers", "status", "error"),
    [
        (b"no json", {}, 400, "400"),
        (b'{"model": "sk-abcdefghijklmnop1234"}', {}, 404, "model_not_found"),
        (HELLO, {"x_llm_revision": "9"}, 503, "503"),
    ],
)
async def test_a_refused_request_is_a_line(
    body: bytes, headers: dict[str, str], status: int, error: str, kept: Kept
) -> None:
    app = logging_app(answering(END), level="Content")
    await ask(app, body, **headers)
    (line,) = read(app, kept)
    assert (line["http.response.status_code"], line["error.type"]) == (status, error)
    assert line["llmdeployment.duration_seconds"] >= 0
    assert "sk-abc" not in json.dumps(line)


async def test_a_client_that_leaves_is_a_line_with_what_it_got(kept: Kept) -> None:
    began = asyncio.Event()

    async def endless(_: Scope, __: Receive, send: Send) -> None:
        await answering(ROLE, say("Once "), say("upon"), ends=False)(_, __, send)
        began.set()
        await asyncio.Event().wait()

    app = logging_app(endless, level="Content")
    task = asyncio.create_task(ask(app))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (line,) = read(app, kept)
    assert (line["http.response.status_code"], line["error.type"]) == (499, "client_left")
    (answer,) = line["gen_ai.output.messages"]
    assert answer["parts"] == [{"type": "text", "content": "Once upon"}]


async def test_an_answer_that_is_cut_is_a_line(kept: Kept) -> None:
    async def cut(_: Scope, __: Receive, send: Send) -> None:
        await answering(ROLE, say("Once"), ends=False)(_, __, send)
        raise AnswerCutError("the API closed the connection")

    app = logging_app(cut)
    with pytest.raises(AnswerCutError):
        await ask(app)
    (line,) = read(app, kept)
    assert (line["http.response.status_code"], line["error.type"]) == (502, "answer_cut")


async def test_a_request_that_an_error_ends_is_one_of_the_replica(kept: Kept) -> None:
    async def broken(_: Scope, __: Receive, ___: Send) -> None:
        raise RuntimeError

    app = logging_app(broken)
    with pytest.raises(RuntimeError):
        await ask(app)
    (line,) = read(app, kept)
    assert (line["http.response.status_code"], line["error.type"]) == (500, "500")


async def test_a_prompt_that_cannot_be_read_costs_no_answer(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise TypeError

    monkeypatch.setattr(request_log, "keep_prompt", fail)
    app = logging_app(answering(ROLE, say("hello"), END), level="Content")
    assert b"hello" in await ask(app)
    (line,) = read(app, kept)
    assert (line["http.response.status_code"], line["gen_ai.input.messages"]) == (200, [])
    assert "could not be read" in caplog.text


async def test_a_stream_that_reports_an_error_says_which(kept: Kept) -> None:
    error = b'data: {"error": {"message": "text of a user", "code": "engine_crash"}}\n\n'
    app = logging_app(answering(ROLE, say("Once"), error))
    await ask(app)
    (line,) = read(app, kept)
    assert (line["http.response.status_code"], line["error.type"]) == (200, "engine_crash")
    assert "text of a user" not in json.dumps(line)


async def test_without_a_log_nothing_is_collected(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    for name in ("RequestLog", "note_request", "LogEntry"):
        monkeypatch.setattr(request_log, name, fail)
    monkeypatch.setattr("llmdeployment_serving.probe.Outcome", fail)
    threads = threading.active_count()
    app = front(answering(ROLE, say("hello"), END))
    configure(app, None)
    assert b"hello" in await ask(app)
    assert "requestLog" not in app.stats()
    assert threading.active_count() == threads
    assert kept.lines == []


async def test_a_log_that_comes_changes_and_goes_needs_no_other_replica(kept: Kept) -> None:
    app = front(answering(ROLE, say("hello"), END))
    configure(app, {"level": "Metadata"})
    await ask(app)
    read(app, kept)
    configure(app, {"level": "Content"})
    await ask(app)
    assert "gen_ai.output.messages" in read(app, kept, 2)[1]
    configure(app, {"level": "Content"}, outputPatterns=[])
    await ask(app)
    assert app.stats()["requestLog"]["dropped"] == {}
    read(app, kept, 3)
    configure(app, None)
    await ask(app)
    assert "requestLog" not in app.stats()
    assert len(kept.lines) == 3


async def test_a_sink_that_hangs_delays_no_answer(kept: Kept) -> None:
    """Each answer ends while the sink hangs: this test would never end if one waited."""
    kept.may_write.clear()
    app = logging_app(answering(ROLE, say("hello"), END))
    for _ in range(20):
        assert b"hello" in await ask(app)
    assert app.stats()["requestLog"]["written"] == 0
    kept.may_write.set()
    read(app, kept, 20)


async def test_a_claim_that_is_missing_costs_lines_and_no_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(log_queue, "BATCH_SECONDS", 0.0)
    monkeypatch.setattr(request_log, "MOUNT", tmp_path / "none")
    app = logging_app(answering(ROLE, say("hello"), END), sink="PVC")
    assert b"hello" in await ask(app)
    until(lambda: app.stats()["requestLog"].get("failing"), 30, "the line is dropped")
    assert app.stats()["requestLog"] == {"written": 0, "dropped": {"missing": 1}, "failing": "missing"}  # fmt: skip
    page = app.render_metrics().decode()
    assert (
        'llmdeployment_request_log_dropped_total{engine="simulated",model="chat",name="",namespace="",reason="missing"} 1.0'
        in page
    )
    assert 'reason="full"} 0.0' in page
    assert "llmdeployment_request_log_lines_total{" in page


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/embeddings", "embeddings"),
        ("/v1/rerank", "rerank"),
        ("/v2/rerank", "rerank"),
        ("/v1/score", "score"),
        ("/classify", "classify"),
        ("/pooling", "pooling"),
    ],
)
async def test_what_a_model_of_another_task_answers_is_a_line(
    kept: Kept, path: str, operation: str
) -> None:
    body = b'{"data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":7,"total_tokens":7}}'
    answer = answering(body, kind=b"application/json")
    model = ModelTask(Task.RERANK, (path,))
    settings = {"servedName": "words", "engine": {"name": "simulated"}}
    app = ReplicaApp(parse(ServingConfig, settings), Idle(answer), answer, model)
    monitoring = {"requestLog": {}}
    app.take(parse(UserConfig, {"revisions": {"1": {}}, "monitoring": monitoring}))
    await call(app, path, b'{"input": "hi"}')
    (line,) = read(app, kept)
    assert line["gen_ai.operation.name"] == operation
    assert line["gen_ai.usage.input_tokens"] == 7
    assert line["gen_ai.request.model"] == "words"
