"""Pretends that nodes have GPUs, so that the real scheduler places pods by them."""

import json
import subprocess
from pathlib import Path

from dev.cluster import tools
from dev.cluster.stages import StageError

RESOURCE = "nvidia.com/gpu"


def build_patch(count: int) -> list[dict[str, str]]:
    """Return the JSON patch of a node's status. A resource's `/` is `~1` in a JSON pointer."""
    key = RESOURCE.replace("/", "~1")
    return [
        {"op": "add", "path": f"/status/{field}/{key}", "value": str(count)}
        for field in ("capacity", "allocatable")
    ]


def pretend(kubeconfig: Path, count: int) -> list[str]:
    """Give every node `count` GPUs, and return the nodes' names.

    Raises:
        StageError: kubectl failed.
    """
    base = [tools.find("kubectl"), f"--kubeconfig={kubeconfig}"]
    names = run([*base, "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"]).split()
    for name in names:
        change = [
            "--subresource=status",
            "--type=json",
            f"--patch={json.dumps(build_patch(count))}",
        ]
        run([*base, "patch", "node", name, *change])
    return names


def run(command: list[str]) -> str:
    """Run kubectl and return its output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StageError(f"kubectl failed: {done.stderr.strip()[-300:]}")
    return done.stdout
