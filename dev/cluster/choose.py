"""Chooses a kind of cluster for this machine."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

DOCKER_ANSWER_SECONDS = 10
"""Seconds that a Docker engine may take to answer."""


class Kind(StrEnum):
    """The three kinds of cluster."""

    CONTEXT = "context"
    KIND = "kind"
    EMBEDDED = "embedded"


@dataclass(frozen=True)
class Choice:
    """A cluster and the reason for it.

    Attributes:
        kind: which of the three.
        reason: one clause for a person.
        context: the kubeconfig context, for an existing cluster.
    """

    kind: Kind
    reason: str
    context: str = ""


class NoClusterError(Exception):
    """This machine can have none of the three; the message says how to change that."""


def choose(
    environment: Mapping[str, str],
    *,
    embedded_exists: bool,
    docker_answers: Callable[[], bool],
    is_root: bool,
    is_debian: bool,
) -> Choice:
    """Choose a cluster. An existing node takes precedence over Docker, so that the choice never changes while it runs.

    Raises:
        NoClusterError: this machine can have no cluster.
    """
    if context := environment.get("LLMD_KUBE_CONTEXT"):
        return Choice(Kind.CONTEXT, "LLMD_KUBE_CONTEXT is set", context)
    if embedded_exists:
        return Choice(Kind.EMBEDDED, "its node exists on this machine")
    if docker_answers():
        return Choice(Kind.KIND, "a Docker engine answers")
    if is_root and is_debian:
        return Choice(Kind.EMBEDDED, "no Docker engine answers; Debian or Ubuntu, as root")
    missing = "root" if is_debian else "Debian or Ubuntu"
    raise NoClusterError(
        "this machine can have no cluster: LLMD_KUBE_CONTEXT is not set, no Docker engine answers, and "
        f"the embedded node needs {missing}. Set LLMD_KUBE_CONTEXT to a context of your kubeconfig,"
        " or start Docker, or run this as root on Debian or Ubuntu."
    )


def choose_here(*, embedded_exists: bool) -> Choice:
    """Choose a cluster for this machine."""
    return choose(
        os.environ,
        embedded_exists=embedded_exists,
        docker_answers=is_docker_running,
        is_root=os.geteuid() == 0,
        is_debian=Path("/etc/debian_version").exists(),
    )


def is_docker_running() -> bool:
    """Return whether a Docker engine answers; the command alone is not enough."""
    if not shutil.which("docker"):
        return False
    try:
        done = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            timeout=DOCKER_ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
