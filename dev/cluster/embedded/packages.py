"""Installs the missing Debian packages that the node needs."""

import os
import shutil
from pathlib import Path

from dev.cluster.go_builds import locate_log
from dev.cluster.paths import ensure_cache
from dev.cluster.stages import hold_lock, run_logged, stage

PROGRAMS = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "conntrack": "conntrack",
    "mount": "mount",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
}
"""A program, and the package that has it. buildah and debootstrap are for `make images`."""
CNI = Path("/usr/lib/cni")
POLICY = Path("/usr/sbin/policy-rc.d")


def list_missing() -> list[str]:
    """Return the packages to install."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    names = {
        package for program, package in PROGRAMS.items() if not shutil.which(program, path=path)
    }
    if not (CNI / "bridge").exists():
        names.add("containernetworking-plugins")
    return sorted(names)


def ensure() -> None:
    """Install missing packages, and let none of them start a service."""
    if not list_missing():
        return
    with hold_lock(ensure_cache() / "locks" / "packages.lock"):
        _install(list_missing())


def _install(names: list[str]) -> None:
    if not names:
        return
    log = locate_log("packages")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    advice = "run `apt-get update` and install these packages by hand: " + " ".join(names)
    with stage(f"installing {len(names)} packages (once)"):
        run_logged(["apt-get", "update", "-qq"], log, env=env, advice=advice)
        # containerd's package starts a system-wide containerd; the node brings its own.
        ours = not POLICY.exists()
        if ours:
            POLICY.write_text("#!/bin/sh\nexit 101\n")
            POLICY.chmod(0o755)
        try:
            command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *names]
            run_logged(command, log, env=env, advice=advice)
        finally:
            if ours:
                POLICY.unlink()
