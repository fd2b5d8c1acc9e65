"""The work of `kubectl llm simulate`: read files, run simulations, print a picture."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.simulation import picture, plot
from llmdeployment_cli.simulation.options import SimulationOptions
from llmdeployment_cli.simulation.picture import FinishedRun
from llmdeployment_cli.simulation.reading import make_bar, read_documents, read_requests
from llmdeployment_cli.terminal import make_text, print_lines
from llmdeployment_operator.simulation.errors import InputError
from llmdeployment_operator.simulation.profile import Profile, read_profile
from llmdeployment_operator.simulation.rivals import find_rival
from llmdeployment_operator.simulation.spec import Subject, profile_for, subject
from llmdeployment_operator.simulation.study import Outcome, Setting, compare, outcome, sweep
from llmdeployment_operator.simulation.trace import Request, faster

if TYPE_CHECKING:
    from llmdeployment_operator.simulation.scalers import MadeDecision

OWN = "operator"
"""The operator's own autoscaler, in tables."""


def run(options: SimulationOptions) -> None:
    """Simulate, and print the results.

    Raises:
        Refusal: a file or an option cannot be used.
    """
    try:
        _check(options)
        wanted = subject(read_documents(options.file), str(options.file))
        profile = _choose_profile(options, wanted)
        with make_bar() as bar:
            traffic = _TraceReader(options, bar).read_again
            setting = Setting(traffic, profile, wanted.policy, _find_floor(options, wanted))
            shown = _run_own(options, wanted, setting)
            others = (
                list(compare(setting, shown.own, find_rival(wanted.policy)))
                if options.compare
                else []
            )
            curves = dict(_sweep_targets(setting)) if options.sweep else {}
    except InputError as error:
        raise Refusal(str(error)) from error
    _print(options, shown, others, curves)


class _TraceReader:
    """Reads the trace as often as it is needed, and shows how far it is."""

    def __init__(self, options: SimulationOptions, bar: Progress) -> None:
        self._options = options
        self._bar = bar
        self._runs = 0
        self._task = bar.add_task("", total=None)

    def read_again(self) -> Iterable[Request]:
        """Start the trace from its first request."""
        self._runs += 1
        self._bar.reset(self._task, description=f"run {self._runs}", total=self._find_size())
        return faster(self._read_requests(), self._options.speed)

    def _read_requests(self) -> Iterator[Request]:
        return read_requests(
            self._options.trace, lambda read: self._bar.update(self._task, completed=read)
        )

    def _find_size(self) -> int | None:
        path = Path(self._options.trace)
        return path.stat().st_size if path.is_file() else None


def _run_own(options: SimulationOptions, wanted: Subject, setting: Setting) -> FinishedRun:
    """Run the operator's own autoscaler on the trace."""
    changes: list[MadeDecision] = []
    result = setting.run(setting.law(lambda one: changes.append(one) if one.acts else None))
    own = outcome(OWN, result, wanted.policy.targets)
    return FinishedRun(
        wanted.name, Path(options.trace).name, options.speed, result, own, changes, options.price
    )


def _find_floor(options: SimulationOptions, wanted: Subject) -> Callable[[float], int] | None:
    """Return the minimum that the schedules ask for at a time of the simulation."""
    if not wanted.schedules:
        return None
    if options.begins is None:
        raise Refusal(
            "spec.scaling.schedules depend on the time of day. Give the start of the trace, such as --begins 2026-11-24T08:00:00+01:00."
        )
    begins = options.begins if options.begins.tzinfo else options.begins.replace(tzinfo=UTC)
    return wanted.minimum_at(begins.timestamp(), options.speed)


def _sweep_targets(setting: Setting) -> Iterator[tuple[str, list[Outcome]]]:
    for target in setting.policy.targets:
        yield target.metric, list(sweep(setting, target.metric))


def _print(
    options: SimulationOptions,
    shown: FinishedRun,
    others: Sequence[Outcome],
    curves: Mapping[str, Sequence[Outcome]],
) -> None:
    console = Console()
    print_lines(picture.draw_run(shown, options.decisions), console)
    if others:
        scalers = [shown.own, *others]
        print_lines(picture.draw_outcomes("scaler", scalers, options.price), console)
    for metric, rows in curves.items():
        print_lines(picture.draw_outcomes(f"target on {metric}", rows, options.price), console)
    if options.picture is not None:
        try:
            plot.write_png(shown, options.picture)
        except (OSError, ValueError) as error:
            raise Refusal(
                f"{options.picture} cannot be written: {error}. Choose another path with --picture."
            ) from error
        console.print(make_text(f"Wrote the picture to {options.picture}."))


def _check(options: SimulationOptions) -> None:
    if not 0 < options.speed < math.inf:
        raise Refusal(f"--speed is {options.speed:g}; it must be a number above 0, such as 4.")
    if options.warm_up is not None and not 0 <= options.warm_up < math.inf:
        raise Refusal(
            f"--warm-up is {options.warm_up:g}; it must be a number of seconds, 0 or more."
        )
    if options.price is not None and not 0 <= options.price < math.inf:
        raise Refusal(
            f"--price-per-replica-hour is {options.price:g}; it must be a number, 0 or more."
        )


def _choose_profile(options: SimulationOptions, wanted: Subject) -> Profile:
    forwarded = None if options.profile is None else read_profile(options.profile)
    profile = profile_for(wanted, forwarded)
    if options.warm_up is None:
        return profile
    return profile.model_copy(update={"warm_up_seconds": options.warm_up})
