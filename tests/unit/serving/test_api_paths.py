"""The paths beside chat and completions, as a replica of vLLM answers them; the engine here echoes or answers from a list."""

import json
from typing import Any

import pytest
from tests.unit.serving.test_asgi import answering, call, echo, front

from llmdeployment_gateway import api_paths as gateway_paths
from llmdeployment_operator.plan.traffic.http_route import PATHS
from llmdeployment_serving.api_paths import list_paths
from llmdeployment_serving.asgi import ReplicaApp
from llmdeployment_serving.body_forms import POOLED

VLLM = {"engine": {"name": "vllm"}, "modelPath": "/model"}
USER = {"role": "user", "content": "hi"}


def test_the_gateway_and_the_route_lead_to_every_path() -> None:
    assert set(list_paths("vllm")) | set(POOLED) == set(gateway_paths.POST)
    assert set(PATHS) == {gateway_paths.MODELS, *gateway_paths.POST}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/responses", {"input": "hi"}, {"input": "hi", "instructions": "Two."}),
        ("/v1/messages", {"messages": [USER]}, {"messages": [USER], "system": "Two."}),
        ("/v1/messages/count_tokens", {"messages": []}, {"messages": [], "system": "Two."}),
        ("/tokenize", {"prompt": "hi"}, {"prompt": "hi"}),
        ("/detokenize", {"tokens": [1]}, {"tokens": [1]}),
    ],
)
async def test_each_path_gets_the_revisions_prompt(
    path: str, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    answer = await call(front(echo, **VLLM), path, json.dumps(body).encode())
    assert (answer[0], answer[2]) == (200, expected)


@pytest.mark.parametrize("engine", ["simulated", "external"])
async def test_a_path_that_an_engine_has_not_is_refused(engine: str) -> None:
    external = {"baseURL": "https://a.example/v1", "model": "m"}
    given = {"name": engine, **({"external": external} if engine == "external" else {})}
    status, _, body = await call(front(echo, engine=given), "/v1/messages")
    assert status == 404
    assert body["error"]["message"].startswith(
        "POST /v1/messages is not served here. This replica serves /v1/chat/completions, "
    )


async def test_a_refused_message_has_anthropics_form() -> None:
    _, _, body = await call(front(echo, **VLLM), "/v1/messages", b"no JSON")
    assert body == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "the request body is not valid JSON. Correct it.",
        },
    }


RESPONSE = (
    b'event: response.created\ndata: {"type":"response.created","response":{"usage":null}}\n\n',
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n',
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"b"}\n\n',
    (
        b'data: {"type":"response.completed","response":{"usage":'
        b'{"input_tokens":9,"output_tokens":2,"input_tokens_details":{"cached_tokens":4}}}}\n\n'
    ),
)
MESSAGE = (
    b'data: {"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":0}}}\n\n',
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}\n\n',
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"b"}}\n\n',
    (
        b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
        b'"usage":{"input_tokens":5,"cache_read_input_tokens":4,"output_tokens":2}}\n\n'
    ),
)


def row(app: ReplicaApp) -> dict[str, Any]:
    found: dict[str, Any] = app.stats()["revisions"]["2"]
    return found


@pytest.mark.parametrize(
    ("path", "pieces"), [("/v1/responses", RESPONSE), ("/v1/messages", MESSAGE)]
)
async def test_a_stream_is_measured(path: str, pieces: tuple[bytes, ...]) -> None:
    app = front(answering(*pieces), **VLLM)
    with pytest.raises(json.JSONDecodeError):  # because a stream is no document
        await call(app, path)
    found = row(app)
    assert found["requests"] == {"200": 1}
    assert (found["ttft"]["count"], found["itl"]["count"], found["e2e"]["count"]) == (1, 1, 1)
    assert found["outputTokens"]["sum"] == 2
    assert (found["promptTokens"], found["cachedPromptTokens"]) == (9, 4)
    assert found["shares"]["empty"]["total"] == 1
    assert found["shares"]["empty"]["bad"] == 0


@pytest.mark.parametrize("path", ["/v1/messages/count_tokens", "/tokenize", "/detokenize"])
async def test_what_generates_nothing_is_not_counted(path: str) -> None:
    app = front(echo, **VLLM)
    await call(app, path)
    assert app.stats()["revisions"] == {}


async def complete(_: Any, receive: Any, send: Any) -> None:
    message = await receive()
    text = json.loads(message["body"])["prompt"].upper()
    body = json.dumps({"choices": [{"index": 0, "text": text}], "usage": {}}).encode()
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def test_generate_text_answers_with_the_text() -> None:
    status, headers, body = await call(front(complete), "/generate_text", b'{"prompt": "hi"}')
    assert (status, body) == (200, {"generated_text": "HI"})
    assert headers["content-length"] == "24"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, 'prompt must be a text. Send {"prompt": "..."}.'),
        ({"prompt": ["a"]}, 'prompt must be a text. Send {"prompt": "..."}.'),
        (
            {"prompt": "a", "stream": True},
            "/generate_text does not stream. Use /v1/completions.",
        ),
        (
            {"prompt": "a", "n": 2},
            "/generate_text answers with one text. Leave n out, or use /v1/completions.",
        ),
    ],
)
async def test_generate_text_refuses(body: dict[str, Any], message: str) -> None:
    answer = await call(front(complete), "/generate_text", json.dumps(body).encode())
    assert (answer[0], answer[2]["error"]["message"]) == (400, message)
