"""`python -m llmdeployment_serving.ray_start`: `ray start`, except that a slow agent does not end the node.

Ray's node process, the raylet, waits 15 s for each agent's port that it was not told, and then ends
(https://github.com/ray-project/ray/issues/65983). Ray 2.60 passes every port on except that of the dashboard agent's HTTP server, though
the raylet has a flag for it. So this module adds the flag.
"""

import re
import sys
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
Process = TypeVar("Process")
_raylet = "raylet"


def add_agent_port(command: list[str]) -> list[str]:
    """Return a raylet's `command` with the HTTP port that it gives its dashboard agent; unchanged if that port is not fixed."""
    given = re.search(r"--listen-port=([1-9]\d*)", " ".join(command))
    return [*command, f"--dashboard_agent_listen_port={given[1]}"] if given else command


def wrap_start(
    start: Callable[Concatenate[list[str], str, P], Process],
) -> Callable[Concatenate[list[str], str, P], Process]:
    """Return `start_ray_process(command, process_type, ...)` of Ray, for which a raylet knows its agent's port."""

    def start_process(
        command: list[str], process_type: str, /, *args: P.args, **options: P.kwargs
    ) -> Process:
        told = add_agent_port(command) if process_type == _raylet else command
        return start(told, process_type, *args, **options)

    return start_process


def main() -> None:
    """Run Ray's own command line."""
    from ray._private import services  # noqa: PLC0415  # because tests of this module need no Ray
    from ray.scripts import scripts  # noqa: PLC0415  # because of the same

    services.start_ray_process = wrap_start(services.start_ray_process)
    sys.exit(scripts.main())


if __name__ == "__main__":
    main()
