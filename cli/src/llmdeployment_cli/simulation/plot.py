"""A simulation as a PNG: load, latency and replicas over time."""

from collections.abc import Sequence
from math import inf, nan
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from llmdeployment_cli.simulation.picture import FinishedRun, format_percent
from llmdeployment_operator.simulation.series import latency, slots
from llmdeployment_operator.simulation.study import find_scaler

_SLOTS = 200


def draw_figure(shown: FinishedRun) -> Figure:
    """Return the figure: requests per second, one axis per target, replicas."""
    targets = shown.own.targets
    found = Figure(figsize=(10, 2.2 * (2 + len(targets))), layout="constrained")
    FigureCanvasAgg(found)
    grid = found.subplots(2 + len(targets), 1, sharex=True, squeeze=False)
    axes: list[Axes] = list(grid[:, 0])
    over = slots(shown.result, _SLOTS)
    minutes = [index * over.seconds / 60 for index in range(_SLOTS)]
    axes[0].fill_between(minutes, over.load, step="post", color="tab:cyan", alpha=0.6)
    axes[0].set_ylabel("requests/s")
    speed = f" at {shown.speed:g} times its speed" if shown.speed != 1 else ""
    axes[0].set_title(f"{shown.name}: {shown.trace}{speed}")
    for index, (target, share) in enumerate(zip(targets, shown.own.attainments, strict=True)):
        axis = axes[1 + index]
        _draw_latency(axis, shown, index, minutes)
        axis.set_title(
            f"{format_percent(share)} within {find_scaler(target)}", fontsize="small", loc="right"
        )
    axes[-1].step(minutes, over.existing, where="post", color="tab:gray", label="paid")
    axes[-1].step(minutes, over.ready, where="post", color="tab:blue", label="ready")
    axes[-1].set_ylabel("replicas")
    axes[-1].set_ylim(bottom=0)
    axes[-1].legend(loc="upper right", fontsize="small")
    axes[-1].set_xlabel("minutes")
    return found


def write_png(shown: FinishedRun, path: Path) -> None:
    """Write the figure as a PNG, whatever the suffix of the file."""
    draw_figure(shown).savefig(path, format="png", dpi=120)


def _draw_latency(axis: Axes, shown: FinishedRun, index: int, minutes: Sequence[float]) -> None:
    """Draw a percentile per slot, in milliseconds, and the target. A slot with refused requests is a gap."""
    target = shown.own.targets[index]
    values = latency(shown.result, target.metric, target.percentile, _SLOTS)
    drawn = [nan if value is None or value == inf else value * 1000 for value in values]
    axis.plot(minutes, drawn, ".-", color="tab:green", markersize=2, linewidth=1)
    axis.axhline(target.seconds * 1000, color="tab:red", linewidth=1, linestyle="--")
    axis.set_ylabel(f"{target.metric} p{target.percentile}, ms")
    axis.set_yscale("log")
