"""Finds and removes what a node leaves on a machine, even a node that died suddenly.

Everything is found by where it is or what it is called, not by memory, so that it works when the
process records are gone.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from dev.cluster import processes
from dev.cluster.embedded import images, network
from dev.cluster.embedded.addresses import BRIDGE, NODE_IP
from dev.cluster.paths import IMAGES, NODE, RUN
from dev.cluster.stages import StageError, wait_until

OUR_CHAINS = ("KUBE-", "CNI-")
TABLES_SAVE = ("iptables-save", "ip6tables-save")
CGROUPS = Path("/sys/fs/cgroup")
POD_CGROUP = "kubepods"


def list_mounts_below(mounts: str, folders: tuple[Path, ...]) -> list[str]:
    """Return the mount points at or below some folders, innermost first.

    Args:
        mounts: the text of /proc/mounts.
        folders: where to look.
    """
    points = [unescape(line.split()[1]) for line in mounts.splitlines() if line.strip()]
    ours = [p for p in points if any(Path(p).is_relative_to(folder) for folder in folders)]
    # A later line may lie on top of an earlier one at the same point: go backwards (the sort is stable).
    ours.reverse()
    return sorted(ours, key=lambda point: point.count("/"), reverse=True)


def unescape(text: str) -> str:
    r"""Return a path as /proc/mounts writes it, for example `a\040b` for `a b`."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), text)


def build_removal_rules(saved: str) -> str:
    """Return input for `iptables-restore --noflush` that removes the node's rules and chains.

    Example: `:KUBE-SERVICES - [0:0]` and `-A PREROUTING -j KUBE-SERVICES` give
    `-D PREROUTING -j KUBE-SERVICES`, then `-F KUBE-SERVICES`, then `-X KUBE-SERVICES`.

    Args:
        saved: the text of `iptables-save`.
    """
    parts = []
    for table, body in re.findall(r"^\*(\w+)\n(.*?)^COMMIT$", saved, re.MULTILINE | re.DOTALL):
        lines = body.splitlines()
        chains = [line[1:].split()[0] for line in lines if line.startswith(":")]
        ours = [chain for chain in chains if chain.startswith(OUR_CHAINS)]
        jumps = [line for line in lines if is_jump_from_outside(line)]
        if ours or jumps:
            parts += [f"*{table}", *(f"-D{line[2:]}" for line in jumps)]
            parts += [f"-F {chain}" for chain in ours] + [f"-X {chain}" for chain in ours]
            parts.append("COMMIT")
    return "\n".join(parts) + "\n" if parts else ""


def is_jump_from_outside(line: str) -> bool:
    """Return whether a saved rule is in a foreign chain and jumps to one of ours."""
    found = re.match(r"-A (\S+) .*-[jg] (\S+)", line)
    return bool(found and found[2].startswith(OUR_CHAINS) and not found[1].startswith(OUR_CHAINS))


def find_processes(name: str) -> list[int]:
    """Return the pids of live programs by their file name (not by a match somewhere in the arguments)."""
    return [pid for pid, words in list_command_lines() if words and Path(words[0]).name == name]


def list_command_lines() -> list[tuple[int, list[str]]]:
    """Return every process's pid and arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                found.append((int(entry.name), words))
    return found


def list_shims() -> list[int]:
    """Return the pids of our containerd's shims, which survive it."""
    socket = str(RUN / "containerd.sock")
    return [
        pid
        for pid, words in list_command_lines()
        if Path(words[0]).name.startswith("containerd-shim") and socket in words
    ]


def list_pod_cgroups() -> list[Path]:
    """Return the pods' cgroups in every hierarchy, innermost first."""
    roots = [path for depth in ("", "*/") for path in CGROUPS.glob(depth + POD_CGROUP)]
    found = [Path(folder) for root in roots for folder, _, _ in os.walk(root)]
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def list_pod_pids() -> list[int]:
    """Return the pids of all processes in pods."""
    found: set[int] = set()
    for group in list_pod_cgroups():
        with contextlib.suppress(OSError):
            found.update(map(int, (group / "cgroup.procs").read_text().split()))
    return sorted(found)


def end_pods() -> None:
    """End all containers; remove them from containerd if it answers, so that no pod returns."""
    for what in (("tasks", "delete", "--force"), ("containers", "delete")):
        listing = subprocess.run(
            images.build_ctr_command(what[0], "ls", "-q"),
            capture_output=True,
            text=True,
            check=False,
        )
        names = listing.stdout.split() if listing.returncode == 0 else []
        if names:
            subprocess.run(
                images.build_ctr_command(*what, *names), capture_output=True, check=False
            )
    for pid in [*list_shims(), *list_pod_pids()]:
        processes.send(pid, signal.SIGKILL)
    wait_until(
        lambda: not list_pod_pids() and not list_shims(), "the pods' processes end", seconds=20
    )


def clean_host() -> None:
    """Remove mounts, interfaces, rules, cgroups and stray files."""
    unmount()
    remove_interfaces()
    remove_rules()
    for group in list_pod_cgroups():
        with contextlib.suppress(OSError):
            group.rmdir()
    for pattern in (f"results/{network.NETWORK_NAME}-*", "results/cni-loopback-*"):
        for file in Path("/var/lib/cni").glob(pattern):
            file.unlink(missing_ok=True)
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(NODE):
            link.unlink()


def unmount() -> None:
    """Unmount everything below the node's folders."""
    for point in list_mounts_below(Path("/proc/mounts").read_text(), (RUN, NODE, IMAGES)):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)


def remove_interfaces() -> None:
    """Remove the bridge, its interfaces, and the node's address."""
    if (bridge := Path("/sys/class/net") / BRIDGE).exists():
        for port in (bridge / "brif").iterdir():
            run_quietly("ip", "link", "delete", port.name)
        run_quietly("ip", "link", "delete", BRIDGE)
    run_quietly("ip", "address", "delete", f"{NODE_IP}/32", "dev", "lo")


def remove_rules() -> None:
    """Remove the rules of kube-proxy, kubelet and CNI from iptables and ip6tables."""
    for save in TABLES_SAVE:
        saved = subprocess.run([save], capture_output=True, text=True, check=False).stdout
        if text := build_removal_rules(saved):
            done = subprocess.run(
                [save.replace("save", "restore"), "--noflush"],
                input=text,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise StageError(f"cannot remove iptables rules: {done.stderr.strip()}")


def run_quietly(*command: str) -> None:
    """Run a command that may have nothing to do."""
    subprocess.run(command, capture_output=True, check=False)


def remove_folder(folder: Path) -> None:
    """Remove a folder, but never through a mount, which would delete other files."""
    if list_mounts_below(Path("/proc/mounts").read_text(), (folder,)):
        raise StageError(
            f"something is still mounted below {folder}",
            advice=f"see `grep {folder} /proc/mounts`, end what uses it, and try again",
        )
    shutil.rmtree(folder, ignore_errors=True)
