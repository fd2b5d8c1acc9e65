"""Writes what a person decides about a rollout, for the commands and for the console."""

from collections.abc import Callable

from llmdeployment_cli import history, kube, patches
from llmdeployment_cli.arms import Object
from llmdeployment_cli.errors import Conflict

_TRIES = 5
"""How often a change is computed at most, when somebody else writes at the same time."""


def apply_change(
    cluster: kube.Cluster, name: str, build: Callable[[Object], patches.Change]
) -> patches.Change:
    """Write a change of an LLMDeployment and return it.

    Args:
        cluster: with the namespace of the LLMDeployment.
        name: its name.
        build: makes the change from the object as it is now.

    Raises:
        Refusal: the change cannot be made, or the API server refuses it.
    """
    for left in reversed(range(_TRIES)):
        change = build(kube.get_deployment(cluster, name))
        try:
            kube.patch(cluster, name, change.patch)
        except Conflict:
            if not left:
                raise
        else:
            return change
    raise AssertionError("unreachable")


def apply_undo(
    cluster: kube.Cluster, name: str, to: int | None
) -> tuple[Object, Object, history.Record]:
    """Write the undo, and return the object before and after it and the record that was restored.

    Raises:
        Refusal: there is nothing to go back to, or the API server refuses it.
    """
    for left in reversed(range(_TRIES)):
        before = kube.get_deployment(cluster, name)
        records = history.read_records(kube.list_revisions(cluster, name))
        record = history.find_undo_record(before, records, to)
        try:
            after = kube.patch(cluster, name, patches.build_undo(before, record.template))
        except Conflict:
            if not left:
                raise
        else:
            return before, after, record
    raise AssertionError("unreachable")
