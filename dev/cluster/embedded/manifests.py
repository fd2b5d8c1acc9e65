"""Objects that the node starts with: DNS, the default StorageClass, one binding."""

import re
from pathlib import Path
from typing import Any

from dev.cluster import api
from dev.cluster.embedded.addresses import DNS_IP, DOMAIN
from dev.cluster.embedded.images import COREDNS
from dev.cluster.embedded.storage import CLASS, NOT_FOUND, PROVISIONER

RBAC = "/apis/rbac.authorization.k8s.io/v1"
SYSTEM = "/api/v1/namespaces/kube-system"
BINDING_MODE = "WaitForFirstConsumer"
DNS_LABELS = {"k8s-app": "kube-dns"}
DNS_PORTS = {"dns": "UDP", "dns-tcp": "TCP"}
RESOLVERS = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))


def find_resolver() -> Path | None:
    """Return a resolv.conf whose name server pods can reach too, or None."""
    for path in RESOLVERS:
        if path.exists() and re.search(
            r"^nameserver (?!127\.|::1)", path.read_text(), re.MULTILINE
        ):
            return path
    return None


def build_corefile() -> str:
    """CoreDNS's configuration. Names outside the cluster go where the machine asks."""
    lines = [
        ".:53 {",
        "    errors",
        "    health :8080",
        "    ready :8181",
        f"    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{",
        "        pods insecure",
        "        ttl 5",
        "    }",
        *(["    forward . /etc/resolv.conf"] if find_resolver() else []),
        "    cache 5",
        "    reload",
        "}",
    ]
    return "\n".join(lines) + "\n"


def ensure(access: api.Access) -> None:
    """Apply all of them."""
    remove_outdated_storage(access)
    for path, body in [*build_permissions(), *build_storage(), *build_dns()]:
        api.apply(access, path, body)


def build_permissions() -> list[tuple[str, dict[str, Any]]]:
    """Return the bindings that kubeadm's certificates need: the API server calls the kubelet as this group."""
    binding = build_cluster_role_binding("kubeadm:cluster-admins", "cluster-admin")
    binding["subjects"] = [
        {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Group",
            "name": "kubeadm:cluster-admins",
        }
    ]
    return [(f"{RBAC}/clusterrolebindings/kubeadm:cluster-admins", binding)]


def build_cluster_role_binding(name: str, role: str) -> dict[str, Any]:
    """Return a binding to a ClusterRole, without subjects."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": role,
        },
    }


def build_storage() -> list[tuple[str, dict[str, Any]]]:
    """Return the default StorageClass, served by `dev.cluster.embedded.storage`."""
    body = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        # why: with Immediate, kube-scheduler 1.34 may look at a pod just before it sees the claim bound, and then leaves it for 5 min.
        "volumeBindingMode": BINDING_MODE,
    }
    return [(f"/apis/storage.k8s.io/v1/storageclasses/{CLASS}", body)]


def remove_outdated_storage(access: api.Access) -> None:
    """Remove a StorageClass with another binding mode, which cannot be changed; volumes that exist stay."""
    path = f"/apis/storage.k8s.io/v1/storageclasses/{CLASS}"
    try:
        live = api.call(access, "GET", path)
    except api.ApiError as error:
        if error.status != NOT_FOUND:
            raise
        return
    if live.get("volumeBindingMode") != BINDING_MODE:
        api.call(access, "DELETE", path)


def build_dns() -> list[tuple[str, dict[str, Any]]]:
    """CoreDNS with the names and labels every cluster has, so that NetworkPolicies can name it."""
    name = "coredns"
    metadata = {"name": name, "namespace": "kube-system"}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:coredns"},
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["services", "pods", "namespaces"],
                "verbs": ["list", "watch"],
            },
            {
                "apiGroups": ["discovery.k8s.io"],
                "resources": ["endpointslices"],
                "verbs": ["list", "watch"],
            },
        ],
    }
    binding = build_cluster_role_binding("system:coredns", "system:coredns")
    binding["subjects"] = [{"kind": "ServiceAccount", **metadata}]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {"Corefile": build_corefile()},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": DNS_LABELS},
        "spec": {
            "selector": DNS_LABELS,
            "clusterIP": DNS_IP,
            "ports": [{"name": n, "protocol": p, "port": 53} for n, p in DNS_PORTS.items()],
        },
    }
    return [
        (f"{RBAC}/clusterroles/system:coredns", role),
        (f"{RBAC}/clusterrolebindings/system:coredns", binding),
        (f"{SYSTEM}/serviceaccounts/{name}", account),
        (f"{SYSTEM}/configmaps/{name}", config),
        (f"{SYSTEM}/services/kube-dns", service),
        (f"/apis/apps/v1/namespaces/kube-system/deployments/{name}", build_dns_deployment()),
    ]


def build_dns_deployment() -> dict[str, Any]:
    """CoreDNS's Deployment: one restricted pod that may bind port 53."""
    container = {
        "name": "coredns",
        "image": COREDNS,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [{"name": n, "protocol": p, "containerPort": 53} for n, p in DNS_PORTS.items()],
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": 8181},
            "periodSeconds": 1,
            "failureThreshold": 30,
        },
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "failureThreshold": 5},
        "resources": {"requests": {"cpu": "10m", "memory": "30Mi"}, "limits": {"memory": "170Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
    }
    pod = {
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "priorityClassName": "system-cluster-critical",
        "tolerations": [{"operator": "Exists"}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
        },
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "coredns", "namespace": "kube-system", "labels": DNS_LABELS},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": DNS_LABELS},
            "template": {"metadata": {"labels": DNS_LABELS}, "spec": pod},
        },
    }
