"""What the commands print for programs, and the tables of kubectl."""

import json
from collections.abc import Iterable, Sequence
from enum import StrEnum

import yaml

from llmdeployment_cli.arms import Object, get_name
from llmdeployment_cli.terminal import strip_controls

NARROW, WIDE = 0, 1
"""The priorities up to which `kubectl get` prints columns, without and with `-o wide`."""


class ListFormat(StrEnum):
    """What `get -o` takes."""

    wide = "wide"
    json = "json"
    yaml = "yaml"
    name = "name"


class DocumentFormat(StrEnum):
    """What `-o` takes where one document is printed."""

    json = "json"
    yaml = "yaml"


def format_document(document: object, form: str) -> str:
    """Return a document as JSON or YAML."""
    if form == DocumentFormat.json:
        return json.dumps(document, indent=4, ensure_ascii=False)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120).rstrip("\n")


def summarize(deployment: Object) -> Object:
    """Return what `status -o` prints. The keys are always there; what is inside conditions, arms and revisions is the API's."""
    metadata, status = deployment["metadata"], deployment.get("status") or {}
    return {
        "name": metadata["name"],
        "namespace": metadata.get("namespace", ""),
        "generation": metadata.get("generation", 0),
        "observedGeneration": status.get("observedGeneration", 0),
        "url": status.get("endpoint") or None,
        "conditions": status.get("conditions") or [],
        "arms": status.get("arms") or [],
        "revisions": status.get("revisions") or [],
    }


def hide_managers(deployment: Object) -> Object:
    """Return an object without its managed fields, as kubectl prints it."""
    metadata = {k: v for k, v in deployment["metadata"].items() if k != "managedFields"}
    return {**deployment, "metadata": metadata}


def build_list(items: Sequence[Object]) -> Object:
    """Return a list of objects, as kubectl prints it."""
    return {"apiVersion": "v1", "items": list(items), "kind": "List", "metadata": {}}


def format_names(items: Iterable[Object]) -> str:
    """Return the objects' names as kubectl takes them."""
    return "\n".join(f"llmdeployment.llmdeployment.dev/{get_name(item)}" for item in items)


def build_rows(tables: Sequence[Object], priority: int) -> list[list[str]]:
    """Return the rows of tables of one kind below one head.

    Args:
        tables: objects of kind Table, as the API server makes them.
        priority: columns up to this priority are kept.

    >>> age = {"name": "Age", "type": "string", "priority": 0}
    >>> build_rows([{"columnDefinitions": [age], "rows": [{"cells": ["5m"]}, {"cells": [None]}]}], NARROW)
    [['AGE'], ['5m'], ['']]
    """
    columns = tables[0]["columnDefinitions"]
    kept = [n for n, column in enumerate(columns) if column.get("priority", 0) <= priority]
    head = [str(columns[n]["name"]).upper() for n in kept]
    rows = (row["cells"] for table in tables for row in table.get("rows") or ())
    return [head, *([_format_cell(cells[n]) for n in kept] for cells in rows)]


def add_namespaces(table: Object) -> Object:
    """Return a table with the namespaces of its rows as the first column."""
    column = {"name": "Namespace", "type": "string", "priority": NARROW}
    rows = [
        {**row, "cells": [row["object"]["metadata"]["namespace"], *row["cells"]]}
        for row in table.get("rows") or ()
    ]
    return {**table, "columnDefinitions": [column, *table["columnDefinitions"]], "rows": rows}


def format_rows(rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns three blanks apart, without blanks at the end of a line.

    >>> print(format_rows([["NAME", "READY"], ["chat", "True"], ["a-long-name", ""]]))
    NAME          READY
    chat          True
    a-long-name
    """
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "   ".join(cell.ljust(size) for cell, size in zip(row, sizes, strict=True)) for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _format_cell(cell: object) -> str:
    text = "" if cell is None else str(cell)
    return " ".join(strip_controls(text).split())
