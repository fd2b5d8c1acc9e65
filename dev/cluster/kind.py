"""The cluster in a Docker engine, by kind. Kept small: kind does the work."""

import json
import subprocess
from pathlib import Path

from dev.cluster import tools
from dev.cluster.go_builds import log_of
from dev.cluster.paths import cache
from dev.cluster.stages import locked, run_logged, stage

NAME = "llmdeployment"
ADVICE = "`docker ps` shows the node; `python3 -m dev.cluster down` removes it"


def kubeconfig() -> Path:
    """Where the cluster's kubeconfig is."""
    return cache() / "kind.kubeconfig"


def lock() -> Path:
    """Held while somebody starts or stops the cluster."""
    return cache() / "locks" / "kind-cluster.lock"


def node_config(folder: Path) -> str:
    """Return kind's configuration: one node that sees the cache where this machine has it.

    The demo and the end-to-end tests mount the model and the replicas' packages from there (hostPath volumes).
    """
    mount = {"hostPath": str(folder), "containerPath": str(folder), "readOnly": True}
    return json.dumps(
        {
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "kind": "Cluster",
            "nodes": [{"role": "control-plane", "extraMounts": [mount]}],
        }
    )


def exists() -> bool:
    """Whether kind knows the cluster."""
    done = subprocess.run(
        [tools.path("kind"), "get", "clusters"], capture_output=True, text=True, check=False
    )
    return NAME in done.stdout.split()


def up() -> Path:
    """Make the cluster unless it exists, and return its kubeconfig."""
    program, options = tools.path("kind"), ["--name", NAME, "--kubeconfig", str(kubeconfig())]
    with locked(lock()):
        if exists():
            command = [program, "export", "kubeconfig", *options]
            run_logged(command, log_of("kind-cluster"), advice=ADVICE)
        else:
            with stage("creating the kind cluster"):
                config = cache() / "kind.json"
                config.write_text(node_config(cache()))
                command = [program, "create", "cluster", f"--config={config}", "--wait", "180s"]
                command += options
                run_logged(command, log_of("kind-cluster"), advice=ADVICE)
    return kubeconfig()


def down() -> None:
    """Delete the cluster."""
    with locked(lock()), stage("deleting the kind cluster"):
        command = [tools.path("kind"), "delete", "cluster", "--name", NAME]
        run_logged(command, log_of("kind-cluster"))
        kubeconfig().unlink(missing_ok=True)


def load_image(archive: Path) -> None:
    """Put a docker-archive's image on the node."""
    with stage(f"loading {archive.name}"):
        command = [tools.path("kind"), "load", "image-archive", str(archive), "--name", NAME]
        run_logged(command, log_of("kind-cluster"), advice="start the cluster first: `up`")
