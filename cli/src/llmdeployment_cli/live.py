"""A picture that is drawn anew every second until Ctrl-C."""

import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live

from llmdeployment_cli.errors import Refusal
from llmdeployment_cli.terminal import make_text

_EVERY = 1.0
"""Seconds between two reads."""


def watch(draw: Callable[[int], RenderableType]) -> None:
    """Show a picture until Ctrl-C.

    Args:
        draw: reads and draws for a terminal of so many columns.

    Raises:
        Refusal: the first read failed. A later one leaves the picture as it is.
    """
    console = Console()
    shown = draw(console.width)
    with Live(shown, console=console, auto_refresh=False) as live:
        while True:
            time.sleep(_EVERY)
            try:
                shown = draw(console.width)
            except Refusal as error:
                # The API server may only be restarting: keep the last picture.
                live.update(Group(shown, make_text(str(error), "red")), refresh=True)
            else:
                live.update(shown, refresh=True)
