"""What `kubectl llm simulate` does: files in, runs, a picture out."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.simulate import Wish
from llmdeployment_cli.simulation import picture, plot
from llmdeployment_cli.simulation.picture import Shown
from llmdeployment_cli.terminal import words
from llmdeployment_operator.simulation.errors import InputError
from llmdeployment_operator.simulation.profile import Profile, read_profile
from llmdeployment_operator.simulation.recipes import is_recipe, make_trace
from llmdeployment_operator.simulation.rivals import find_rival
from llmdeployment_operator.simulation.spec import Subject, profile_for, subject
from llmdeployment_operator.simulation.study import Outcome, Setting, compare, outcome, sweep
from llmdeployment_operator.simulation.trace import Request, faster, read_trace

if TYPE_CHECKING:
    from llmdeployment_operator.simulation.scalers import MadeDecision

OWN = "operator"
"""The operator's own law, in tables."""


def run(wish: Wish) -> None:
    """Simulate, and print what was found.

    Raises:
        Refusal: Something that was given cannot be used.
    """
    try:
        _check(wish)
        wanted = subject(_documents(wish.file), str(wish.file))
        profile = _profile(wish, wanted)
        with _bar() as bar:
            traffic = _Reading(wish, bar).traffic
            setting = Setting(traffic, profile, wanted.policy, _floor(wish, wanted))
            shown = _own(wish, wanted, setting)
            others = (
                list(compare(setting, shown.own, find_rival(wanted.policy))) if wish.compare else []
            )
            curves = dict(_curves(setting)) if wish.sweep else {}
    except InputError as error:
        raise Refusal(str(error)) from error
    _print(wish, shown, others, curves)


class _Reading:
    """The trace, as often as it is needed, and how far it is read."""

    def __init__(self, wish: Wish, bar: Progress) -> None:
        self._wish = wish
        self._bar = bar
        self._runs = 0
        self._task = bar.add_task("", total=None)

    def traffic(self) -> Iterable[Request]:
        """Begin it again."""
        self._runs += 1
        self._bar.reset(self._task, description=f"run {self._runs}", total=self._size())
        return faster(self._requests(), self._wish.speed)

    def _requests(self) -> Iterator[Request]:
        trace = self._wish.trace
        if is_recipe(trace):
            return make_trace(trace)
        return read_trace(Path(trace), lambda read: self._bar.update(self._task, completed=read))

    def _size(self) -> int | None:
        path = Path(self._wish.trace)
        return path.stat().st_size if path.is_file() else None


def _bar() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    return Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _own(wish: Wish, wanted: Subject, setting: Setting) -> Shown:
    """Return what the operator's law makes of it."""
    changes: list[MadeDecision] = []
    result = setting.run(setting.law(lambda one: changes.append(one) if one.acts else None))
    own = outcome(OWN, result, wanted.policy.targets)
    return Shown(wanted.name, Path(wish.trace).name, wish.speed, result, own, changes, wish.price)


def _floor(wish: Wish, wanted: Subject) -> Callable[[float], int] | None:
    """Return the minimum that the schedules ask for at a time of the simulation."""
    if not wanted.schedules:
        return None
    if wish.begins is None:
        raise Refusal(
            "spec.scaling.schedules go by the time of day: say when the trace begins, such as --begins 2026-11-24T08:00:00+01:00"
        )
    begins = wish.begins if wish.begins.tzinfo else wish.begins.replace(tzinfo=UTC)
    return wanted.minimum_at(begins.timestamp(), wish.speed)


def _curves(setting: Setting) -> Iterator[tuple[str, list[Outcome]]]:
    for target in setting.policy.targets:
        yield target.metric, list(sweep(setting, target.metric))


def _print(
    wish: Wish, shown: Shown, others: Sequence[Outcome], curves: Mapping[str, Sequence[Outcome]]
) -> None:
    console = Console()
    console.print(picture.picture(shown, wish.decisions))
    if others:
        console.print(picture.table("scaler", [shown.own, *others], wish.price))
    for metric, rows in curves.items():
        console.print(picture.table(f"target on {metric}", rows, wish.price))
    if wish.picture is not None:
        try:
            plot.write(shown, wish.picture)
        except (OSError, ValueError) as error:
            raise Refusal(f"{wish.picture} cannot be written: {error}") from error
        console.print(words(f"The picture is in {wish.picture}."))


def _check(wish: Wish) -> None:
    if not 0 < wish.speed < math.inf:
        raise Refusal(f"--speed is {wish.speed:g}; it is a number above 0, such as 4")
    if wish.warm_up is not None and not 0 <= wish.warm_up < math.inf:
        raise Refusal(f"--warm-up is {wish.warm_up:g}; it is a number of seconds from 0 on")
    if wish.price is not None and not 0 <= wish.price < math.inf:
        raise Refusal(f"--price-per-replica-hour is {wish.price:g}; it is a number from 0 on")


def _documents(path: Path) -> list[object]:
    try:
        return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise Refusal(f"{path} is no YAML: {' '.join(str(error).split())}") from error


def _profile(wish: Wish, wanted: Subject) -> Profile:
    forwarded = None if wish.profile is None else read_profile(wish.profile)
    profile = profile_for(wanted, forwarded)
    if wish.warm_up is None:
        return profile
    return profile.model_copy(update={"warm_up_seconds": wish.warm_up})
