"""Sends thousands of requests that Schemathesis makes from vLLM's OpenAPI document, and counts the answers.

With `--url` they go to a gateway or replica that runs already, such as the demo's gateway (`make demo` prints its address); without it,
to a vLLM that this program starts. The last line of output is the result as JSON; a fault is an answer of 500 or above, or none.
Run: `.venv/bin/python -m bench.openapi --cases 5000` (about 15 minutes on 2 cores).
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dev import model, serving_env
from tests.support.openapi_cases import ORDINARY, list_bodies, read_document, try_all
from tests.support.plain_replica import build_vllm_config, run_plain

ROUND = 300
"""Cases that are made and sent together, each round with another seed."""


@contextmanager
def run_target(given: str | None, python: str, files: Path) -> Iterator[str]:
    """Yield the URL to send to: the given one, or that of a new replica."""
    if given is not None:
        yield given.rstrip("/")
        return
    with run_plain(python, build_vllm_config(files)) as url:
        yield url


def measure(url: str, document: dict[str, Any], cases: int, model_name: str) -> dict[str, Any]:
    """Send about `cases` requests, half to each path, and return what was answered."""
    statuses: Counter[int] = Counter()
    faults: list[dict[str, Any]] = []
    began, number = time.monotonic(), 0
    while statuses.total() < cases:
        number += 1
        for path in ORDINARY:
            outcome = try_all(url + path, list_bodies(document, path, ROUND, number), model_name)
            statuses += outcome.statuses
            faults += outcome.faults
        print(f"{statuses.total()} of {cases}: {dict(statuses)}", file=sys.stderr, flush=True)
    return {
        "requests": statuses.total(),
        "statuses": dict(statuses),
        "faults": faults[:20],
        "seeds": number,
        "seconds": round(time.monotonic() - began),
    }


def main() -> None:
    """Measure and print; the exit status is 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--url", help="base URL without /v1; default: a vLLM is started")
    parser.add_argument("--model", default="chat", help="what to put in `model`")
    options = parser.parse_args()
    files, environment = model.find_ready(), serving_env.refresh()
    if files is None or environment is None:
        raise SystemExit("no model or no vLLM in the cache: `python3 -m dev.model` makes both")
    python = str(environment / "bin/python")
    document = read_document(python)
    with run_target(options.url, python, files) as url:
        result = measure(url, document, options.cases, options.model)
    print(json.dumps(result))
    sys.exit(1 if result["faults"] else 0)


if __name__ == "__main__":
    main()
