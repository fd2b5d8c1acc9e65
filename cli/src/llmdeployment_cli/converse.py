"""The command that talks to a model."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from llmdeployment_cli import chat, kube
from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.exits import print_error
from llmdeployment_cli.flags import Flags
from llmdeployment_cli.options import Name
from llmdeployment_cli.terminal import strip_controls


def converse(
    flags: Flags,
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
) -> None:
    """Talk to the model through the gateway; each answer shows its revision."""
    cluster = kube.connect(flags)
    found = kube.get_deployment(cluster, name)
    model = (found.get("status") or {}).get("model") or name
    key = chat.read_key(key_file)
    way = (
        nullcontext(url) if url else chat.forward_port(f"svc/{name}", 80, cluster.namespace, flags)
    )
    with way as base:
        endpoint = chat.Endpoint(base, model, key, user)
        if once is not None:
            _ask(endpoint, [_build_message("user", once)])
        else:
            _converse(endpoint)


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
