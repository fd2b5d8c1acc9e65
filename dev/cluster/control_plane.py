"""etcd and kube-apiserver alone: a real API for tests, without root, in about three seconds.

No controllers and no scheduler run: nothing is garbage-collected, a deleted namespace stays
Terminating, pods stay Pending. The ServiceAccount admission plugin is off, since nobody would
create the accounts that it requires.
"""

import secrets
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dev.cluster import api, processes, tools
from dev.cluster.stages import StageError, run_logged, wait_until

START_SECONDS = 60
"""Seconds that the API server may take to start."""
SERVICES = "198.19.0.0/16"


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane.

    Attributes:
        directory: holds its data, certificates, logs and process records.
        url: the API server's base URL, on 127.0.0.1.
        kubeconfig: a kubeconfig of an administrator.
        ca: the API server's certificate authority, PEM.
        token: the administrator's bearer token (group system:masters).
        etcd_url: etcd's client URL.
    """

    directory: Path
    url: str
    kubeconfig: Path
    ca: Path
    token: str
    etcd_url: str

    @property
    def access(self) -> api.Access:
        """Address and credentials for `dev.cluster.api`."""
        return api.Access(self.url, self.ca, self.token)

    def start_apiserver(self) -> None:
        """Start the API server (again) on the same port and data, and wait until it is ready."""
        run_apiserver(self)

    def stop_apiserver(self) -> None:
        """Stop the API server; etcd keeps running."""
        processes.stop(self.directory, "kube-apiserver", seconds=5)

    def restart_apiserver(self) -> None:
        """Stop and start the API server: watches break, data stays."""
        self.stop_apiserver()
        self.start_apiserver()

    def stop(self) -> None:
        """Stop both processes. The directory stays, and `start` can use it again."""
        self.stop_apiserver()
        processes.stop(self.directory, "etcd", seconds=5)


def start(directory: Path) -> ControlPlane:
    """Start a control plane with its data in a directory; the processes end with the caller.

    Raises:
        StageError: a program cannot be installed, or did not become ready.
    """
    programs = {name: tools.find(name) for name in ("etcd", "kube-apiserver")}
    directory = directory.resolve()
    make_credentials(directory)
    client, peer, secure = find_free_ports(3)
    plane = ControlPlane(
        directory=directory,
        url=f"https://127.0.0.1:{secure}",
        kubeconfig=directory / "kubeconfig",
        ca=directory / "certificates" / "apiserver.crt",
        token=(directory / "token").read_text(),
        etcd_url=f"http://127.0.0.1:{client}",
    )
    api.write_kubeconfig(plane.kubeconfig, plane.access)
    try:
        run_etcd(plane, programs["etcd"], f"http://127.0.0.1:{peer}")
        run_apiserver(plane)
    except (
        BaseException
    ):  # because an interrupt must leave no process behind either; it is raised again
        plane.stop()
        raise
    return plane


def make_credentials(directory: Path) -> None:
    """Make the administrator's token and the key that signs service account tokens."""
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / "token").exists():
        return
    if not shutil.which("openssl"):
        raise StageError("openssl is not installed", advice="install it with your package manager")
    key = directory / "service-account.key"
    run_logged(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key)],
        directory / "openssl.log",
    )
    token = secrets.token_hex(16)
    api.write_private(directory / "tokens.csv", f'{token},admin,admin,"system:masters"\n')
    api.write_private(directory / "token", token)


def find_free_ports(count: int) -> list[int]:
    """Return different ports of 127.0.0.1 that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def run_etcd(plane: ControlPlane, program: str, peer_url: str) -> None:
    """Start etcd without fsync, so that writes are fast; its data need not survive a power cut."""
    command = [
        program,
        f"--data-dir={plane.directory / 'etcd'}",
        f"--listen-client-urls={plane.etcd_url}",
        f"--advertise-client-urls={plane.etcd_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]
    log = plane.directory / "etcd.log"
    processes.start(plane.directory, "etcd", command, log, end_with_parent=True)


def run_apiserver(plane: ControlPlane) -> None:
    """Start the API server and wait until it is ready."""
    key = plane.directory / "service-account.key"
    log = plane.directory / "kube-apiserver.log"
    command = [
        tools.find("kube-apiserver"),
        f"--etcd-servers={plane.etcd_url}",
        f"--cert-dir={plane.ca.parent}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={plane.url.rsplit(':', 1)[1]}",
        # Nothing uses the endpoint of the `kubernetes` Service here, and it slows the exit down.
        "--endpoint-reconciler-type=none",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        f"--service-cluster-ip-range={SERVICES}",
        f"--token-auth-file={plane.directory / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
        "--allow-privileged=true",
        "--max-requests-inflight=0",
        "--max-mutating-requests-inflight=0",
        "--enable-priority-and-fairness=false",
    ]
    processes.start(plane.directory, "kube-apiserver", command, log, end_with_parent=True)
    wait_until(
        lambda: api.is_ready(plane.access) or not is_alive(plane),
        "kube-apiserver is ready",
        seconds=START_SECONDS,
        log=log,
    )
    if not is_alive(plane):
        raise StageError("kube-apiserver ended while it started", log=log)


def is_alive(plane: ControlPlane) -> bool:
    """Return whether both processes run."""
    names = ("etcd", "kube-apiserver")
    return all(processes.find_running(plane.directory, name) for name in names)


def run_kubectl(plane: ControlPlane, *arguments: str) -> str:
    """Run kubectl against the control plane and return what it printed.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    done = subprocess.run(
        [tools.find("kubectl"), f"--kubeconfig={plane.kubeconfig}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        done.check_returncode()
    return done.stdout
