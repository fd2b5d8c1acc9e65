"""What the console reads and writes of the cluster: as the user, and by the same code as `kubectl llm`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from llmdeployment_cli import kube, operators
from llmdeployment_cli.arms import Object
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.history import Record, read_records
from llmdeployment_cli.rollout_changes import apply_change, apply_undo
from llmdeployment_console.actions import UNDO, build_change

Owner = tuple[str, str]
"""Namespace and name."""


class Cluster(Protocol):
    """A cluster. Calls take as long as the network does, so they are made in a thread; each may raise `Refusal`."""

    def list_deployments(self) -> list[Object]:
        """Return the LLMDeployments that the console shows."""

    def list_events(self) -> list[Object]:
        """Return the Events about them."""

    def list_records(self, owner: Owner) -> tuple[Record, ...]:
        """Return the revisions of one that are on record, oldest first."""

    def apply(self, owner: Owner, action: str, arm: str | None) -> None:
        """Do what `kubectl llm` does."""

    def find_operators(self) -> Sequence[operators.Operator]:
        """Return the operators that the user may see."""

    def read_config_map_key(self, namespace: str, name: str, key: str) -> str:
        """Return the text of a key of a ConfigMap, as the user."""


@dataclass(frozen=True)
class UserCluster:
    """The cluster of a kubeconfig.

    Attributes:
        connection: as the user.
        namespace: whose LLMDeployments are shown; None for all.
    """

    connection: kube.Cluster
    namespace: str | None

    def list_deployments(self) -> list[Object]:
        """Return the LLMDeployments that the console shows."""
        items: list[Object] = kube.list_deployments(self.connection, self.namespace)["items"]
        return items

    def list_events(self) -> list[Object]:
        """Return the Events about them; none where the user may not read Events."""
        try:
            return kube.list_events(self.connection, self.namespace)
        except Refusal:
            return []

    def list_records(self, owner: Owner) -> tuple[Record, ...]:
        """Return the revisions of one that are on record, oldest first."""
        return read_records(kube.list_revisions(self._enter(owner), owner[1]))

    def apply(self, owner: Owner, action: str, arm: str | None) -> None:
        """Do what `kubectl llm` does."""
        if action == UNDO:
            apply_undo(self._enter(owner), owner[1], None)
        else:
            apply_change(
                self._enter(owner), owner[1], lambda found: build_change(found, action, arm)
            )

    def find_operators(self) -> Sequence[operators.Operator]:
        """Return the operators; none where the user may not list Deployments of all namespaces."""
        try:
            return operators.find_operators(self.connection)
        except Refusal:
            return ()

    def read_config_map_key(self, namespace: str, name: str, key: str) -> str:
        """Return the text of a key of a ConfigMap."""
        return kube.read_config_map_key(self._enter((namespace, name)), name, key)

    def _enter(self, owner: Owner) -> kube.Cluster:
        return replace(self.connection, namespace=owner[0])
