"""Finds the programs that the cluster and the tests need, and installs missing ones."""

import os
import re
import shutil
import subprocess
from functools import cache as once
from pathlib import Path

from dev.cluster import go_builds
from dev.cluster.stages import StageError

KUBERNETES = "v1.34.4"
ETCD = "v3.6.8"
COREDNS = "v1.14.1"
HELM = "v3.22.0"
KIND = "v0.33.0"
KWOK = "v0.7.0"
GATEWAY_API = "v1.4.1"

MULTI_CALL = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubeadm",
    "kubectl",
    "kubelet",
)
PUBLISHED = {
    "helm": ("helm.sh/helm/v3/cmd/helm", HELM),
    "kind": ("sigs.k8s.io/kind", KIND),
    "kwok": ("sigs.k8s.io/kwok/cmd/kwok", KWOK),
}
MACHINE_MINIMUM = {"kubectl": (1, 33), "helm": (3, 17), "kind": (0, 27)}
"""The lowest version of a program on this machine that is used instead of our own."""
VERSION_COMMAND = {
    "kubectl": ["version", "--client"],
    "helm": ["version", "--short"],
    "kind": ["version"],
}


def find(name: str) -> str:
    """Return the path of a program.

    Order: KUBEBUILDER_ASSETS (what Go operators' tests use), the machine's own if it is new
    enough, the cache.

    Raises:
        StageError: the program cannot be installed; the message says why.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and name in {"etcd", "kube-apiserver", "kubectl"}:
        found = Path(assets) / name
        if not found.exists():
            raise StageError(
                f"KUBEBUILDER_ASSETS is set, but {found} does not exist",
                advice="unset it, or install the programs there",
            )
        return str(found)
    if name in MACHINE_MINIMUM and (found_here := find_on_machine(name)):
        return found_here
    own = {
        **dict.fromkeys(MULTI_CALL, ensure_kubernetes),
        "etcd": ensure_etcd,
        "coredns": ensure_coredns,
        "pause": ensure_pause,
    }
    if name in own:
        return str(own[name]() / name)
    if name in PUBLISHED:
        return str(go_builds.install(*PUBLISHED[name]) / name)
    known = sorted({*own, *PUBLISHED})
    raise StageError(f"no tool named {name}", advice=f"known: {', '.join(known)}")


@once
def find_on_machine(name: str) -> str | None:
    """Return the program on this machine if it is new enough."""
    found = shutil.which(name)
    if not found:
        return None
    done = subprocess.run(
        [found, *VERSION_COMMAND[name]], capture_output=True, text=True, check=False
    )
    version = re.search(r"v?(\d+)\.(\d+)\.\d+", done.stdout)
    if not version or (int(version[1]), int(version[2])) < MACHINE_MINIMUM[name]:
        return None
    return found


def ensure_kubernetes() -> Path:
    """Return the folder with every program of the Kubernetes build, each a link to one binary."""
    library = KUBERNETES.replace("v1.", "v0.", 1)
    module = [
        "module llmdeployment.dev/kube",
        "go 1.24.0",
        # The defaults of the Go runtime that this release of Kubernetes was tested with.
        "godebug default=go1.24",
        f"require k8s.io/kubernetes {KUBERNETES}",
        *(f"replace {name} => {name} {library}" for name in STAGING),
    ]
    _, minor, _ = KUBERNETES.split(".")
    package = "k8s.io/component-base/version"
    values = {"gitVersion": KUBERNETES, "gitMajor": "1", "gitMinor": minor, "gitTreeState": "clean"}
    ldflags = " ".join(f"-X {package}.{key}={value}" for key, value in values.items())
    folder = go_builds.build_source("kube", KUBERNETES, "\n\n".join(module) + "\n", ldflags)
    for name in MULTI_CALL:
        link = folder / name
        if not link.is_symlink():
            try:
                link.symlink_to("kube")
            except FileExistsError:
                continue  # another process created it
    return folder


def ensure_etcd() -> Path:
    """Return the folder with the etcd server."""
    return _build_own("etcd", "go.etcd.io/etcd/server/v3", ETCD)


def ensure_coredns() -> Path:
    """Return the folder with CoreDNS, of the plugins that the node's Corefile names."""
    return _build_own("coredns", "github.com/coredns/coredns", COREDNS)


def _build_own(name: str, module: str, version: str) -> Path:
    """Return the folder with our own main package of `embedded/go/<name>` around one published module."""
    lines = [f"module llmdeployment.dev/{name}", "go 1.24.0", f"require {module} {version}"]
    return go_builds.build_source(name, version, "\n\n".join(lines) + "\n")


def ensure_pause() -> Path:
    """Return the folder with the process that holds a pod's namespaces."""
    return go_builds.build_source("pause", "1", "module pause\n\ngo 1.24\n")


def ensure_gateway_api() -> Path:
    """Return the folder with the CRDs of the Gateway API, standard channel, as its Go module holds them."""
    return go_builds.ensure_module("sigs.k8s.io/gateway-api", GATEWAY_API) / "config/crd/standard"


STAGING = tuple(
    f"k8s.io/{name}"
    for name in (
        "api",
        "apiextensions-apiserver",
        "apimachinery",
        "apiserver",
        "cli-runtime",
        "client-go",
        "cloud-provider",
        "cluster-bootstrap",
        "code-generator",
        "component-base",
        "component-helpers",
        "controller-manager",
        "cri-api",
        "cri-client",
        "csi-translation-lib",
        "dynamic-resource-allocation",
        "endpointslice",
        "externaljwt",
        "kms",
        "kube-aggregator",
        "kube-controller-manager",
        "kube-proxy",
        "kube-scheduler",
        "kubectl",
        "kubelet",
        "metrics",
        "mount-utils",
        "pod-security-admission",
        "sample-apiserver",
        "sample-cli-plugin",
        "sample-controller",
    )
)
"""Modules that k8s.io/kubernetes replaces by folders of its own repository; outside of it each is
published under the matching v0 version."""
