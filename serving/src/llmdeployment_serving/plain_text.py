"""`POST /generate_text`: a prompt in, the generated text out, for small programs that speak no OpenAI API."""

from http import HTTPStatus
from typing import Any

from llmdeployment_serving.config import PromptConfig
from llmdeployment_serving.engine import Send
from llmdeployment_serving.errors import RefusedError
from llmdeployment_serving.model_names import make_whole_send
from llmdeployment_serving.prompts import apply_to_completion


def apply_to_text(body: dict[str, Any], prompt: PromptConfig) -> dict[str, Any]:
    """Return the body of the same request at `/v1/completions`.

    >>> apply_to_text({"prompt": "Once upon"}, PromptConfig(defaults={"max_tokens": 9}))
    {'prompt': 'Once upon', 'max_tokens': 9}

    Raises:
        RefusedError: the prompt is no text, or the answer would be streamed, or there would be several.
    """
    if not isinstance(body.get("prompt"), str):
        raise _refuse('prompt must be a text. Send {"prompt": "..."}')
    if body.get("stream"):
        raise _refuse("/generate_text does not stream. Use /v1/completions")
    merged = apply_to_completion(body, prompt)
    if merged.get("n") not in (None, 1):
        raise _refuse("/generate_text answers with one text. Leave n out, or use /v1/completions")
    return merged


def make_text_send(send: Send) -> Send:
    """Return a `send` that makes `{"generated_text": ...}` of a completion; errors stay as they are."""
    return make_whole_send(send, _take_text)


def _take_text(document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return HTTPStatus.OK, {"generated_text": document["choices"][0]["text"]}


def _refuse(message: str) -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, f"{message}.")
