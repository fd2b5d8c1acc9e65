"""What people ask of a rollout, by annotation.

Each names the revision it is meant for, so it says a state and not an event: applied twice it does nothing more, and for the next
revision it has no meaning. `kubectl annotate` sets them; GitOps tools leave annotations alone that are not in their source.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "llmdeployment.dev/"
_COMMAND = re.compile(r"[0-9]{1,9}(/[0-9]{1,9})?")


@dataclass(frozen=True)
class Commands:
    """The commands in force.

    Attributes:
        promote: revision and step that it may pass, or None in the step's place: all of them.
        abort: revision that is not to be rolled out.
        pause: revision whose rollout stays where it is.
        retry: revision and the failed attempt after which it is tried again.
    """

    promote: tuple[int, int | None] | None = None
    abort: int | None = None
    pause: int | None = None
    retry: tuple[int, int] | None = None

    def promotes(self, revision: int, step: int) -> bool:
        """Say whether a revision may pass a step, the first one being 1."""
        if self.promote is None or self.promote[0] != revision:
            return False
        return self.promote[1] is None or self.promote[1] >= step

    def promotes_fully(self, revision: int) -> bool:
        """Say whether a revision skips what is left of its steps."""
        return self.promote == (revision, None)


def commands_of(annotations: Mapping[str, str]) -> Commands:
    """Return the commands among an object's annotations; one that cannot be read is none.

    >>> commands_of({"llmdeployment.dev/promote": "3/2", "llmdeployment.dev/abort": "x"})
    Commands(promote=(3, 2), abort=None, pause=None, retry=None)
    """
    promote = _numbers(annotations, "promote")
    retry = _numbers(annotations, "retry")
    return Commands(
        promote=(promote[0], promote[1] if len(promote) > 1 else None) if promote else None,
        abort=_one(_numbers(annotations, "abort")),
        pause=_one(_numbers(annotations, "pause")),
        retry=(retry[0], retry[1]) if len(retry) > 1 else None,
    )


def _numbers(annotations: Mapping[str, str], name: str) -> tuple[int, ...]:
    text = annotations.get(PREFIX + name, "")
    return tuple(map(int, text.split("/"))) if _COMMAND.fullmatch(text) else ()


def _one(numbers: tuple[int, ...]) -> int | None:
    return numbers[0] if len(numbers) == 1 else None
