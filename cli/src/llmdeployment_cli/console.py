"""The command `kubectl llm console`. The package `llmdeployment-console` does the work."""

from typing import Annotated

import typer

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.flags import Flags

MISSING = (
    "the console is a package of its own, which is not installed. Run: pip install llmdeployment-console "
    "(in a clone: pip install ./operator ./cli ./console)"
)


def console(
    flags: Flags,
    *,
    port: Annotated[
        int, typer.Option("--port", help="Port of 127.0.0.1; 0 is a free one.", min=0, max=65535)
    ] = 0,
    all_namespaces: Annotated[
        bool,
        typer.Option("--all-namespaces", "-A", help="Show the LLMDeployments of all namespaces."),
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address, and open no browser.")
    ] = False,
    prometheus_url: Annotated[
        str | None,
        typer.Option(
            "--prometheus-url",
            help="Prometheus that has more than the last hour, such as http://127.0.0.1:9090.",
        ),
    ] = None,
) -> None:
    """Open a web page with rollouts, their evidence, latencies, costs, and a chat side by side."""
    try:
        from llmdeployment_console import command  # noqa: PLC0415  # because the package may be missing
    except ImportError as error:
        raise Refusal(MISSING) from error
    command.run(
        flags,
        port,
        everywhere=all_namespaces,
        opens=not no_browser,
        report=typer.echo,
        prometheus_url=prometheus_url,
    )
