"""What the answers of one cell of the rollout matrix say: pure counts over what clients saw."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

OK = 200


@dataclass(frozen=True)
class Answer:
    """What one client saw.

    Attributes:
        user: the `x-user` it asked as.
        started: when it asked, in seconds of a monotonic clock.
        ended: when the last byte came, or the failure.
        status: HTTP's; 0: no answer at all.
        revision: the header `x-llm-revision`.
        said: what the content says: the version's letter; several, when it says several.
        stream: whether it was a long stream.
        whole: whether it came to its end.
        error: the failure, for people.
    """

    user: str
    started: float
    ended: float
    status: int
    revision: str = ""
    said: str = ""
    stream: bool = False
    whole: bool = True
    error: str = ""


@dataclass(frozen=True)
class Applied:
    """A version the spec was given, and when."""

    letter: str
    at: float


@dataclass(frozen=True)
class Verdict:
    """The counts of one cell; all but the first two must be 0."""

    requests: int
    streams: int
    failed: int
    cut: int
    wrong: int
    moved_back: int

    @property
    def clean(self) -> bool:
        """Whether nothing was lost."""
        return not (self.failed or self.cut or self.wrong or self.moved_back)


def judge_cell(
    answers: Sequence[Answer], applied: Sequence[Applied], letters: Mapping[str, str]
) -> Verdict:
    """Return the counts.

    Args:
        answers: everything that was asked.
        applied: the spec's versions in order.
        letters: the version each revision number stands for, as the ControllerRevisions say.
    """
    streams = [answer for answer in answers if answer.stream]
    return Verdict(
        requests=len(answers) - len(streams),
        streams=len(streams),
        failed=sum(answer.status != OK for answer in answers),
        cut=sum(answer.status == OK and not answer.whole for answer in answers),
        wrong=sum(_wrong(answer, applied, letters) for answer in answers),
        moved_back=_moved_back(answers, applied, letters),
    )


def _wrong(answer: Answer, applied: Sequence[Applied], letters: Mapping[str, str]) -> bool:
    """Return whether an answer is of another revision than it says, or of one that was not asked for yet."""
    if answer.status != OK or not (answer.said or answer.whole):
        return False
    known = {version.letter for version in applied if version.at <= answer.ended}
    return letters.get(answer.revision) != answer.said or answer.said not in known


def _moved_back(
    answers: Iterable[Answer], applied: Sequence[Applied], letters: Mapping[str, str]
) -> int:
    """Return how many users had the new version within one rollout and then another one.

    A rollout lasts from its change of the spec to the next one. Only a request that began after the user's first answer by the new
    version had ended counts: two that overlap have no order.
    """
    ends = [version.at for version in applied[1:]] + [float("inf")]
    found: set[tuple[int, str]] = set()
    for number, (version, end) in enumerate(zip(applied, ends, strict=True)):
        within = [
            a for a in answers if version.at <= a.started and a.ended < end and a.status == OK
        ]
        has: dict[str, float] = {}
        for answer in sorted(within, key=lambda a: a.ended):
            if letters.get(answer.revision) == version.letter:
                has.setdefault(answer.user, answer.ended)
        found |= {
            (number, a.user)
            for a in within
            if letters.get(a.revision) != version.letter and a.started > has.get(a.user, end)
        }
    return len(found)
