"""kubectl and helm against the local cluster, as a person would use them."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.cluster import tools
from dev.cluster.__main__ import find_kubeconfig
from dev.cluster.stages import StageError
from dev.images import MOUNTED, VERSION

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "charts" / "llmdeployment-operator"
RELEASE = "llmdeployment-operator"
CALL_SECONDS = 120
"""Seconds that a call may take."""
NOT_FOUND = "(NotFound)"
ENVIRONMENT_CLAIM = "serving-env"
"""The claim that has the packages of the mounted serving image, in each namespace of the local cluster that has models."""

Object = dict[str, Any]


class KubeError(StageError):
    """kubectl or helm failed; the message is from the program."""


@dataclass(frozen=True)
class Kube:
    """One namespace of the local cluster.

    Attributes:
        kubeconfig: how to reach it.
        namespace: where names without a namespace are.
    """

    kubeconfig: Path
    namespace: str

    def run(self, *arguments: str, stdin: str | None = None, seconds: float = CALL_SECONDS) -> str:
        """Run kubectl and return its output.

        Raises:
            KubeError: it failed or took too long.
        """
        return self._run(self.kubectl(*arguments), stdin, seconds)

    def kubectl(self, *arguments: str) -> list[str]:
        """Return a kubectl command line, for callers that start it themselves."""
        return [
            tools.find("kubectl"),
            f"--kubeconfig={self.kubeconfig}",
            f"--namespace={self.namespace}",
            *arguments,
        ]

    def helm(self, *arguments: str, seconds: float = CALL_SECONDS) -> str:
        """Run helm and return its output."""
        where = [f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}"]
        return self._run([tools.find("helm"), *where, *arguments], None, seconds)

    def get(self, kind: str, name: str) -> Object | None:
        """Return an object, or None if it does not exist."""
        try:
            found: Object = json.loads(self.run("get", kind, name, "--output=json"))
        except KubeError as error:
            if NOT_FOUND in str(error):
                return None
            raise
        return found

    def all(self, kind: str, selector: str = "") -> list[Object]:
        """Return all objects of one kind (or several, comma-separated) with the given labels."""
        text = self.run("get", kind, f"--selector={selector}", "--output=json")
        items: list[Object] = json.loads(text)["items"]
        return items

    def apply(self, *objects: Object) -> None:
        """Apply objects."""
        bodies = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.run("apply", "--filename=-", stdin=json.dumps(bodies))

    def patch(self, kind: str, name: str, change: Object) -> None:
        """Merge a change into an object."""
        self.run("patch", kind, name, "--type=merge", f"--patch={json.dumps(change)}")

    def ensure_namespace(self, labels: Mapping[str, str] | None = None) -> None:
        """Create the namespace if it does not exist."""
        metadata = {"name": self.namespace, "labels": dict(labels or {})}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    @property
    def system(self) -> "Kube":
        """The namespace of the operator that serves this one."""
        return Kube(self.kubeconfig, f"{self.namespace}-system")

    def install_operator(self, *options: str) -> None:
        """Install or upgrade the operator of this namespace from this checkout, and wait until it is ready.

        The cluster has one CRD, and the latest installation owns it.
        """
        what = [
            "upgrade",
            "--install",
            RELEASE,
            str(CHART),
            "--create-namespace",
            "--take-ownership",
        ]
        values = [
            f"--set=watch.namespaces={{{self.namespace}}}",
            f"--set-string=image.serving.tags.cpu={VERSION}{MOUNTED.variant}",
            f"--set=environmentClaim={ENVIRONMENT_CLAIM}",
            # With Helm's own option above: a template does not see that.
            "--set=crds.takeOwnership=true",
        ]
        self.system.helm(*what, *values, "--wait", "--timeout=120s", *options, seconds=150)

    def uninstall_operator(self) -> None:
        """Remove the operator of this namespace, if there is one."""
        self.system.helm("uninstall", RELEASE, "--ignore-not-found", "--wait")

    def _run(self, command: list[str], stdin: str | None, seconds: float) -> str:
        try:
            done = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise KubeError(
                f"`{' '.join(command[:6])}` did not end within {seconds:.0f} s"
            ) from error
        if done.returncode:
            raise KubeError(done.stderr.strip() or f"{command[0]} exited with {done.returncode}")
        return done.stdout


def connect(namespace: str) -> Kube:
    """Return the local cluster, which must be up."""
    return Kube(find_kubeconfig(), namespace)


def run_module(*arguments: str) -> str:
    """Run one of this project's own programs with its progress on the terminal, and return its last line.

    Raises:
        StageError: the program failed, and has printed why.
    """
    done = subprocess.run(
        _build_command(arguments), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=False
    )
    return _read_result(arguments, done.returncode, done.stdout)


@contextmanager
def running_module(*arguments: str) -> Iterator[Callable[[], str]]:
    """Run one of this project's own programs beside the block, and end it with the block.

    Yields a function that waits for the program, prints its progress, and returns its last line or raises `StageError`.
    """
    with (
        tempfile.TemporaryFile("w+") as progress,
        subprocess.Popen(
            _build_command(arguments),
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=progress,
            text=True,
        ) as process,
    ):

        def finish() -> str:
            output, _ = process.communicate()
            progress.seek(0)
            sys.stderr.write(progress.read())
            return _read_result(arguments, process.returncode, output)

        try:
            yield finish
        finally:
            if process.poll() is None:
                process.terminate()


def _build_command(arguments: Iterable[str]) -> list[str]:
    return [sys.executable, "-m", *arguments]


def _read_result(arguments: Iterable[str], status: int, output: str) -> str:
    if status:
        raise StageError(f"`python -m {' '.join(arguments)}` failed. Its output is above.")
    return (output.strip().splitlines() or [""])[-1]
