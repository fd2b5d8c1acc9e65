"""The command `kubectl llm simulate`. The package `simulation` does the work, and needs the extra `simulate`."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.exits import report_errors
from llmdeployment_cli.output import DocumentFormat
from llmdeployment_cli.simulation.options import RehearsalOptions, SimulationOptions

MISSING = (
    "simulate runs the operator's own code, which is not installed. Run: pip install 'llmdeployment-cli[simulate]' "
    "(in a clone: pip install ./operator './cli[simulate]')"
)
NOTHING = (
    "Nothing is named that could be simulated. Give -f FILE to simulate autoscaling, "
    "or --rollout FILE to rehearse a rollout."
)
REHEARSAL = "Rehearsal of a rollout"


def simulate(  # noqa: PLR0913  # because a command has options
    *,
    trace: Annotated[
        str,
        typer.Option(
            "--trace",
            help="Requests over time: Azure CSV, Mooncake JSON lines, the request log, "
            "or CSV with seconds,prompt_tokens,output_tokens; .gz too. "
            "Or generated ones: poisson:rate=5,seconds=3600 (bursts, ramp, steps, diurnal).",
            show_default=False,
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "--filename",
            "-f",
            help="YAML file with the LLMDeployment whose autoscaling is simulated.",
            show_default=False,
        ),
    ] = None,
    engine_profile: Annotated[
        Path | None,
        typer.Option(
            "--engine-profile",
            help="JSON file with the speed of one replica (default: the flags of a simulated engine).",
            show_default=False,
        ),
    ] = None,
    speed: Annotated[
        float, typer.Option("--speed", help="Replay the trace this many times faster.")
    ] = 1.0,
    warm_up: Annotated[
        float | None,
        typer.Option(
            "--warm-up",
            help="Seconds from a replica's order to its first request (default: the profile's).",
            show_default=False,
        ),
    ] = None,
    begins: Annotated[
        datetime | None,
        typer.Option(
            "--begins",
            formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S"],
            help="When the trace begins, for schedules; UTC unless an offset is given.",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Also simulate fixed numbers of replicas and other autoscalers."
        ),
    ] = False,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Also simulate other targets, to compare their costs.")
    ] = False,
    price_per_replica_hour: Annotated[
        float | None,
        typer.Option(
            "--price-per-replica-hour",
            help="Price in any currency; costs are printed in the same one.",
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="Write a PNG of the run.", show_default=False),
    ] = None,
    decisions: Annotated[
        int, typer.Option("--decisions", help="Number of decisions to list.")
    ] = 12,
    rollout: Annotated[
        Path | None,
        typer.Option(
            "--rollout",
            help="Rehearse the rollout of the LLMDeployment in this YAML file, instead of -f.",
            show_default=False,
            rich_help_panel=REHEARSAL,
        ),
    ] = None,
    harm: Annotated[
        list[str] | None,
        typer.Option(
            "--harm",
            metavar="METRIC=HARM",
            help="A bad canary: errors=5 (percent of requests), ttft=2x (twice as long), refusal=2x. May be repeated "
            "(default: errors=5 and ttft=2x).",
            show_default=False,
            rich_help_panel=REHEARSAL,
        ),
    ] = None,
    stable: Annotated[
        list[str] | None,
        typer.Option(
            "--stable",
            metavar="METRIC=PERCENT",
            help="Percent of the stable revision's requests that are bad, such as ttft=8. May be repeated.",
            show_default=False,
            rich_help_panel=REHEARSAL,
        ),
    ] = None,
    users: Annotated[
        int, typer.Option("--users", help="Number of users.", rich_help_panel=REHEARSAL)
    ] = 5000,
    correlation: Annotated[
        float,
        typer.Option(
            "--correlation",
            help="How alike two requests of one user are, from 0 to 1.",
            rich_help_panel=REHEARSAL,
        ),
    ] = 0.02,
    replicas: Annotated[
        int | None,
        typer.Option(
            "--replicas",
            help="Replicas that carry all requests (default: the spec's).",
            show_default=False,
            rich_help_panel=REHEARSAL,
        ),
    ] = None,
    runs: Annotated[
        int,
        typer.Option("--runs", help="Rehearsals of each canary.", rich_help_panel=REHEARSAL),
    ] = 20,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of chance.", rich_help_panel=REHEARSAL)
    ] = 1,
    output: Annotated[
        DocumentFormat | None,
        typer.Option(
            "--output",
            "-o",
            help="Print a document for programs.",
            show_default=False,
            rich_help_panel=REHEARSAL,
        ),
    ] = None,
) -> None:
    """Replay recorded traffic through the autoscaler, or rehearse a rollout on it with --rollout."""
    with report_errors():
        if rollout is not None:
            _refuse_others(
                "--rollout",
                {
                    "--filename": file,
                    "--engine-profile": engine_profile,
                    "--begins": begins,
                    "--compare": compare,
                    "--sweep": sweep,
                    "--price-per-replica-hour": price_per_replica_hour,
                    "--picture": picture,
                },
            )
            _rehearse(
                RehearsalOptions(
                    file=rollout,
                    trace=trace,
                    speed=speed,
                    warm_up=warm_up,
                    harms=tuple(harm or ()),
                    stable=tuple(stable or ()),
                    users=users,
                    correlation=correlation,
                    replicas=replicas,
                    runs=runs,
                    seed=seed,
                    output=output,
                )
            )
            return
        if file is None:
            raise Refusal(NOTHING)
        _refuse_others(
            "--filename",
            {"--harm": harm, "--stable": stable, "--replicas": replicas, "--output": output},
        )
        _simulate(
            SimulationOptions(
                file=file,
                trace=trace,
                profile=engine_profile,
                speed=speed,
                warm_up=warm_up,
                begins=begins,
                price=price_per_replica_hour,
                compare=compare,
                sweep=sweep,
                picture=picture,
                decisions=decisions,
            )
        )


def _refuse_others(kind: str, others: Mapping[str, object]) -> None:
    """Refuse options that mean nothing beside `kind`.

    Raises:
        Refusal: one of them has a value.
    """
    used = [name for name, value in others.items() if value]
    if used:
        raise Refusal(f"{' and '.join(used)} cannot be combined with {kind}. Leave one out.")


def _simulate(options: SimulationOptions) -> None:
    try:
        from llmdeployment_cli.simulation import command  # noqa: PLC0415  # because the extra may be missing
    except ImportError as error:
        raise Refusal(MISSING) from error
    command.run(options)


def _rehearse(options: RehearsalOptions) -> None:
    try:
        from llmdeployment_cli.simulation import rehearse  # noqa: PLC0415  # because the extra may be missing
    except ImportError as error:
        raise Refusal(MISSING) from error
    rehearse.run(options)
