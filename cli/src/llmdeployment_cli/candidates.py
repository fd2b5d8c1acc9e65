"""Words that a shell may complete, from the cluster: none where it does not answer in time."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from threading import Thread

import typer

from llmdeployment_cli import kube
from llmdeployment_cli.arms import get_name, read_arms
from llmdeployment_cli.flags import Flags, merge_flags, read_flags
from llmdeployment_cli.history import read_records
from llmdeployment_cli.kube import Cluster

SECONDS = 2.0
"""How long a person who pressed Tab may wait, in seconds."""


def complete_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of LLMDeployments that begin so."""
    given = ctx.params.get("names") or ()

    def read(cluster: Cluster) -> list[str]:
        items = kube.list_deployments(cluster, cluster.namespace)["items"]
        return [name for name in map(get_name, items) if name not in given]

    return _complete(ctx, incomplete, read)


def complete_revisions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the numbers of the kept revisions that begin so, newest first."""
    name = _find_name(ctx)

    def read(cluster: Cluster) -> list[str]:
        records = read_records(kube.list_revisions(cluster, name))
        return [str(record.number) for record in reversed(records)]

    return _complete(ctx, incomplete, read)


def complete_arms(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of arms that begin so."""
    name = _find_name(ctx)

    def read(cluster: Cluster) -> list[str]:
        return [arm.name for arm in read_arms(kube.get_deployment(cluster, name))]

    return _complete(ctx, incomplete, read)


def _complete(
    ctx: typer.Context, incomplete: str, read: Callable[[Cluster], list[str]]
) -> list[str]:
    flags = replace(_collect_flags(ctx), request_timeout=SECONDS)
    found: list[str] = []
    logging.disable()

    def ask() -> None:
        # Whatever fails, a shell that completes words has no place for an error.
        with suppress(Exception):
            found.extend(read(kube.connect(flags)))

    # A credential plugin of the kubeconfig may take longer than any call: the thread ends with the process.
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return [word for word in found if word.startswith(incomplete)]


def _find_name(ctx: typer.Context) -> str:
    """Return the LLMDeployment on the command line; where an option still lacks its value, arguments are not parsed into parameters."""
    return str(ctx.params.get("name") or next(iter(ctx.args), ""))


def _collect_flags(ctx: typer.Context) -> Flags:
    """Return the flags before the command and behind it, of which those behind it are later."""
    before = read_flags(ctx.parent.params) if ctx.parent is not None else Flags()
    return merge_flags(before, read_flags(ctx.params))
