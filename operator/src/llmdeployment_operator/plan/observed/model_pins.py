"""What a runtime's source held when its first replica downloaded the model, so that all its replicas get the same files.

The first replica says it when its download has ended. A ConfigMap keeps it, which later pods read when they start: it is optional and not
part of the pods' template, so that it restarts none. The status keeps it for as long as the revision is on record, also without pods.
"""

from collections.abc import Iterable

from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.fetching import read_commit
from llmdeployment_operator.plan.base.objects import Kind, Object
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.readiness import select_pods

KEY = "commit"
"""In the ConfigMap."""


def find_pins(deployment: str, cluster: ClusterState, runtimes: Iterable[str]) -> dict[str, str]:
    """Return the pins of these runtimes, by runtime; one of which no replica has downloaded its model has none."""
    found = {runtime: _find_pin(deployment, cluster, runtime) for runtime in runtimes}
    return {runtime: pin for runtime, pin in found.items() if pin}


def build_pin(deployment: str, runtime: str, pin: str) -> Object:
    """Return the ConfigMap that pods of a runtime read."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.pin_name(deployment, runtime),
            "labels": names.labels(deployment, runtime=runtime),
        },
        "data": {KEY: pin},
    }


def _find_pin(deployment: str, cluster: ClusterState, runtime: str) -> str:
    kept = cluster.children.get((Kind.CONFIG_MAP, names.pin_name(deployment, runtime)), {})
    if pin := (kept.get("data") or {}).get(KEY):
        return str(pin)
    rows = (row.commit for row in cluster.status.revisions if row.runtime == runtime)
    if known := next((commit for commit in rows if commit), None):
        return known
    pods = sorted(select_pods(cluster, "worker", runtime), key=_read_age)
    return next((commit for pod in pods if (commit := read_commit(pod))), "")


def _read_age(pod: Object) -> tuple[str, str]:
    return pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]
