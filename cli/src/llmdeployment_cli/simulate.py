"""The command `kubectl llm simulate`. The package `simulation` does the work, and needs the extra `simulate`."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from llmdeployment_cli.errors import Refusal, report_errors
from llmdeployment_cli.simulation.options import SimulationOptions

MISSING = (
    "simulate runs the operator's own code, which is not installed. Run: pip install 'llmdeployment-cli[simulate]' "
    "(in a clone: pip install ./operator './cli[simulate]')"
)


def simulate(  # noqa: PLR0913  # because a command has options
    *,
    file: Annotated[
        Path,
        typer.Option(
            "--filename", "-f", help="YAML file with the LLMDeployment.", show_default=False
        ),
    ],
    trace: Annotated[
        str,
        typer.Option(
            "--trace",
            help="Requests over time: Azure CSV, Mooncake JSON lines, or CSV with seconds,prompt_tokens,output_tokens; .gz too. "
            "Or generated ones: poisson:rate=5,seconds=3600 (bursts, ramp, steps, diurnal).",
            show_default=False,
        ),
    ],
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
) -> None:
    """Replay recorded traffic through the autoscaler: latencies, replicas, costs, decisions."""
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
            from llmdeployment_cli.simulation import command  # noqa: PLC0415  # because the extra may be missing
        except ImportError as error:
            raise Refusal(MISSING) from error
        command.run(options)
