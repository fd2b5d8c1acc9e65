"""What the Prometheus operator makes of PodMonitors, for a Prometheus that runs beside the cluster and has no discovery of Kubernetes.

Debian's Prometheus is built without `kubernetes_sd_configs`. So a program lists the pods and writes the targets into files that Prometheus
watches, with the labels that discovery would give. Selectors, ports and relabelings are those of the PodMonitors.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Object = dict[str, Any]
META = "__meta_kubernetes_"
ENDED = ("Succeeded", "Failed")


class UnknownMonitorError(Exception):
    """A PodMonitor uses something that this module does not know."""


def build_job(monitor: Object, targets: str) -> Object:
    """Return the scrape job of a PodMonitor.

    Args:
        monitor: the PodMonitor.
        targets: path of the file with its targets.
    """
    endpoint = find_endpoint(monitor)
    own = [
        {"source_labels": [f"{META}namespace"], "target_label": "namespace"},
        {"source_labels": [f"{META}pod_container_name"], "target_label": "container"},
        {"source_labels": [f"{META}pod_name"], "target_label": "pod"},
    ]
    return {
        "job_name": monitor["metadata"]["name"],
        "honor_labels": endpoint.get("honorLabels", False),
        "file_sd_configs": [{"files": [targets], "refresh_interval": "10s"}],
        "relabel_configs": [*own, *(_rename(each) for each in endpoint.get("relabelings", ()))],
        "metric_relabel_configs": [_rename(each) for each in endpoint.get("metricRelabelings", ())],
    }


def find_endpoint(monitor: Object) -> Object:
    """Return the only endpoint of a PodMonitor.

    Raises:
        UnknownMonitorError: it has several, or one with fields that are not known here.
    """
    name = monitor["metadata"]["name"]
    ends: list[Object] = monitor["spec"]["podMetricsEndpoints"]
    if len(ends) != 1:
        raise UnknownMonitorError(f"PodMonitor {name} has {len(ends)} endpoints, and only one is known here")  # fmt: skip
    known = {"port", "interval", "honorLabels", "relabelings", "metricRelabelings"}
    if unknown := ends[0].keys() - known:
        fields = ", ".join(sorted(unknown))
        raise UnknownMonitorError(f"PodMonitor {name} has {fields}, which is not known here")
    return ends[0]


def _rename(rule: Object) -> Object:
    """Return a relabeling with the names that Prometheus has.

    >>> _rename({"sourceLabels": ["a"], "targetLabel": "b"})
    {'source_labels': ['a'], 'target_label': 'b'}
    """
    return {re.sub(r"([A-Z])", lambda found: f"_{found[1].lower()}", key): value for key, value in rule.items()}  # fmt: skip


def list_targets(monitor: Object, pods: Iterable[Object]) -> list[Object]:
    """Return the targets of a PodMonitor among the pods of a cluster, as a file of targets has them."""
    port = find_endpoint(monitor)["port"]
    return [
        {"targets": [f"{pod['status']['podIP']}:{each['containerPort']}"], "labels": _build_labels(pod, container)}
        for pod in pods
        if _is_selected(monitor, pod)
        for container in pod["spec"]["containers"]
        for each in container.get("ports", ())
        if each.get("name") == port
    ]  # fmt: skip


def _build_labels(pod: Object, container: Object) -> dict[str, str]:
    metadata = pod["metadata"]
    labels = {
        f"{META}pod_label_{re.sub(r'[^a-zA-Z0-9_]', '_', key)}": value
        for key, value in metadata.get("labels", {}).items()
    }
    return {
        f"{META}namespace": metadata["namespace"],
        f"{META}pod_name": metadata["name"],
        f"{META}pod_container_name": container["name"],
        **labels,
    }


def _is_selected(monitor: Object, pod: Object) -> bool:
    status = pod.get("status", {})
    return (
        bool(status.get("podIP"))
        and status.get("phase") not in ENDED
        and _has_namespace(monitor, pod["metadata"]["namespace"])
        and matches(monitor["spec"]["selector"], pod["metadata"].get("labels", {}))
    )


def _has_namespace(monitor: Object, namespace: str) -> bool:
    selector = monitor["spec"].get("namespaceSelector", {})
    return selector.get("any", False) or namespace in selector.get("matchNames", [monitor["metadata"]["namespace"]])  # fmt: skip


def matches(selector: Object, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector selects an object with these labels.

    Raises:
        UnknownMonitorError: it has an operator other than `In`.

    >>> matches({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "In", "values": ["2"]}]}, {"a": "1", "b": "2"})
    True
    """
    rows: Sequence[Object] = selector.get("matchExpressions", ())
    for row in rows:
        if row["operator"] != "In":
            raise UnknownMonitorError(f"the operator {row['operator']} of a selector is not known here")  # fmt: skip
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items() and all(
        labels.get(row["key"]) in row["values"] for row in rows
    )
