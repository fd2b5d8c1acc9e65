"""Worker pods that have to be made anew.

Ray may count a place as taken whose replica is gone (seen after the head came back and the replica was killed: `1.0/1.0 replica` in use
by nobody, Ray 2.60). Serve then waits for a place for ever, and a pod that could give one stays empty. Only a new pod mends that.
"""

from datetime import UTC, datetime, timedelta

from llmdeployment_operator.plan.base.objects import Kind, Object, Removal
from llmdeployment_operator.plan.base.pods import is_ready, is_terminating, running_since
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.readiness import select_pods

EMPTY_SECONDS = 120
"""How long a worker may run without a replica while one looks for a place; joining Ray takes 10 to 20.

It counts from when Serve was told of the replica, if that was later: on a busy machine the head alone may take a minute to answer.
"""


def find_empty_worker(cluster: ClusterState, runtime: str, now: datetime) -> tuple[Removal, ...]:
    """Return the worker pod of a runtime that should be made anew, one at a time, or nothing."""
    state = cluster.serve.get(runtime)
    if state is None or state.error or state.unplaced == 0:
        return ()
    for pod in select_pods(cluster, "worker", runtime):
        hosts = pod.get("status", {}).get("podIP") in state.placed
        waits = not hosts and not is_ready(pod) and not is_terminating(pod)
        if waits and _is_long_enough(pod, state.declared_at, now):
            return (Removal(Kind.POD, pod["metadata"]["name"], pod["metadata"]["uid"]),)
    return ()


def _is_long_enough(pod: Object, declared_at: float, now: datetime) -> bool:
    since = running_since(pod)
    if since is None:
        return False
    since = max(since, datetime.fromtimestamp(declared_at, UTC))
    return now - since > timedelta(seconds=EMPTY_SECONDS)
