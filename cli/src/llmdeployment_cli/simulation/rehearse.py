"""What `kubectl llm simulate --rollout` does: it rehearses a rollout with the operator's code, and reports."""

import typer
from rich.console import Console
from rich.progress import Progress

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.output import format_document
from llmdeployment_cli.simulation.options import RehearsalOptions
from llmdeployment_cli.simulation.reading import make_bar, read_documents, read_requests
from llmdeployment_cli.simulation.rehearsal_document import Rehearsal, summarize_rehearsal
from llmdeployment_cli.simulation.rehearsal_picture import draw_rehearsal
from llmdeployment_cli.terminal import print_lines
from llmdeployment_operator.rehearsal.change import Change, read_change
from llmdeployment_operator.rehearsal.harms import (
    DEFAULT,
    SAME,
    find_shares,
    parse_harm,
    parse_shares,
)
from llmdeployment_operator.rehearsal.report import rehearse_harms
from llmdeployment_operator.rehearsal.run import World
from llmdeployment_operator.rehearsal.traffic import Traffic, read_traffic
from llmdeployment_operator.simulation.errors import InputError
from llmdeployment_operator.simulation.trace import faster

WARM_UP_SECONDS = 120.0
"""From a replica's order to its first request, where nobody says how long: a large model is read from a disk."""


def run(options: RehearsalOptions) -> None:
    """Rehearse, and print what comes of it.

    Raises:
        Refusal: a file or an option cannot be used.
    """
    try:
        with make_bar() as bar:
            found = _rehearse(options, bar)
    except InputError as error:
        raise Refusal(str(error)) from error
    if options.output is not None:
        typer.echo(format_document(summarize_rehearsal(found), options.output))
        return
    console = Console()
    print_lines(draw_rehearsal(found), console)


def _rehearse(options: RehearsalOptions, bar: Progress) -> Rehearsal:
    _check(options)
    change = read_change(read_documents(options.file), str(options.file), options.replicas)
    # Without a canary that does no harm nobody knows how often one is rolled back.
    harms = [parse_harm(each) for each in dict.fromkeys((SAME, *(options.harms or DEFAULT)))]
    known = parse_shares(options.stable)
    requests = faster(read_requests(options.trace), options.speed)
    traffic = read_traffic(requests, options.trace)
    world = _build_world(options, change, traffic, known)
    task = bar.add_task("rehearsals", total=len(harms) * options.runs)
    cases = rehearse_harms(
        world, harms, options.runs, options.seed, lambda over: bar.update(task, completed=over)
    )
    return Rehearsal(world, cases, options.trace, options.speed, options.runs, options.seed)


def _build_world(
    options: RehearsalOptions, change: Change, traffic: Traffic, known: dict[str, float]
) -> World:
    analysis = change.policy.analysis
    metrics = analysis.metrics if analysis is not None else ()
    return World(
        change=change,
        traffic=traffic,
        users=options.users,
        correlation=options.correlation,
        warm_up=WARM_UP_SECONDS if options.warm_up is None else options.warm_up,
        stable=find_shares(metrics, known, traffic.answers),
    )


_BOUNDS = {"users": (1, 100_000), "runs": (1, 10_000), "replicas": (1, 1000)}


def _check(options: RehearsalOptions) -> None:
    for name, (least, most) in _BOUNDS.items():
        value = getattr(options, name)
        if value is not None and not least <= value <= most:
            raise Refusal(f"--{name} is {value}; it must be from {least} to {most}.")
    if not 0 <= options.correlation < 1:
        raise Refusal(
            f"--correlation is {options.correlation:g}; it must be from 0 to below 1, such as 0.05."
        )
    if options.warm_up is not None and not 0 <= options.warm_up <= 86400:  # noqa: PLR2004  # because a day has these seconds
        raise Refusal(
            f"--warm-up is {options.warm_up:g}; it must be a number of seconds, 0 to 86400."
        )
