"""Certificates and kubeconfigs, created by kubeadm's phases."""

import json
import secrets
from pathlib import Path

from dev.cluster import api, tools
from dev.cluster.embedded.addresses import DOMAIN, NODE_IP, NODE_NAME, PODS, SERVICES, URL
from dev.cluster.paths import NODE, RUN
from dev.cluster.stages import run_logged

CERTIFICATES = NODE / "pki"
KUBECONFIG = NODE / "kubeconfig"
TOKENS = NODE / "tokens.csv"
TOKEN = NODE / "token"
PROXY_KUBECONFIG = NODE / "kube-proxy.conf"
COMPONENTS = ("controller-manager", "scheduler", "kubelet")
DONE = NODE / "pki.done"


def ensure() -> None:
    """Create the credentials of the node's programs once."""
    if DONE.exists():
        return
    CERTIFICATES.mkdir(parents=True, exist_ok=True)
    config = NODE / "kubeadm.json"
    config.write_text("\n---\n".join(json.dumps(part) for part in build_kubeadm_config()))
    kubeadm = tools.find("kubeadm")
    log = NODE / "logs" / "kubeadm.log"
    run_logged([kubeadm, "init", "phase", "certs", "all", f"--config={config}"], log)
    for component in COMPONENTS:
        phase = [kubeadm, "init", "phase", "kubeconfig", component, f"--config={config}"]
        run_logged([*phase, f"--kubeconfig-dir={NODE}"], log)
    write_tokens()
    DONE.touch()


def build_kubeadm_config() -> list[dict[str, object]]:
    """Return kubeadm's configuration, with elliptic curve keys, because RSA keys take seconds to create."""
    version = "kubeadm.k8s.io/v1beta4"
    return [
        {
            "apiVersion": version,
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": NODE_IP, "bindPort": 6443},
            "nodeRegistration": {
                "name": NODE_NAME,
                "criSocket": f"unix://{RUN / 'containerd.sock'}",
            },
        },
        {
            "apiVersion": version,
            "kind": "ClusterConfiguration",
            "kubernetesVersion": tools.KUBERNETES,
            "certificatesDir": str(CERTIFICATES),
            "encryptionAlgorithm": "ECDSA-P256",
            "networking": {"serviceSubnet": SERVICES, "podSubnet": PODS, "dnsDomain": DOMAIN},
        },
    ]


def write_tokens() -> None:
    """Write tokens for the administrator and for kube-proxy, and kubeconfigs with them."""
    admin, proxy = secrets.token_hex(16), secrets.token_hex(16)
    lines = [f'{admin},admin,admin,"system:masters"', f"{proxy},system:kube-proxy,kube-proxy"]
    api.write_private(TOKENS, "\n".join(lines) + "\n")
    api.write_private(TOKEN, admin)
    ca = CERTIFICATES / "ca.crt"
    api.write_kubeconfig(KUBECONFIG, api.Access(URL, ca, admin))
    api.write_kubeconfig(PROXY_KUBECONFIG, api.Access(URL, ca, proxy), user="kube-proxy")


def build_access() -> api.Access:
    """Return the administrator's access to the node's API server."""
    return api.Access(URL, CERTIFICATES / "ca.crt", TOKEN.read_text())


def locate_certificate(name: str) -> Path:
    """Return the path of one certificate or key."""
    return CERTIFICATES / name
