"""The rollout matrix: is anything lost when a model is changed under load, while its previous change may still be on its way?

    python -m bench.rollout [--quick] [--cells N] [--seed S] [--resume FILE] [--ray | --vllm]

Cells: strategy {Canary 5/25/50, BlueGreen, Recreate with hold} x changes {A->B, A->B->A, A->B->A->B, A->B->C} x the moment at which
each next change meets the running rollout {before traffic, early, middle, late}, under open-loop load and 20 long streams; in half of
the cells the operator is killed (SIGKILL) at a random moment. Counted: failed requests, cut streams, answers of another revision than they
say, users who had the new version and lost it within one rollout. All must be 0, else the exit code is 1.

The operator, the gateway, Services, readiness, draining and the replica's HTTP server are the product's. In place of Ray the pods run
`bench/plain_runtime.py`, and the engine is simulated; with `--ray` six cells run on real Ray, with `--vllm` three with a real model on it.
It needs the local cluster (`make cluster`, `make images`). Progress goes to stderr; the last line of output is one JSON object.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.rollout_cell import MOMENTS, WEIGHTS, Cell, Run, Size
from bench.rollout_site import site
from dev.cluster.paths import ensure_cache
from dev.cluster.stages import StageError

STRATEGIES = ("Canary", "BlueGreen", "Recreate")
SEQUENCES = ("A->B", "A->B->A", "A->B->A->B", "A->B->C")
COUNTS = ("requests", "streams", "failed", "cut", "wrong", "moved_back")
MUST_BE_ZERO = COUNTS[2:]
RAY_CELLS = 6
VLLM_CELLS = (
    Cell("Canary", "A->B", "middle", kill=False, pods="vLLM"),
    Cell("BlueGreen", "A->B->A", "late", kill=True, pods="vLLM"),
    Cell("Recreate", "A->B", "early", kill=True, pods="vLLM"),
)
FIELDS = ("strategy", "sequence", "moment", "kill")
TRIES = 20
FULL = Size(stream_seconds=60, pause_seconds=10, per_second=4, replicas=2)
QUICK = Size(stream_seconds=20, pause_seconds=3, per_second=4, replicas=2)
ON_RAY = Size(stream_seconds=20, pause_seconds=3, per_second=3, replicas=1)
ON_VLLM = Size(stream_seconds=60, pause_seconds=10, per_second=0.5, replicas=1, streams=4)
"""Few streams: the model makes tokens as fast as two cores can, also while another vLLM starts on them."""
GUESS_SECONDS = 75.0
"""Of a cell, while none has been measured."""


def matrix(pods: str = "plain") -> list[Cell]:
    """Return every cell; every other one of each strategy, sequence and moment has the operator killed.

    >>> len(matrix()), sum(cell.kill for cell in matrix())
    (48, 24)
    """
    return [
        Cell(strategy, sequence, moment, kill=(s + q + m) % 2 == 1, pods=pods)
        for (s, strategy), (q, sequence), (m, moment) in itertools.product(
            enumerate(STRATEGIES), enumerate(SEQUENCES), enumerate(MOMENTS)
        )
    ]


def sample(cells: list[Cell], number: int, seed: int) -> list[Cell]:
    """Return a fair sample: strategies, sequences, moments and kills are each as even as the number allows.

    >>> chosen = sample(matrix(), 12, 0)
    >>> [sum(c.strategy == s for c in chosen) for s in STRATEGIES], sum(c.kill for c in chosen)
    ([4, 4, 4], 6)
    """
    chance = random.Random(seed)  # noqa: S311  # because a sample is no secret
    tries = (_spread(chance.sample(cells, len(cells)), number) for _ in range(TRIES))
    return min(tries, key=_unevenness)


def _spread(left: list[Cell], number: int) -> list[Cell]:
    """Return cells that have least in common with those before them."""
    chosen: list[Cell] = []
    while left and len(chosen) < number:
        best = min(left, key=lambda cell: _unevenness([*chosen, cell]))
        left.remove(best)
        chosen.append(best)
    return chosen


def _unevenness(cells: list[Cell]) -> int:
    counts = (Counter(getattr(cell, field) for cell in cells) for field in FIELDS)
    return sum(count * count for each in counts for count in each.values())


def total(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the sums over cells, and how long the longest request waited."""
    sums: dict[str, Any] = {name: sum(row[name] for row in rows) for name in COUNTS}
    sums["longest_wait_seconds"] = max((row["longest_wait_seconds"] for row in rows), default=0)
    sums["operator_killed"] = sum(row["kill"] for row in rows)
    return sums


def read_finished(path: Path | None) -> dict[str, dict[str, Any]]:
    """Return the rows of an earlier run by the cell's name."""
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return {row["cell"]: row for row in rows}


async def run_all(
    cells: list[Cell], size: Size, seed: int, path: Path | None
) -> list[dict[str, Any]]:
    """Run the cells that are not finished yet, one after the other, and return the rows of all."""
    done = read_finished(path)
    todo = [cell for cell in cells if cell.name not in done]
    rows = [done[cell.name] for cell in cells if cell.name in done]
    if not todo:
        return rows
    started = time.monotonic()
    log = ensure_cache() / "logs" / "bench-rollout-operator.log"
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(b"")
    say(f"{len(todo)} cells, {len(rows)} finished before; the operator's log: {log}")
    async with site(log, models=cells[0].pods == "vLLM") as place:
        for number, cell in enumerate(todo):
            chance = random.Random(f"{seed}:{cell.name}")  # noqa: S311  # because a moment is no secret
            try:
                found = await Run(place, cell, size, f"cell-{number}").run(chance)
            except StageError as error:
                # A rollout that never ends fails its cell, not the matrix.
                found = {**dict.fromkeys(COUNTS, 0), "failed": 1, "longest_wait_seconds": 0}
                found |= {"seconds": 0, "errors": [str(error)[:1000]]}
            row = {"cell": cell.name, "seed": seed, **asdict(cell), **found}
            rows.append(row)
            if path is not None:
                with path.open("a") as out:
                    out.write(json.dumps(row) + "\n")
            tell(row, number + 1, len(todo), time.monotonic() - started)
    return rows


def tell(row: dict[str, Any], number: int, of: int, elapsed: float) -> None:
    """Print a cell's line: what came of it, and how long the rest will take."""
    left = elapsed / number * (of - number)
    say(
        f"[{number:2}/{of}] {row['cell']:<55} {row['seconds']:4} s: {row['failed']} of {row['requests']} failed, "
        f"{row['cut']} of {row['streams']} cut, {row['wrong']} wrong, {row['moved_back']} moved back; "
        f"{elapsed / 60:.1f} min gone, {left / 60:.0f} to go"
    )
    for error in row["errors"]:
        say(f"        {error}")


def say(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)


def plan(options: argparse.Namespace) -> tuple[list[Cell], Size]:
    """Return the cells that are asked for, and their size."""
    if options.vllm:
        return list(VLLM_CELLS), ON_VLLM
    cells = matrix("Ray" if options.ray else "plain")
    number = options.cells or (RAY_CELLS if options.ray else 12 if options.quick else len(cells))
    size = ON_RAY if options.ray else QUICK if options.quick else FULL
    return cells if number >= len(cells) else sample(cells, number, options.seed), size


def main() -> int:
    """Run the matrix; 1 when anything was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="12 cells, streams of 20 s: 15 minutes"
    )
    parser.add_argument("--cells", type=int, help="a fair sample of so many cells")
    parser.add_argument("--seed", type=int, default=1, help="of the sample and of the kills")
    parser.add_argument(
        "--resume", type=Path, help="finished cells are kept here and not run again"
    )
    pods = parser.add_mutually_exclusive_group()
    pods.add_argument("--ray", action="store_true", help="six cells on real Ray")
    pods.add_argument("--vllm", action="store_true", help="three cells on real Ray with vLLM")
    options = parser.parse_args()
    chosen, size = plan(options)
    say(f"about {len(chosen) * GUESS_SECONDS / 60 * (size.stream_seconds / 20) ** 0.7:.0f} minutes")
    try:
        rows = asyncio.run(run_all(chosen, size, options.seed, options.resume))
    except StageError as error:
        say(error.explain())
        return 1
    sums = total(rows)
    result = {
        "pods": "plain (bench/plain_runtime.py in place of Ray)"
        if chosen[0].pods == "plain"
        else "Ray",
        "engine": "vLLM" if options.vllm else "simulated",
        "canary_steps": list(WEIGHTS),
        "size": asdict(size),
        "seed": options.seed,
        "total": sums,
        "cells": rows,
    }
    print(json.dumps(result))
    return 1 if any(sums[name] for name in MUST_BE_ZERO) else 0


if __name__ == "__main__":
    sys.exit(main())
