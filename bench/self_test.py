"""What the self-test costs, and whether good replicas agree: starts vLLM several times on this machine.

The last line of output is the result as JSON: each score, how far the scores are apart, and the seconds that the test adds to a start
with and without computing the reference. Run: `.venv/bin/python -m bench.self_test --starts 5` (about 4 minutes on 2 cores).
"""

import argparse
import json
from pathlib import Path
from typing import Any

from dev import model, serving_env
from tests.support.plain_replica import build_vllm_config, read_stats, run_plain

from llmdeployment_serving.self_test import TOLERANCE


def start_replica(python: str, files: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Start a replica, and return its `selfTest`."""
    with run_plain(python, build_vllm_config(files), {"selfTest": settings}) as url:
        return dict(read_stats(url)["selfTest"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5)
    options = parser.parse_args()
    files, environment = model.find_ready(), serving_env.refresh()
    if files is None or environment is None:
        raise SystemExit("no model or no vLLM in the cache: `python3 -m dev.model` makes both")
    python = str(environment / "bin/python")
    first = start_replica(python, files, {})
    print(json.dumps(first), flush=True)
    later = []
    for _ in range(options.starts - 1):
        later.append(start_replica(python, files, {"reference": first["reference"]}))
        print(json.dumps(later[-1]), flush=True)
    scores = [row["score"] for row in (first, *later)]
    result = {
        "scores": scores,
        "reference": first["reference"],
        "farthest_from_reference": max(abs(score - first["reference"]) for score in scores),
        "apart": max(scores) - min(scores),
        "tolerance": TOLERANCE,
        "seconds_with_reference_computed": first["seconds"],
        "seconds_with_reference_given": max((row["seconds"] for row in later), default=None),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
