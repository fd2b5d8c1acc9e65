"""Requests that Schemathesis makes from the engine's own OpenAPI document: valid ones and such as break one rule of it."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import schemathesis
import urllib3
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

ORDINARY: Mapping[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hello"}]},
    "/v1/completions": {"prompt": "Hello"},
    "/v1/responses": {"input": "Hello"},
    "/v1/messages": {"messages": [{"role": "user", "content": "Hello"}]},
}
_limits = ("max_tokens", "max_completion_tokens", "max_output_tokens")
SEVERAL, TOKENS = 2, 4
"""The most answers and tokens that are asked for: what is longer tells nothing new."""

_PRINT_DOCUMENT = """
import json
from vllm.entrypoints.launchers.app import build_app
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(["--model=/none"])
print(json.dumps(build_app(arguments, ("generate",), None).openapi()))
"""


@dataclass
class Outcome:
    """What was answered: how many requests by status, and those that were answered by a fault of the server."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[dict[str, Any]] = field(default_factory=list)


def read_document(python: str) -> dict[str, Any]:
    """Returns the OpenAPI document of the vLLM in this Python environment."""
    done = subprocess.run(
        [python, "-c", _PRINT_DOCUMENT], capture_output=True, text=True, check=True, timeout=300
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def list_bodies(document: Mapping[str, Any], path: str, count: int, number: int = 1) -> list[Any]:
    """Returns about `count` bodies for a path, two thirds of them valid; `number` is the seed."""
    operation = schemathesis.openapi.from_dict(dict(document))[path]["POST"]
    valid = _draw(operation.as_strategy(GenerationMode.POSITIVE), count // 3, number)
    broken = _draw(operation.as_strategy(GenerationMode.NEGATIVE), count // 3, number)
    # Most texts that are made are empty or no text, and end at the first check.
    ordinary = [body | ORDINARY[path] for body in valid if isinstance(body, dict)]
    return [*valid, *ordinary, *broken]


def _draw(strategy: Any, count: int, number: int) -> list[Any]:
    found: list[Any] = []

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def collect(case: Any) -> None:
        found.append(case.body)

    collect()
    return found


def bound(body: Any, model: str, limit: str = "max_tokens") -> Any:
    """Returns a body that names the model and asks for little, by the path's field `limit`, and is the same in all else."""
    if not isinstance(body, dict):
        return body
    found = {**body, "model": model}
    for name, most in (
        *((name, TOKENS) for name in (*_limits, "min_tokens")),
        *((name, SEVERAL) for name in ("n", "best_of")),
    ):
        if isinstance(found.get(name), int) and found[name] > most:
            found[name] = most
    # Without a bound, or with null, the model writes until its context is full.
    if all(found.get(name) is None for name in _limits):
        found[limit] = TOKENS
    return found


def send(url: str, bodies: Iterable[Any], model: str = "chat") -> Iterator[tuple[Any, int, str]]:
    """Yields each body with the status and the text of its answer; 0 if there is none."""
    web = urllib3.PoolManager(timeout=120, retries=False)
    limit = "max_output_tokens" if url.endswith("/v1/responses") else "max_tokens"
    for body in (bound(each, model, limit) for each in bodies):
        try:
            data = json.dumps(body).encode()
        except (TypeError, ValueError):
            continue  # why: what is no JSON is for other tests
        try:
            answer = web.request(
                "POST", url, body=data, headers={"content-type": "application/json"}
            )
        except urllib3.exceptions.HTTPError as error:
            yield body, 0, repr(error)
        else:
            yield body, answer.status, answer.data.decode(errors="replace")


def try_all(url: str, bodies: Iterable[Any], model: str = "chat") -> Outcome:
    """Returns what was answered to all of these bodies."""
    outcome = Outcome()
    for body, status, text in send(url, bodies, model):
        outcome.statuses[status] += 1
        if status == 0 or status >= 500:  # because it is HTTP's bound
            outcome.faults.append({"body": body, "status": status, "text": text[:300]})
    return outcome
