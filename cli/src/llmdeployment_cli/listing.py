"""The command that lists LLMDeployments, as `kubectl get` does."""

from typing import Annotated

import typer

from llmdeployment_cli import kube
from llmdeployment_cli.arms import Object
from llmdeployment_cli.candidates import complete_names
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.exits import print_error
from llmdeployment_cli.flags import Flags
from llmdeployment_cli.output import (
    NARROW,
    WIDE,
    ListFormat,
    add_namespaces,
    build_list,
    build_rows,
    format_document,
    format_names,
    format_rows,
    hide_managers,
)
from llmdeployment_cli.transport import JSON


def get(
    flags: Flags,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Names of LLMDeployments (default: all).",
            show_default=False,
            autocompletion=complete_names,
        ),
    ] = None,
    *,
    output: Annotated[
        ListFormat | None,
        typer.Option(
            "--output", "-o", help="Print more columns, or documents.", show_default=False
        ),
    ] = None,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="List all namespaces.")
    ] = False,
) -> None:
    """List LLMDeployments."""
    if names and all_namespaces:
        raise typer.BadParameter("a name belongs to one namespace. Leave out --all-namespaces.")
    cluster = kube.connect(flags)
    place = None if all_namespaces else cluster.namespace
    if output is None or output is ListFormat.wide:
        tables, errors = _read(cluster, names or [], place, kube.TABLE)
        tables = [add_namespaces(table) for table in tables] if all_namespaces else tables
        if tables:
            _print_rows(build_rows(tables, WIDE if output else NARROW), place)
    else:
        found, errors = _read(cluster, names or [], place, JSON)
        items = [hide_managers(each) for each in (found if names else found[0]["items"])]
        _print_objects(items, output, names or [])
    for error in errors:
        print_error(error)
    if errors:
        raise typer.Exit(1)


def _read(
    cluster: kube.Cluster, names: list[str], place: str | None, accept: str
) -> tuple[list[Object], list[Refusal]]:
    """Return the named objects, or one list of all in a place; and why the others cannot be read."""
    if not names:
        return [kube.list_deployments(cluster, place, accept)], []
    found, errors = [], []
    for name in names:
        try:
            found.append(kube.get_deployment(cluster, name, accept))
        except Refusal as error:
            errors.append(error)
    return found, errors


def _print_rows(rows: list[list[str]], place: str | None) -> None:
    # The first row is the head.
    if rows[1:]:
        typer.echo(format_rows(rows))
    else:
        where = "any namespace" if place is None else f"namespace {place}"
        typer.echo(f"No LLMDeployments found in {where}.", err=True)


def _print_objects(items: list[Object], output: ListFormat, names: list[str]) -> None:
    if output == ListFormat.name:
        text = format_names(items)
    else:
        one = len(names) == len(items) == 1
        text = format_document(items[0] if one else build_list(items), output)
    if text:
        typer.echo(text)
