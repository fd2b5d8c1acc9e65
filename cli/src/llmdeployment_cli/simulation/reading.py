"""Files that a simulation reads, and the bar that tells how far it is."""

from collections.abc import Callable, Iterator
from pathlib import Path

import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from llmdeployment_cli.errors import Refusal
from llmdeployment_operator.simulation.recipes import is_recipe, make_trace
from llmdeployment_operator.simulation.trace import Request, read_trace


def read_documents(path: Path) -> list[object]:
    """Return the documents of a YAML file.

    Raises:
        Refusal: it cannot be read, or is no YAML.
    """
    try:
        return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise Refusal(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


def read_requests(trace: str, progress: Callable[[int], None] | None = None) -> Iterator[Request]:
    """Return the requests of a file or of a recipe; `progress` hears how many bytes of a file were read."""
    return make_trace(trace) if is_recipe(trace) else read_trace(Path(trace), progress)


def make_bar() -> Progress:
    """Return a bar on stderr, which shows only where a terminal is."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    return Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
