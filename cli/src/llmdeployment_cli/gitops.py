"""Tools that write an LLMDeployment's spec, and what they do to a change by hand."""

from collections.abc import Iterator

from llmdeployment_cli.arms import Object

MANAGER = "kubectl-llm"
"""The name under which this command writes."""

_ARGO = "Argo CD manages this object. It restores its own spec at once with self-heal, otherwise at its next sync. Change the source too."
_FLUX = "Flux manages this object. It restores its own spec at its next reconciliation. Suspend Flux, or change the source too."
_HELM = "A Helm release manages this object. A later `helm upgrade` that sets these fields overwrites them. Change its values too."
_APPLY = "This object was created with `kubectl apply`. The next apply restores the fields of the file. Change the file too."


def find_caveat(deployment: Object) -> str:
    """Return what the tool that manages the object does to a change of the spec; empty when no tool is found."""
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
            f"{who} applies this object server-side. Its next apply conflicts with {MANAGER}; a forced one restores its own fields. "
            "Change its source too."
        )
    return ""


def _list_appliers(deployment: Object) -> Iterator[str]:
    """Yield the managers that applied fields of the object itself; the operator applies only the status."""
    for entry in deployment["metadata"].get("managedFields") or ():
        if entry.get("operation") == "Apply" and not entry.get("subresource"):
            yield str(entry.get("manager", "somebody"))
