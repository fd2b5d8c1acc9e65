"""LoRA adapters of a revision: who has them loaded, what is said of those that fail, and when replicas have to be asked.

A replica loads adapters while it runs, and says in `/stats` what became of them. A revision has requests only where all of its
adapters are loaded; a failure is the matter of that revision and of no other one on the same pods.
"""

from collections.abc import Mapping

from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.model_files import list_adapter_sources
from llmdeployment_operator.plan.base.objects import Kind
from llmdeployment_operator.plan.base.pods import is_ready
from llmdeployment_operator.plan.base.reasons import Finding, Reason
from llmdeployment_operator.plan.base.revisions import Revision
from llmdeployment_operator.plan.base.sentences import join_sentences
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.observed.readiness import select_pods

_LOADED, _FAILED = "loaded", "failed: "


def count_carriers(cluster: ClusterState, revision: Revision, alive: int) -> int:
    """Return how many of the `alive` replicas of a revision's runtime have all of its adapters loaded."""
    wanted = list_adapter_sources(revision.template["model"])
    if not wanted:
        return alive
    return sum(
        all(states.get(name) == _LOADED for name in wanted)
        for states in _read_states(cluster, revision)
    )


def check_adapters(cluster: ClusterState, revision: Revision) -> Finding | None:
    """Return what the replicas say is wrong with a revision's adapters, or which one they have not loaded yet, or None."""
    found = _read_states(cluster, revision)
    for name in list_adapter_sources(revision.template["model"]):
        states = [of_pod.get(name, "") for of_pod in found]
        failed = [state.removeprefix(_FAILED) for state in states if state.startswith(_FAILED)]
        who = f"Adapter {name} of revision {revision.number}"
        if failed:
            text = join_sentences(
                f"{who} cannot be loaded on {len(failed)} of {len(found)} replicas. "
                f"A replica says: {failed[0]}",
                "Correct spec.model.adapters or the files. The replicas try again every 30 s.",
            )
            return Finding(Reason.ADAPTER_FAILED, text)
        if left := len(states) - states.count(_LOADED):
            return Finding(
                Reason.LOADING_MODEL, f"{who} is not loaded yet on {left} of {len(found)} replicas."
            )
    return None


def find_runtimes_to_ask(cluster: ClusterState, generation: int) -> frozenset[str]:
    """Return the runtimes whose replicas have to be asked for their adapters: those that have any, until all is as the spec says."""
    conditions = {each.type: each.status for each in cluster.status.conditions}
    at_rest = conditions.get("Progressing") == conditions.get("Degraded") == "False"
    if at_rest and cluster.status.observed_generation == generation:
        return frozenset()
    return frozenset(
        runtime
        for (kind, _), obj in cluster.children.items()
        if kind == Kind.CONTROLLER_REVISION
        and list_adapter_sources(obj["data"]["template"]["model"])
        if (runtime := names.runtime_of(obj)) is not None
    )


def _read_states(cluster: ClusterState, revision: Revision) -> list[Mapping[str, str]]:
    """Return what each replica that answers and was asked says of the revision's adapters."""
    pods = (p for p in select_pods(cluster, "worker", revision.runtime) if is_ready(p))
    names_of_pods = (pod["metadata"]["name"] for pod in pods)
    said = (cluster.adapters[name] for name in names_of_pods if name in cluster.adapters)
    return [of_pod.get(revision.number, {}) for of_pod in said]
