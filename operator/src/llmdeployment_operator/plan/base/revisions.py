"""Revisions: numbered, immutable records of an LLMDeployment's template fields, kept as ControllerRevisions.

A revision's data holds the template fields as the user gave them and the *rendering*: the specs of the head
StatefulSet and the worker Deployment as they were first written. A runtime is always applied from the rendering it
was born with, so that an upgrade of the operator, which may render differently, restarts no pod.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from llmdeployment_operator.api.arms import TEMPLATE_FIELDS
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.base.drift import digest
from llmdeployment_operator.plan.base.external import name_external_runtime
from llmdeployment_operator.plan.base.model_files import list_adapter_claims, list_adapter_needs
from llmdeployment_operator.plan.base.objects import Object

MOST_HISTORY = 100
"""Revisions not in use that are kept at most, while a gateway may still send requests for any of them."""
_NOT_OF_THE_RUNTIME = frozenset({"prompt"})
"""Template fields that need no other pods: the serving layer applies them per request."""


@dataclass(frozen=True)
class Revision:
    """One revision; `uid` is None until the API server holds it."""

    number: int
    hash: str
    runtime: str
    template: dict[str, Any]
    rendering: dict[str, Any]
    uid: str | None = None
    created_at: str | None = None


def extract_template(deployment: LLMDeployment) -> dict[str, Any]:
    """Return the template fields that differ from their defaults.

    Defaults are left out so that a field added to the API later does not change the hash of revisions that never
    heard of it.
    """
    return deployment.spec.model_dump(
        mode="json",
        by_alias=True,
        include=set(TEMPLATE_FIELDS),
        # A policy: it is told to running replicas.
        exclude={"engine": {"self_test"}},
        exclude_defaults=True,
        exclude_none=True,
    )


def hash_runtime(template: dict[str, Any]) -> str:
    """Return the name of the runtime which can carry this template: 8 hex digits, or `x` and 7 for an API elsewhere.

    Of the adapters only what their pods need counts: that there are any, the claims that are mounted for them, and the downloads.

    >>> one, two = ({"name": n, "source": f"pvc://team/{n}"} for n in ("legal", "terse"))
    >>> model = {"source": "hf://a/b"}
    >>> with_one, with_two = ({"model": {**model, "adapters": a}} for a in ([one], [one, two]))
    >>> hash_runtime(with_one) == hash_runtime(with_two) != hash_runtime({"model": model})
    True
    """
    if (elsewhere := name_external_runtime(template)) is not None:
        return elsewhere
    kept = {key: value for key, value in template.items() if key not in _NOT_OF_THE_RUNTIME}
    if (model := template["model"]).get("adapters"):
        kept["model"] = {**model, "adapters": list_adapter_needs(model)}
    return digest(kept)


def read_revisions(objects: Iterable[Object]) -> tuple[Revision, ...]:
    """Return the revisions that ControllerRevisions record, oldest first."""
    found = [
        Revision(
            number=int(obj["revision"]),
            hash=digest(obj["data"]["template"]),
            runtime=hash_runtime(obj["data"]["template"]),
            template=obj["data"]["template"],
            rendering=obj["data"]["rendering"],
            uid=obj["metadata"].get("uid"),
            created_at=obj["metadata"].get("creationTimestamp"),
        )
        for obj in objects
    ]
    return tuple(sorted(found, key=lambda revision: revision.number))


def find_target(
    template: dict[str, Any], known: tuple[Revision, ...], rendering: dict[str, Any]
) -> Revision:
    """Return the revision of a template: the one already recorded, or the next number.

    A new revision on a runtime that another revision brought up takes over that runtime's rendering: the pods are
    the same ones.
    """
    wanted = digest(template)
    for revision in known:
        if revision.hash == wanted:
            return revision
    runtime = hash_runtime(template)
    born = next((r.rendering for r in known if r.runtime == runtime), rendering)
    number = max((r.number for r in known), default=0) + 1
    return Revision(number=number, hash=wanted, runtime=runtime, template=template, rendering=born)


def describe_change(fresh: Revision, stable: Revision) -> str:
    """Return what a new revision changes, and whether that takes other pods.

    >>> one = Revision(1, "", "a", {"model": {"source": "x"}}, {})
    >>> describe_change(Revision(2, "", "a", {"model": {"source": "x"}, "prompt": {"system": "y"}}, {}), one)
    'Revision 2 differs from revision 1 in prompt. It runs in the same pods.'
    >>> adapters = [{"name": "legal", "source": "file:///legal"}]
    >>> describe_change(Revision(2, "", "b", {"model": {"source": "x", "adapters": adapters}}, {}), one)
    'Revision 2 differs from revision 1 in model.adapters. It needs pods of its own, because pods reserve room for adapters at their start.'
    """
    new, old = _flatten_fields(fresh.template), _flatten_fields(stable.template)
    changed = [
        field for field in sorted(new.keys() | old.keys()) if new.get(field) != old.get(field)
    ]
    pods = (
        "It runs in the same pods."
        if fresh.runtime == stable.runtime
        else f"It needs pods of its own{_describe_adapters(fresh.template, stable.template)}."
    )
    return f"Revision {fresh.number} differs from revision {stable.number} in {', '.join(changed)}. {pods}"


def _flatten_fields(template: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a template by which a change is told; adapters by themselves, since they may need no pods."""
    model = template["model"]
    kept = {key: value for key, value in model.items() if key != "adapters"}
    return {**template, "model": kept, "model.adapters": model.get("adapters")}


def _describe_adapters(fresh: dict[str, Any], stable: dict[str, Any]) -> str:
    """Return why a change of adapters needs other pods, to be added to a sentence."""
    new, old = fresh["model"], stable["model"]
    if bool(new.get("adapters")) != bool(old.get("adapters")):
        return ", because pods reserve room for adapters at their start"
    if new.get("adapters") and list_adapter_claims(new) != list_adapter_claims(old):
        return f", because the claims that it mounts for adapters are {', '.join(list_adapter_claims(new)) or 'none'}"
    if new.get("adapters") and list_adapter_needs(new) != list_adapter_needs(old):
        return ", because pods download adapters when they start"
    return ""


def find_surplus(
    known: tuple[Revision, ...], in_use: frozenset[int], limit: int
) -> tuple[Revision, ...]:
    """Return the revisions to forget: the oldest beyond the limit among those not in use.

    >>> [r.number for r in find_surplus(tuple(Revision(n, "", "", {}, {}) for n in (1, 2, 3, 4)), frozenset({4}), 2)]
    [1]
    """
    idle = [revision for revision in known if revision.number not in in_use]
    return tuple(idle[: max(0, len(idle) - limit)])


def build_controller_revision(deployment: LLMDeployment, revision: Revision) -> Object:
    """Return the ControllerRevision that records a revision."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": names.revision_name(deployment.metadata.name, revision.number),
            "labels": names.labels(deployment.metadata.name, runtime=revision.runtime),
        },
        "revision": revision.number,
        "data": {"template": revision.template, "rendering": revision.rendering},
    }
