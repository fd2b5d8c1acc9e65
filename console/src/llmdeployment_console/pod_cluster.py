"""What a console in the cluster reads: as its own ServiceAccount, in the namespaces that it was given."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llmdeployment_cli import kube
from llmdeployment_cli.arms import Object
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.history import Record
from llmdeployment_cli.operators import Operator
from llmdeployment_console.cluster import Owner, UserCluster


@dataclass(frozen=True)
class PodCluster:
    """The cluster around a pod.

    Attributes:
        connection: as the ServiceAccount.
        namespaces: whose LLMDeployments are shown; empty: all.
        operator: of the same release; the ServiceAccount may not look for others.
    """

    connection: kube.Cluster
    namespaces: tuple[str, ...]
    operator: Operator

    def list_deployments(self) -> list[Object]:
        """Return the LLMDeployments that the console shows."""
        return [each for place in self._enter() for each in place.list_deployments()]

    def list_events(self) -> list[Object]:
        """Return the Events about them."""
        return [each for place in self._enter() for each in place.list_events()]

    def list_records(self, owner: Owner) -> tuple[Record, ...]:
        """Return the revisions of one that are on record, oldest first."""
        return UserCluster(self.connection, owner[0]).list_records(owner)

    def apply(self, owner: Owner, action: str, arm: str | None) -> None:
        """Refuse it: nothing is done but as a viewer.

        Raises:
            Refusal: always.
        """
        raise Refusal(f"the console's own account does not {action} {arm or owner[1]}.")

    def find_operators(self) -> Sequence[Operator]:
        """Return the operator of the same release."""
        return (self.operator,)

    def read_config_map_key(self, namespace: str, name: str, key: str) -> str:
        """Refuse it: the ServiceAccount reads no ConfigMaps.

        Raises:
            Refusal: always.
        """
        raise Refusal(
            f"a console in the cluster does not read ConfigMaps, such as {name} ({key}) in namespace {namespace}. "
            "Use `kubectl llm console` with your own kubeconfig."
        )

    def _enter(self) -> list[UserCluster]:
        places = self.namespaces or (None,)
        return [
            UserCluster(replace(self.connection, namespace=each or ""), each) for each in places
        ]
