"""Requests, streams and keys of a conversation."""

import json
from pathlib import Path

import pytest

from llmdeployment_cli.chat import Endpoint, _read_port, build_request, parse_stream, read_key
from llmdeployment_cli.errors import Refusal


def event(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}}]}).encode() + b"\n"


DONE = b"data: [DONE]\n"


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([event("one "), b"\n", event("two"), DONE], ["one ", "two"]),
        ([b'data: {"choices": [{"delta": {"role": "assistant"}}]}', event("x"), DONE], ["x"]),
        ([b": keep-alive", event("x"), b'data: {"choices": [], "usage": {}}', DONE], ["x"]),
        ([event("\u00e4\u6587"), DONE, event("late")], ["\u00e4\u6587"]),
    ],
)
def test_a_stream_becomes_text(lines: list[bytes], text: list[str]) -> None:
    assert list(parse_stream(lines)) == text


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([event("half")], "was cut off"),
        ([b'data: {"error": {"message": "engine dead"}}'], "engine dead"),
        ([b"data: <html>"], "not a chat completion"),
        ([b'data: ["x"]'], "not a chat completion"),
    ],
)
def test_a_stream_that_ends_badly_says_why(lines: list[bytes], why: str) -> None:
    with pytest.raises(Refusal, match=why):
        list(parse_stream(lines))


@pytest.mark.parametrize(
    "url", ["http://llm.example", "http://llm.example/", "http://llm.example/v1"]
)
def test_a_request_goes_to_the_gateway(url: str) -> None:
    request = build_request(
        Endpoint(url, "chat", "secret", "ada"), [{"role": "user", "content": "Hi"}]
    )
    assert request.full_url == "http://llm.example/v1/chat/completions"
    assert isinstance(request.data, bytes)
    assert json.loads(request.data) == {
        "model": "chat",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
    }
    assert request.get_header("X-user") == "ada"


def test_a_key_does_not_follow_a_redirect() -> None:
    request = build_request(Endpoint("http://llm.example", "chat", "secret"), [])
    assert request.unredirected_hdrs["Authorization"] == "Bearer secret"
    assert "Authorization" not in request.headers


def test_other_schemes_are_refused() -> None:
    with pytest.raises(Refusal, match="http"):
        build_request(Endpoint("file:///etc/passwd", "chat"), [])


def test_a_key_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLMD_API_KEY", raising=False)
    assert read_key(None) is None
    monkeypatch.setenv("LLMD_API_KEY", "of the environment")
    assert read_key(None) == "of the environment"
    file = tmp_path / "key"
    with pytest.raises(Refusal, match="No such file"):
        read_key(file)
    file.write_text("\n")
    with pytest.raises(Refusal, match="is empty"):
        read_key(file)
    file.write_text("of the file\n")
    assert read_key(file) == "of the file"


def test_the_port_that_kubectl_forwards_is_read() -> None:
    said = ["Forwarding from 127.0.0.1:40123 -> 8080\n", "Forwarding from [::1]:40123 -> 8080\n"]
    assert _read_port(iter(said)) == "40123"
    with pytest.raises(Refusal, match=r"services .chat. not found"):
        _read_port(['Error from server (NotFound): services "chat" not found\n'])
