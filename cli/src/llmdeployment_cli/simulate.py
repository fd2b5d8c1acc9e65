"""`kubectl llm simulate`: its options. What it does is in the package `simulation`, which needs the extra of that name."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from llmdeployment_cli.errors import Refusal, report_errors
from llmdeployment_cli.simulation.options import SimulationOptions

MISSING = (
    "simulate runs the operator's own code, which is not installed: pip install 'llmdeployment-cli[simulate]' "
    "(in a clone: pip install ./operator './cli[simulate]')"
)


def simulate(  # noqa: PLR0913  because a command has options
    *,
    file: Annotated[
        Path,
        typer.Option("--filename", "-f", help="YAML with the LLMDeployment.", show_default=False),
    ],
    trace: Annotated[
        str,
        typer.Option(
            "--trace",
            help="Requests over time: Azure CSV, Mooncake JSON lines, or CSV with seconds,prompt_tokens,output_tokens; .gz too. "
            "Or made-up ones: poisson:rate=5,seconds=3600 (bursts, ramp, steps, diurnal).",
            show_default=False,
        ),
    ],
    engine_profile: Annotated[
        Path | None,
        typer.Option(
            "--engine-profile",
            help="JSON that says what one replica can do; else a simulated engine's own flags do.",
            show_default=False,
        ),
    ] = None,
    speed: Annotated[
        float, typer.Option("--speed", help="Replay the trace so many times as fast.")
    ] = 1.0,
    warm_up: Annotated[
        float | None,
        typer.Option(
            "--warm-up",
            help="Seconds from a replica's order to its first request; else the profile's.",
            show_default=False,
        ),
    ] = None,
    begins: Annotated[
        datetime | None,
        typer.Option(
            "--begins",
            formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S"],
            help="When the trace begins, for schedules; UTC unless it says otherwise.",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also fixed numbers and other autoscalers.")
    ] = False,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Also what other targets would cost.")
    ] = False,
    price_per_replica_hour: Annotated[
        float | None,
        typer.Option(
            "--price-per-replica-hour",
            help="In any currency; the costs are in the same.",
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="Write a PNG of the run.", show_default=False),
    ] = None,
    decisions: Annotated[int, typer.Option("--decisions", help="How many to list.")] = 12,
) -> None:
    """Replay recorded traffic through the code that scales: latencies, replicas, costs, decisions."""
    with report_errors():
        options = SimulationOptions(
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
        try:
            from llmdeployment_cli.simulation import command  # noqa: PLC0415  because the extra may be missing
        except ImportError as error:
            raise Refusal(MISSING) from error
        command.run(options)
