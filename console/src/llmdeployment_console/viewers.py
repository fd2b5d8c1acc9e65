"""Who looks at the console, and as whom a request is let in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request

SCOPE_KEY = "llmdeployment.viewer"
"""Where the guard leaves the viewer for the routes."""


@dataclass(frozen=True)
class Viewer:
    """A person at the page, as the API server knows them.

    Attributes:
        user: the name; empty where nobody says who it is.
        groups: theirs, without those that the API server adds by itself.
    """

    user: str = ""
    groups: tuple[str, ...] = ()


ANYBODY = Viewer()
"""Who uses a console that asks nobody for a name."""

Entrance = Callable[[str, str, Mapping[str, str]], Viewer]
"""Takes method, path and headers; returns the viewer, or raises `RequestRefused`."""


def get_viewer(request: Request) -> Viewer:
    """Return who a request is from."""
    viewer: Viewer = request.scope[SCOPE_KEY]
    return viewer
