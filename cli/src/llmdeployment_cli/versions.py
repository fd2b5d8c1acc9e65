"""The versions of client, operators and API: `kubectl llm version`."""

from importlib import metadata

from llmdeployment_cli import kube
from llmdeployment_cli.arms import Object
from llmdeployment_cli.errors import Forbidden
from llmdeployment_cli.kube import GROUP, OPERATOR, Cluster
from llmdeployment_cli.operators import Operator, describe_watch, find_operators


def read_client_version() -> str:
    """Return the version of this command."""
    return metadata.version("llmdeployment-cli")


def build_document(client: str) -> Object:
    """Return what is known without a cluster: null is what nobody could say."""
    return {"client": client, "apiVersions": None, "operators": None, "notes": []}


def read_versions(cluster: Cluster, document: Object) -> None:
    """Add to a document what the cluster says, and a note for each right that the user lacks.

    Raises:
        Refusal: the API server does not answer.
    """
    try:
        served = kube.list_served_versions(cluster)
    except Forbidden as error:
        document["notes"].append(f"The served API versions are unknown: {error}")
    else:
        document["apiVersions"] = [f"{GROUP}/{version}" for version in served]
    try:
        operators = find_operators(cluster)
    except Forbidden:
        document["notes"].append(
            "The operators are unknown, because you may not list Deployments of all namespaces."
        )
    else:
        document["operators"] = [_build_row(operator) for operator in operators]


def format_versions(document: Object) -> str:
    """Return the versions as lines for people."""
    lines = [f"Client: {document['client']}"]
    if (served := document["apiVersions"]) is not None:
        lines.append(f"API: {', '.join(served) or f'{GROUP} is not installed'}")
    operators = document["operators"]
    if operators == []:
        lines.append(f"Operator: none is installed (Helm chart {OPERATOR})")
    lines += [_format_operator(row) for row in operators or ()]
    return "\n".join([*lines, *document["notes"]])


def _build_row(operator: Operator) -> Object:
    return {
        "name": operator.name,
        "namespace": operator.namespace,
        "version": operator.version,
        "ready": operator.ready,
        "watches": describe_watch(operator).removeprefix("watches").lstrip(": "),
        "namespaces": list(operator.namespaces),
    }


def _format_operator(row: Object) -> str:
    state = "" if row["ready"] else " (no pod is ready)"
    place = f"{row['name']} in namespace {row['namespace']}"
    return f"Operator: {row['version']}, {place}, watches {row['watches']}{state}"
