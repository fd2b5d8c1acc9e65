"""The console on the running demo: `kubectl llm console`, with this clone's page and kubectl."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from dev.cluster import tools
from dev.demo import kube as local
from dev.demo.kube import Kube


def demonstrate_console(kube: Kube) -> None:
    """Serve the console until Ctrl-C; it prints its address."""
    local.run_module("dev.console_page")
    environment = build_environment(os.environ, Path(tools.find("kubectl")).parent)
    with subprocess.Popen(build_command(kube), env=environment) as child:
        try:
            child.wait()
        except KeyboardInterrupt:
            # The terminal has sent it Ctrl-C too, which is how it ends.
            child.wait()


def build_command(kube: Kube) -> list[str]:
    """Return the command of the console, which shows the namespace of the demo."""
    program = str(Path(sys.executable).parent / "kubectl-llm")
    where = [f"--kubeconfig={kube.kubeconfig}", f"--namespace={kube.namespace}"]
    return [program, "console", *where, "--no-browser"]


def build_environment(environment: Mapping[str, str], tool_folder: Path) -> dict[str, str]:
    """Return the environment in which the console finds the clone's kubectl before any other.

    >>> build_environment({"PATH": "/usr/bin"}, Path("/cache/bin"))["PATH"]
    '/cache/bin:/usr/bin'
    """
    path = f"{tool_folder}{os.pathsep}{environment.get('PATH', os.defpath)}"
    return {**environment, "PATH": path}
