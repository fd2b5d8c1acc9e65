"""A cluster that already exists: a context of the user's kubeconfig. This package does not change it."""

import subprocess
from pathlib import Path

from dev.cluster import api, tools
from dev.cluster.paths import ensure_cache
from dev.cluster.stages import StageError


def locate_kubeconfig() -> Path:
    """Return the path of the kubeconfig with this context alone."""
    return ensure_cache() / "context.kubeconfig"


def up(context: str) -> Path:
    """Write a kubeconfig with this context alone, and check that its cluster answers.

    Raises:
        StageError: there is no such context, or its cluster does not answer.
    """
    command = [tools.find("kubectl"), "config", "view", "--minify", "--flatten"]
    done = run(
        [*command, "--raw", f"--context={context}"], f"the kubeconfig has no context {context!r}"
    )
    api.write_private(locate_kubeconfig(), done)
    check = [tools.find("kubectl"), f"--kubeconfig={locate_kubeconfig()}", "--request-timeout=10s"]
    run([*check, "version"], f"the cluster of context {context!r} does not answer")
    return locate_kubeconfig()


def run(command: list[str], otherwise: str) -> str:
    """Run a program and return its output; `otherwise` begins the message of a failure.

    Raises:
        StageError: the program failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StageError(
            f"{otherwise}: {done.stderr.strip()[-300:]}",
            advice="check LLMD_KUBE_CONTEXT and your kubeconfig",
        )
    return done.stdout
