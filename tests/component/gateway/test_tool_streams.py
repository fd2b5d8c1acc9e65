"""Streams of tool calls and structured output pass the gateway byte by byte, from the stable revision and from the canary."""

import pytest
from tests.component.gateway.conftest import NewReplica
from tests.component.gateway.pod import SERVICE, Pod, row

pytestmark = pytest.mark.component

STREAMS = {
    "/v1/chat/completions": (
        (
            b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"tool_calls":'
            b'[{"id":"chatcmpl-tool-1","type":"function","index":0,"function":{"name":"find_city","arguments":""}}]}}]}\n\n'
        ),
        b'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":',
        b'{"arguments":"{\\"city\\": \\"M\xc3\xbcnchen\\"}"}}]}}]}\n\ndata: [DONE]\n\n',
    ),
    "/v1/responses": (
        b'event: response.created\ndata: {"type":"response.created","sequence_number":0}\n\n',
        (
            b'event: response.function_call_arguments.delta\ndata: {"type":"response.function_call_arguments.delta",'
            b'"delta":"{\\"city\\":","sequence_number":1}\n\n'
        ),
        b'event: response.completed\ndata: {"type":"response.completed","sequence_number":2}\n\n',
    ),
    "/v1/messages": (
        (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":'
            b'{"type":"input_json_delta","partial_json":"{\\"city\\"\\r\\n"}}\n\n'
        ),
        b': ping\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
    ),
}


async def test_a_stream_is_the_replicas_own_byte_by_byte(pod: Pod, replicas: NewReplica) -> None:
    stable, canary = await replicas(), await replicas()
    pod.write_endpoints(stable.host)
    pod.write_endpoints(canary.host, service="chat-2")
    pod.write_routes([row(SERVICE, 1, below=5_000), row("chat-2", 2)])
    await pod.up()
    await pod.serving(1)
    for path, events in STREAMS.items():
        stable.events = canary.events = events
        answered = set()
        for _ in range(40):
            asked = {"model": "chat", "stream": True}
            async with pod.session.post(path, json=asked) as answer:
                assert answer.status == 200
                assert await answer.read() == b"".join(events)
                answered.add(answer.headers["x-llm-revision"])
            if answered == {"1", "2"}:
                break
        assert answered == {"1", "2"}
