"""The command: `kubectl llm`, which kubectl finds as `kubectl-llm` on PATH."""

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.syntax import Syntax

from llmdeployment_cli import chat, kube, patches, picture, simulate
from llmdeployment_cli import history as past
from llmdeployment_cli.arms import Object
from llmdeployment_cli.errors import Conflict, Refusal, print_error, report_errors
from llmdeployment_cli.gitops import find_caveat
from llmdeployment_cli.terminal import make_text, strip_controls

app = typer.Typer(
    name="kubectl llm",
    help="Show LLMDeployments and control their rollouts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the LLMDeployment.", show_default=False)
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", help="Namespace (default: the context's).", show_default=False
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        help="Context of the kubeconfig (default: the current one).",
        show_default=False,
    ),
]
ArmName = Annotated[
    str | None,
    typer.Option("--arm", help="Arm; needed if there are several.", show_default=False),
]

_EVERY = 1.0
"""Seconds between two reads of --watch."""
_TRIES = 5
"""How often a change is computed at most, when somebody else writes at the same time."""


@app.command()
def status(
    name: Name,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Refresh every second until Ctrl-C.")
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Show what an LLMDeployment waits for, its arms, revisions and conditions."""
    with report_errors():
        cluster = kube.connect(context, namespace)
        shown = picture.draw_status(kube.get_deployment(cluster, name), _now())
        if not watch:
            Console().print(shown)
            return
        with Live(shown, console=Console(), auto_refresh=False) as live:
            while True:
                time.sleep(_EVERY)
                try:
                    shown = picture.draw_status(kube.get_deployment(cluster, name), _now())
                except Refusal as error:
                    # The API server may only be restarting: keep the last picture.
                    live.update(Group(shown, make_text(str(error), "red")), refresh=True)
                else:
                    live.update(shown, refresh=True)


@app.command()
def history(name: Name, namespace: Namespace = None, context: Context = None) -> None:
    """List the kept revisions and what changed from one to the next."""
    with report_errors():
        cluster = kube.connect(context, namespace)
        found, records = _read_history(cluster, name)
        if not records:
            raise Refusal(
                f"{name} has no revisions yet. `kubectl llm status {name}` shows what it waits for."
            )
        Console().print(picture.draw_history(past.list_entries(found, records), _now()))


@app.command()
def diff(
    name: Name,
    one: Annotated[int, typer.Argument(metavar="A", help="A revision.", show_default=False)],
    other: Annotated[
        int | None,
        typer.Argument(
            metavar="[B]", help="Another revision (default: the stable one).", show_default=False
        ),
    ] = None,
    *,
    arm: ArmName = None,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Show the difference between revisions A and B."""
    with report_errors():
        found, records = _read_history(kube.connect(context, namespace), name)
        to = past.find_serving(found, arm) if other is None else other
        old, new = (past.find_record(found, records, number) for number in (one, to))
        lines = strip_controls(past.format_diff(old, new))
        if not lines:
            typer.echo(f"Revisions {one} and {to} are the same.")
        elif sys.stdout.isatty():
            Console().print(Syntax(lines, "diff", background_color="default", word_wrap=True))
        else:
            typer.echo(lines)


@app.command()
def undo(
    name: Name,
    *,
    to: Annotated[
        int | None,
        typer.Option(
            "--to", help="Revision (default: the one that served before).", show_default=False
        ),
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Restore an earlier revision's fields in the spec."""
    with report_errors():
        cluster = kube.connect(context, namespace)
        before, after, record = _undo(cluster, name, to)
        if after["metadata"]["generation"] == before["metadata"]["generation"]:
            typer.echo(
                f"The spec of {name} already asks for revision {record.number}. Nothing changed."
            )
            return
        old = {key: before["spec"].get(key, {}) for key in patches.TEMPLATE_FIELDS}
        new = {key: after["spec"].get(key, {}) for key in patches.TEMPLATE_FIELDS}
        typer.echo(past.describe_undo(before, record, past.list_changes(old, new), _now()))
        if who := find_caveat(before):
            typer.echo(who)


@app.command()
def promote(
    name: Name,
    *,
    step: Annotated[
        int | None,
        typer.Option(
            "--step",
            help="Pass steps up to this one (default: the current step).",
            show_default=False,
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Skip all remaining steps.")] = False,
    arm: ArmName = None,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Let the canary pass its current step."""
    with report_errors():
        if full and step is not None:
            raise Refusal("--step and --full cannot be combined. Use one of them.")
        if full:
            _annotate(name, namespace, context, lambda o: patches.promote_fully(o, arm))
        else:
            _annotate(name, namespace, context, lambda o: patches.promote(o, arm, step))


def _add_annotation_command(
    change: Callable[[Object, str | None], patches.Change], description: str
) -> None:
    """Register a command that annotates the object."""

    def command(
        name: Name, *, arm: ArmName = None, namespace: Namespace = None, context: Context = None
    ) -> None:
        with report_errors():
            _annotate(name, namespace, context, lambda o: change(o, arm))

    app.command(name=change.__name__, help=description)(command)


_add_annotation_command(
    patches.abort, "Abort the rollout: return the canary's traffic to the stable revision."
)
_add_annotation_command(patches.pause, "Keep the canary at its current weight.")
_add_annotation_command(patches.resume, "Resume a canary that was paused with `pause`.")
_add_annotation_command(patches.retry, "Retry a revision that was rolled back or aborted.")


@app.command(name="chat")
def converse(
    name: Name,
    *,
    once: Annotated[
        str | None,
        typer.Option(
            "--once", help="Send this one message, print the answer and exit.", show_default=False
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", help="URL of the gateway (default: kubectl port-forward).", show_default=False
        ),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file", help="File with the API key (default: $LLMD_API_KEY).", show_default=False
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option("--user", help="Send this user in the header x-user.", show_default=False),
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Talk to the model through the gateway; each answer shows its revision."""
    with report_errors():
        cluster = kube.connect(context, namespace)
        found = kube.get_deployment(cluster, name)
        model = (found.get("status") or {}).get("model") or name
        key = chat.read_key(key_file)
        way = nullcontext(url) if url else chat.forward_port(name, cluster.namespace, context)
        with way as base:
            endpoint = chat.Endpoint(base, model, key, user)
            if once is not None:
                _ask(endpoint, [_build_message("user", once)])
            else:
                _converse(endpoint)


app.command()(simulate.simulate)


def main() -> None:
    """Run the command."""
    app()


def _read_history(cluster: kube.Cluster, name: str) -> tuple[Object, tuple[past.Record, ...]]:
    return kube.get_deployment(cluster, name), past.read_records(kube.list_revisions(cluster, name))


def _undo(cluster: kube.Cluster, name: str, to: int | None) -> tuple[Object, Object, past.Record]:
    """Write the undo, and return the object before and after it and the record that was restored."""
    for left in reversed(range(_TRIES)):
        before, records = _read_history(cluster, name)
        record = past.find_undo_record(before, records, to)
        try:
            after = kube.patch(cluster, name, patches.build_undo(before, record.template))
        except Conflict:
            if not left:
                raise
        else:
            return before, after, record
    raise AssertionError("unreachable")


def _annotate(
    name: str,
    namespace: str | None,
    context: str | None,
    change: Callable[[Object], patches.Change],
) -> None:
    cluster = kube.connect(context, namespace)
    for left in reversed(range(_TRIES)):
        wanted = change(kube.get_deployment(cluster, name))
        try:
            kube.patch(cluster, name, wanted.patch)
        except Conflict:
            if not left:
                raise
        else:
            typer.echo(wanted.sentence)
            return


def _converse(endpoint: chat.Endpoint) -> None:
    messages: list[chat.Message] = []
    while (text := _read_line()) is not None:
        question = _build_message("user", text)
        try:
            messages += [
                question,
                _build_message("assistant", _ask(endpoint, [*messages, question])),
            ]
        except Refusal as error:
            # Keep the conversation so far: only this answer is lost.
            print_error(error)


def _read_line() -> str | None:
    """Return the next line that is not empty, or None at the end."""
    try:
        while not (text := input("> ").strip()):
            pass
    except EOFError:
        return None
    return text


def _ask(endpoint: chat.Endpoint, messages: list[chat.Message]) -> str:
    answer = chat.ask(endpoint, messages)
    arm = f" {answer.arm}" if answer.arm not in {None, "main"} else ""
    typer.secho(
        f"[r{strip_controls(answer.revision or '?')}{strip_controls(arm)}] ", nl=False, dim=True
    )
    whole = ""
    try:
        for piece in answer.pieces:
            whole += piece
            typer.echo(strip_controls(piece), nl=False)
    finally:
        typer.echo()
    return whole


def _build_message(role: str, content: str) -> chat.Message:
    return {"role": role, "content": content}


def _now() -> datetime:
    return datetime.now(UTC)
