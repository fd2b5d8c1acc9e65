"""The command lines of the node's processes."""

import json
import sys
from pathlib import Path

from dev.cluster import tools
from dev.cluster.embedded import pki
from dev.cluster.embedded.addresses import (
    DNS_IP,
    DOMAIN,
    NODE_IP,
    NODE_NAME,
    PODS,
    SERVICES,
    URL,
)
from dev.cluster.embedded.images import PAUSE
from dev.cluster.embedded.manifests import find_resolver
from dev.cluster.embedded.packages import CNI
from dev.cluster.paths import IMAGES, NODE, RUN

LOGS = NODE / "logs"
SOCKET = RUN / "containerd.sock"
KUBELET = NODE / "kubelet"
CAP_SYS_RESOURCE = 24


def build_etcd_command() -> list[str]:
    """Return etcd's command line: TLS on the node's own address, so that it conflicts with no other user or etcd."""
    client, peer = f"https://{NODE_IP}:2379", f"https://{NODE_IP}:2380"
    return [
        tools.find("etcd"),
        f"--name={NODE_NAME}",
        f"--data-dir={NODE / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster={NODE_NAME}={peer}",
        f"--cert-file={pki.locate_certificate('etcd/server.crt')}",
        f"--key-file={pki.locate_certificate('etcd/server.key')}",
        f"--trusted-ca-file={pki.locate_certificate('etcd/ca.crt')}",
        "--client-cert-auth",
        f"--peer-cert-file={pki.locate_certificate('etcd/peer.crt')}",
        f"--peer-key-file={pki.locate_certificate('etcd/peer.key')}",
        f"--peer-trusted-ca-file={pki.locate_certificate('etcd/ca.crt')}",
        "--peer-client-cert-auth",
        "--log-level=warn",
    ]


def build_apiserver_command() -> list[str]:
    """Return the API server's command line, as kubeadm would run it."""
    file = pki.locate_certificate
    return [
        tools.find("kube-apiserver"),
        f"--advertise-address={NODE_IP}",
        f"--bind-address={NODE_IP}",
        "--secure-port=6443",
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--client-ca-file={file('ca.crt')}",
        f"--token-auth-file={pki.TOKENS}",
        f"--etcd-servers=https://{NODE_IP}:2379",
        f"--etcd-cafile={file('etcd/ca.crt')}",
        f"--etcd-certfile={file('apiserver-etcd-client.crt')}",
        f"--etcd-keyfile={file('apiserver-etcd-client.key')}",
        f"--kubelet-client-certificate={file('apiserver-kubelet-client.crt')}",
        f"--kubelet-client-key={file('apiserver-kubelet-client.key')}",
        # The node's name resolves nowhere.
        "--kubelet-preferred-address-types=InternalIP",
        f"--proxy-client-cert-file={file('front-proxy-client.crt')}",
        f"--proxy-client-key-file={file('front-proxy-client.key')}",
        f"--requestheader-client-ca-file={file('front-proxy-ca.crt')}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
        f"--service-account-key-file={file('sa.pub')}",
        f"--service-account-signing-key-file={file('sa.key')}",
        f"--service-cluster-ip-range={SERVICES}",
        f"--tls-cert-file={file('apiserver.crt')}",
        f"--tls-private-key-file={file('apiserver.key')}",
    ]


def build_controller_command(program: str, kubeconfig: Path) -> list[str]:
    """Return the common part of the command lines of controller manager and scheduler. There is one of each, so no leader election."""
    return [
        tools.find(program),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={NODE_IP}",
        "--leader-elect=false",
    ]


def build_controller_manager_command() -> list[str]:
    """Return the controller manager's command line."""
    return [
        *build_controller_command("kube-controller-manager", NODE / "controller-manager.conf"),
        f"--root-ca-file={pki.locate_certificate('ca.crt')}",
        f"--service-account-private-key-file={pki.locate_certificate('sa.key')}",
        f"--cluster-signing-cert-file={pki.locate_certificate('ca.crt')}",
        f"--cluster-signing-key-file={pki.locate_certificate('ca.key')}",
        "--use-service-account-credentials=true",
    ]


def build_scheduler_command() -> list[str]:
    """Return the scheduler's command line."""
    return build_controller_command("kube-scheduler", NODE / "scheduler.conf")


def build_containerd_command() -> list[str]:
    """Return containerd's command line, with its own folders and socket beside any other on the machine."""
    config = NODE / "containerd.toml"
    config.write_text(build_containerd_config())
    return ["containerd", f"--config={config}"]


def build_containerd_config() -> str:
    """Return containerd's configuration."""
    restricted = "false" if can_raise_priority() else "true"
    return f"""version = 2
root = "{IMAGES}"
state = "{RUN / "containerd"}"
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "{SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# Without CAP_SYS_RESOURCE no process can be made less likely to be killed for memory.
restrict_oom_score_adj = {restricted}
# Network namespaces below our own folder, where `down` finds them.
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI}"
conf_dir = "{NODE / "cni"}"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""


def can_raise_priority() -> bool:
    """Return whether this process has CAP_SYS_RESOURCE, which containers in sandboxes often lack."""
    text = Path("/proc/self/status").read_text()
    mask = int(text.split("CapEff:")[1].split()[0], 16)
    return bool(mask >> CAP_SYS_RESOURCE & 1)


def build_kubelet_command() -> list[str]:
    """Return the kubelet's command line."""
    config = NODE / "kubelet.json"
    config.write_text(json.dumps(build_kubelet_config(), indent=1))
    return [
        tools.find("kubelet"),
        f"--config={config}",
        f"--kubeconfig={NODE / 'kubelet.conf'}",
        f"--root-dir={KUBELET}",
        f"--cert-dir={KUBELET / 'pki'}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={NODE_IP}",
    ]


def build_kubelet_config() -> dict[str, object]:
    """Return the kubelet's configuration; it collects no images, since none can be pulled again."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_IP,
        "healthzBindAddress": NODE_IP,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki.locate_certificate("ca.crt"))},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "clusterDNS": [DNS_IP],
        "clusterDomain": DOMAIN,
        "resolvConf": str(find_resolver() or ""),
        "podLogsDir": str(LOGS / "pods"),
        "volumePluginDir": str(KUBELET / "volume-plugins"),
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "maxPods": 250,
        "serializeImagePulls": False,
    }


def build_proxy_command() -> list[str]:
    """Return kube-proxy's command line. It must not change the machine's limit of tracked connections."""
    return [
        tools.find("kube-proxy"),
        f"--kubeconfig={pki.PROXY_KUBECONFIG}",
        "--proxy-mode=iptables",
        "--iptables-localhost-nodeports=false",
        f"--cluster-cidr={PODS}",
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
        f"--bind-address={NODE_IP}",
        f"--healthz-bind-address={NODE_IP}:10256",
        f"--metrics-bind-address={NODE_IP}:10249",
        f"--hostname-override={NODE_NAME}",
    ]


def build_storage_command() -> list[str]:
    """Return the volume provisioner's command line. It runs from a copy, so that its clone may be removed."""
    program = NODE / "storage.py"
    program.write_text((Path(__file__).parent / "storage.py").read_text())
    ca, volumes = pki.locate_certificate("ca.crt"), NODE / "volumes"
    return [sys.executable, str(program), URL, str(ca), str(pki.TOKEN), str(volumes), NODE_NAME]
