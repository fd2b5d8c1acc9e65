"""The cluster in a Docker engine, by kind. Kept small: kind does the work."""

import json
import subprocess
from pathlib import Path

from dev.cluster import tools
from dev.cluster.go_builds import locate_log
from dev.cluster.paths import ensure_cache
from dev.cluster.stages import hold_lock, run_logged, stage

NAME = "llmdeployment"
ADVICE = "check the node with `docker ps`, or remove it with `python3 -m dev.cluster down`"


def locate_kubeconfig() -> Path:
    """Return the path of the cluster's kubeconfig."""
    return ensure_cache() / "kind.kubeconfig"


def locate_lock() -> Path:
    """Return the lock that is held while somebody starts or stops the cluster."""
    return ensure_cache() / "locks" / "kind-cluster.lock"


def build_node_config(folder: Path) -> str:
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
    """Return whether kind knows the cluster."""
    done = subprocess.run(
        [tools.find("kind"), "get", "clusters"], capture_output=True, text=True, check=False
    )
    return NAME in done.stdout.split()


def up() -> Path:
    """Make the cluster unless it exists, and return its kubeconfig."""
    program, options = (
        tools.find("kind"),
        ["--name", NAME, "--kubeconfig", str(locate_kubeconfig())],
    )
    with hold_lock(locate_lock()):
        if exists():
            command = [program, "export", "kubeconfig", *options]
            run_logged(command, locate_log("kind-cluster"), advice=ADVICE)
        else:
            with stage("creating the kind cluster"):
                config = ensure_cache() / "kind.json"
                config.write_text(build_node_config(ensure_cache()))
                command = [program, "create", "cluster", f"--config={config}", "--wait", "180s"]
                command += options
                run_logged(command, locate_log("kind-cluster"), advice=ADVICE)
    return locate_kubeconfig()


def down() -> None:
    """Delete the cluster."""
    with hold_lock(locate_lock()), stage("deleting the kind cluster"):
        command = [tools.find("kind"), "delete", "cluster", "--name", NAME]
        run_logged(command, locate_log("kind-cluster"))
        locate_kubeconfig().unlink(missing_ok=True)


def load_image(archive: Path) -> None:
    """Put a docker-archive's image on the node."""
    with stage(f"loading {archive.name}"):
        command = [tools.find("kind"), "load", "image-archive", str(archive), "--name", NAME]
        run_logged(
            command,
            locate_log("kind-cluster"),
            advice="start the cluster first, with `python3 -m dev.cluster up`",
        )
