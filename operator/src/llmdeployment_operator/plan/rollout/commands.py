"""What people ask of a rollout, by annotation.

Each names the revision it is meant for, so it says a state and not an event: applied twice it does nothing more, and for the next
revision it has no meaning. One annotation may name several, as `3/1,4/2`, because arms have rollouts of their own. `kubectl annotate`
sets them; GitOps tools leave annotations alone that are not in their source.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

PREFIX = "llmdeployment.dev/"
_COMMAND = re.compile(r"[0-9]{1,9}(/[0-9]{1,9})?")


@dataclass(frozen=True)
class Commands:
    """The commands in force.

    Attributes:
        promote: by revision, the step that it may pass, or None: all of them.
        abort: revisions that are not to be rolled out.
        pause: revisions whose rollout stays where it is.
        retry: by revision, the failed attempt after which it is tried again.
    """

    promote: Mapping[int, int | None] = field(default_factory=dict)
    abort: AbstractSet[int] = frozenset()
    pause: AbstractSet[int] = frozenset()
    retry: Mapping[int, int] = field(default_factory=dict)

    def promotes(self, revision: int, step: int) -> bool:
        """Say whether a revision may pass a step, the first one being 1."""
        if revision not in self.promote:
            return False
        last = self.promote[revision]
        return last is None or last >= step

    def promotes_fully(self, revision: int) -> bool:
        """Say whether a revision skips what is left of its steps."""
        return self.promote.get(revision, 0) is None


def read_commands(annotations: Mapping[str, str]) -> Commands:
    """Return the commands among an object's annotations; one that cannot be read is none, of two for one revision the last counts.

    >>> found = read_commands({"llmdeployment.dev/promote": "3/2, 4", "llmdeployment.dev/abort": "x,5"})
    >>> found.promote, sorted(found.abort)
    ({3: 2, 4: None}, [5])
    """
    return Commands(
        promote={
            numbers[0]: numbers[1] if len(numbers) > 1 else None
            for numbers in _parse_annotation(annotations, "promote")
        },
        abort=frozenset(n[0] for n in _parse_annotation(annotations, "abort") if len(n) == 1),
        pause=frozenset(n[0] for n in _parse_annotation(annotations, "pause") if len(n) == 1),
        retry={n[0]: n[1] for n in _parse_annotation(annotations, "retry") if len(n) > 1},
    )


def _parse_annotation(annotations: Mapping[str, str], name: str) -> list[tuple[int, ...]]:
    texts = (text.strip() for text in annotations.get(PREFIX + name, "").split(","))
    return [tuple(map(int, text.split("/"))) for text in texts if _COMMAND.fullmatch(text)]
