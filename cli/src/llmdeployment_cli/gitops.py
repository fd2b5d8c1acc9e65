"""Who else writes an LLMDeployment's spec, and what that means for a change by hand."""

from collections.abc import Iterator

from llmdeployment_cli.arms import Object

MANAGER = "kubectl-llm"
"""The name under which this command writes."""

_ARGO = "Argo CD keeps this object: with self-heal it puts its own spec back at once, else at its next sync. Change the source too."
_FLUX = "Flux keeps this object and puts its own spec back at its next reconciliation. Suspend it, or change the source too."
_HELM = "A Helm release holds this object: a later `helm upgrade` that changes these fields writes them anew. Change its values too."
_APPLY = "This object comes from `kubectl apply`: the next one puts the file's fields back. Change the file too."


def find_caveat(deployment: Object) -> str:
    """Return what becomes of a change of the spec under the tool that keeps the object; empty when there is no sign of one."""
    metadata = deployment["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    managers = set(_list_appliers(deployment))
    if "argocd.argoproj.io/tracking-id" in annotations or "argocd-controller" in managers:
        return _ARGO
    flux = {"kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"}
    if flux & labels.keys() or {"kustomize-controller", "helm-controller"} & managers:
        return _FLUX
    if labels.get("app.kubernetes.io/managed-by") == "Helm":
        return _HELM
    if "kubectl.kubernetes.io/last-applied-configuration" in annotations:
        return _APPLY
    if managers:
        who = ", ".join(sorted(managers))
        return (
            f"{who} applies this object server-side: its next apply is refused as a conflict with {MANAGER}, or, if forced, puts its "
            "own fields back. Change its source too."
        )
    return ""


def _list_appliers(deployment: Object) -> Iterator[str]:
    """Yield who applied fields of the object itself server-side; the operator only applies the status."""
    for entry in deployment["metadata"].get("managedFields") or ():
        if entry.get("operation") == "Apply" and not entry.get("subresource"):
            yield str(entry.get("manager", "somebody"))
