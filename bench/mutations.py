"""Writes thousands of random specs to a real API server, with the operator at work, and counts what becomes of them.

Each change goes from one spec to another and back. The last line of output is the result as JSON; the exit status is 1 if there was a
fault: a spec that was refused without naming a field, that never settled, that raised, or that ended another way after its undoing.
Run: `.venv/bin/python -m bench.mutations --specs 10000` (about 7 minutes on 2 cores).
"""

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from dev.cluster import control_plane
from tests.component.operator.test_passes import simulated
from tests.support.cluster_client import ClusterClient
from tests.support.control_plane import make_namespace
from tests.support.crd import install
from tests.support.operator_process import OperatorProcess
from tests.support.transitions import (
    Outcomes,
    count_passes,
    list_transitions,
    read_unexpected_errors,
    try_transitions,
)
from tests.support.until import until

OBJECTS = 4
"""LLMDeployments that change at the same time."""
LEASE = (30, 25, 2)
"""Seconds as in `OperatorProcess`: long enough for an API server that these specs keep busy."""
ROUND = 100
"""Changes of one object, made with one seed."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--specs", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plane = control_plane.start(Path(folder) / "plane")
        operator: OperatorProcess | None = None
        try:
            install(plane)
            cluster = ClusterClient(plane.access, make_namespace(plane, "mutations"))
            operator = OperatorProcess(plane, cluster.namespace, Path(folder) / "operator", LEASE)
            operator.start()
            until(operator.leads, 90, "the operator leads")
            result = measure(cluster, operator, options.specs)
        finally:
            if operator is not None:
                operator.stop()
            plane.stop()
    print(json.dumps(result))
    sys.exit(1 if result["faults"] or result["unexpectedErrors"] else 0)


def measure(cluster: ClusterClient, operator: OperatorProcess, specs: int) -> dict[str, Any]:
    """Try about so many specs and return what became of them."""
    outcomes, began, number = Outcomes(), time.monotonic(), 0
    memory = [operator.rss_mib()]
    while (tried := outcomes.counts.total()) < specs:
        print(f"{tried} of {specs}: {dict(outcomes.counts)}", file=sys.stderr, flush=True)
        rounds = [list_transitions(ROUND, number + place) for place in range(OBJECTS)]
        # New objects: no gateway runs here, so the runtimes of old revisions stay.
        names = [f"chat-{number + place}" for place in range(OBJECTS)]
        for name in names:
            cluster.create(simulated(name))
        number += OBJECTS
        with ThreadPoolExecutor(OBJECTS) as pool:
            for found in pool.map(partial(try_transitions, cluster), names, rounds):
                outcomes.counts += found.counts
                outcomes.faults += found.faults
        for name in names:
            cluster.delete("LLMDeployment", name)
        if operator.process.poll() is not None:
            sys.exit(f"the operator ended: {operator.log.read_text()[-2000:]}")
        memory.append(operator.rss_mib())
    metrics = operator.read_metrics()
    return {
        "specs": tried,
        "outcomes": dict(outcomes.counts),
        "faults": outcomes.faults[:20],
        "unexpectedErrors": sorted(read_unexpected_errors(metrics)),
        "passesPerSpec": round(count_passes(metrics) / tried, 2),
        "operatorMiB": memory,
        "seeds": number,
        "seconds": round(time.monotonic() - began),
    }


if __name__ == "__main__":
    main()
