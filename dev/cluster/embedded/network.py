"""The host's side of the network: an address on `lo`, forwarding, the bridge's description."""

import json
import subprocess
from pathlib import Path

from dev.cluster.embedded.addresses import BRIDGE, NODE_IP, PODS
from dev.cluster.paths import NODE, RUN

SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    # Traffic between two pods of one bridge must pass iptables, else a Service's answer comes from
    # the pod's address and is dropped.
    "net/bridge/bridge-nf-call-iptables": "1",
}
SAVED = RUN / "sysctls.json"
CNI_CONFIG = NODE / "cni" / "10-llmdeployment.conflist"
LEASES = RUN / "cni-leases"
NETWORK_NAME = "llmdeployment"


def ensure() -> None:
    """Prepare the host. Every step may have been done before."""
    subprocess.run(
        ["ip", "address", "replace", f"{NODE_IP}/32", "dev", "lo"], check=True, capture_output=True
    )
    save_sysctls()
    for name, value in SYSCTLS.items():
        path = Path("/proc/sys") / name
        if not path.exists():
            subprocess.run(["modprobe", "br_netfilter"], check=False, capture_output=True)
        if path.read_text().strip() != value:
            path.write_text(value)
    CNI_CONFIG.parent.mkdir(parents=True, exist_ok=True)
    CNI_CONFIG.write_text(json.dumps(build_cni_config(), indent=1))


def save_sysctls() -> None:
    """Save the host's settings once, for `restore_sysctls`."""
    if SAVED.exists():
        return
    RUN.mkdir(parents=True, exist_ok=True)
    paths = {name: Path("/proc/sys") / name for name in SYSCTLS}
    SAVED.write_text(json.dumps({n: p.read_text().strip() for n, p in paths.items() if p.exists()}))


def restore_sysctls() -> None:
    """Restore the host's saved settings."""
    if SAVED.exists():
        for name, value in json.loads(SAVED.read_text()).items():
            (Path("/proc/sys") / name).write_text(value)


def build_cni_config() -> dict[str, object]:
    """Return the CNI configuration: a bridge with addresses from a local pool, and host ports."""
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(LEASES),
            "ranges": [[{"subnet": PODS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    return {"cniVersion": "0.4.0", "name": NETWORK_NAME, "plugins": [bridge, ports]}
