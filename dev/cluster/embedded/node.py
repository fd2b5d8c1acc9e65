"""Starts, inspects and ends the node.

Every step of `up` asks first whether it is done, so that `up` on a running node is quick, and `up`
on a node whose processes were killed starts what is missing and lets the kubelet repair the pods.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dev.cluster import api, processes, tools
from dev.cluster.embedded import cleanup, dns, images, manifests, network, packages, pki, programs
from dev.cluster.embedded.addresses import NODE_NAME
from dev.cluster.paths import IMAGES, LOCK, NODE, RUN
from dev.cluster.stages import StageError, hold_lock, stage, wait_until

PROCESSES: dict[str, Callable[[], list[str]]] = {
    "etcd": programs.build_etcd_command,
    "kube-apiserver": programs.build_apiserver_command,
    "containerd": programs.build_containerd_command,
    "kube-controller-manager": programs.build_controller_manager_command,
    "kube-scheduler": programs.build_scheduler_command,
    "kubelet": programs.build_kubelet_command,
    "kube-proxy": programs.build_proxy_command,
    "storage": programs.build_storage_command,
}
"""Programs in the order of their start; `down` stops them in reverse order."""
BUILT = ("etcd", "kubelet", "pause", "coredns")
ADVICE = "remove the node with `python3 -m dev.cluster down`, then try `up` again"
START_SECONDS = 90
"""Seconds that each program may take to start."""
NODE_PATH = f"/api/v1/nodes/{NODE_NAME}"


def exists() -> bool:
    """Return whether the node was started on this machine and not removed since."""
    return pki.DONE.exists()


def up() -> Path:
    """Start all parts of the node that do not run, and return the administrator's kubeconfig."""
    with hold_lock(LOCK):
        packages.ensure()
        for name in BUILT:
            tools.find(name)
        refuse_other_kubelet()
        with stage("host network, certificates"):
            network.ensure()
            pki.ensure()
        with stage("etcd, kube-apiserver, containerd"):
            for name in ("etcd", "kube-apiserver", "containerd"):
                start(name)
            access = pki.build_access()
            wait_until(
                lambda: api.is_ready(access),
                "kube-apiserver is ready",
                **build_limits("kube-apiserver"),
            )
            wait_until(is_containerd_ready, "containerd answers", **build_limits("containerd"))
        with stage("images, first objects"):
            images.ensure()
            manifests.ensure(access)
        with stage("kubelet and the rest; node Ready"):
            since = read_kubelet_start()
            for name in PROCESSES:
                start(name)
            wait_until(
                lambda: is_node_ready(access, since), "the node is Ready", **build_limits("kubelet")
            )
        with stage("CoreDNS answers"):
            wait_until(dns.is_answering, "CoreDNS answers", **build_limits("kubelet"))
    return pki.KUBECONFIG


def build_limits(name: str) -> dict[str, Any]:
    """Return how long to wait for a program, its log and the advice, as arguments of `wait_until`."""
    return {"seconds": START_SECONDS, "log": locate_log(name), "advice": ADVICE}


def locate_log(name: str) -> Path:
    """Return the log file of a program."""
    return programs.LOGS / f"{name}.log"


def start(name: str) -> None:
    """Start a process of the node unless it runs."""
    if not processes.find_running(RUN, name):
        processes.start(RUN, name, PROCESSES[name](), locate_log(name))


def refuse_other_kubelet() -> None:
    """Raise an error if another kubelet runs: two on one machine remove each other's pods and rules."""
    ours = processes.find_running(RUN, "kubelet")
    for pid in cleanup.find_processes("kubelet"):
        if not ours or pid != ours.pid:
            raise StageError(
                f"another kubelet runs on this machine (pid {pid})",
                advice="use that cluster: set LLMD_KUBE_CONTEXT",
            )


def is_containerd_ready() -> bool:
    """Return whether containerd serves its socket."""
    try:
        images.list_present()
    except (StageError, OSError):
        return False
    return True


def read_kubelet_start() -> datetime:
    """Return when the kubelet started; reports from before are those of a kubelet that was killed."""
    running = processes.find_running(RUN, "kubelet") is not None
    return datetime.min.replace(tzinfo=UTC) if running else datetime.now(UTC).replace(microsecond=0)


def is_node_ready(access: api.Access, since: datetime) -> bool:
    """Return whether the kubelet has reported since then that pods can run."""
    try:
        node = api.call(access, "GET", NODE_PATH)
    except api.ApiError:
        return False
    conditions = {each["type"]: each for each in node.get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready", {})
    if ready.get("status") != "True":
        return False
    return datetime.fromisoformat(ready["lastHeartbeatTime"]) >= since


def down() -> None:
    """Stop the node and remove everything that it left on the machine, except its images."""
    with hold_lock(LOCK):
        with stage("stopping the node's processes"):
            for name in reversed(PROCESSES):
                if name != "containerd":
                    processes.stop(RUN, name, seconds=5)
        with stage("removing pods, mounts, network, rules"):
            cleanup.end_pods()
            processes.stop(RUN, "containerd", seconds=5)
            cleanup.clean_host()
        network.restore_sysctls()
        for folder in (NODE, RUN):
            cleanup.remove_folder(folder)


def purge() -> None:
    """Remove the images too."""
    down()
    cleanup.remove_folder(IMAGES)


def list_processes() -> dict[str, int | None]:
    """Return the node's processes and their pids; None for one that does not run."""
    found = {name: processes.find_running(RUN, name) for name in PROCESSES}
    return {name: record.pid if record else None for name, record in found.items()}


def load_image(archive: Path) -> None:
    """Put a docker-archive's image on the node."""
    with stage(f"loading {archive.name}"):
        images.load(archive.resolve())
