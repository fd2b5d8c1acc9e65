"""Whose turn it is: edits soon, and nobody never."""

from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_operator.handlers.backlog import Backlog, Urgency

URGENCIES = st.sampled_from(Urgency)


def test_an_edit_is_next_but_one_however_many_new_objects_wait() -> None:
    backlog: Backlog[str] = Backlog()
    for number in range(1000):
        backlog.add(f"new-{number}", Urgency.NEW)
    for _ in range(7):
        backlog.pop()
    backlog.add("edited", Urgency.EDIT)
    assert "edited" in [backlog.pop() for _ in range(3)]


@given(st.lists(st.tuples(st.integers(0, 9), URGENCIES), max_size=60))
def test_every_key_is_taken_once(added: list[tuple[int, Urgency]]) -> None:
    backlog: Backlog[int] = Backlog()
    for key, urgency in added:
        backlog.add(key, urgency)
    keys = {key for key, _ in added}
    assert len(backlog) == len(keys)
    assert sorted(backlog.pop() for _ in range(len(backlog))) == sorted(keys)


@given(
    urgency=URGENCIES,
    before=st.integers(0, 5),
    crowd=st.lists(st.lists(URGENCIES, max_size=3), min_size=40, max_size=40),
    turns=st.integers(0, 3),
)
def test_nobody_waits_for_ever(
    urgency: Urgency, before: int, crowd: list[list[Urgency]], turns: int
) -> None:
    """However many come after it, a key with `before` of its kind before it is taken within 4 (before + 1) turns."""
    backlog: Backlog[tuple[str, int]] = Backlog()
    for number in range(turns):
        backlog.add(("turn", number), Urgency.CHANGE)
        backlog.pop()
    for number in range(before):
        backlog.add(("before", number), urgency)
    backlog.add(("key", 0), urgency)
    taken = []
    for number, others in enumerate(crowd[: 4 * (before + 1)]):
        taken.append(backlog.pop())
        for offset, other in enumerate(others):
            backlog.add(("after", 10 * number + offset), other)
        if ("key", 0) in taken:
            return
    raise AssertionError(f"not within {len(taken)} turns")


def test_a_key_that_waits_may_become_more_urgent_and_not_less() -> None:
    backlog: Backlog[str] = Backlog()
    backlog.add("a", Urgency.CHANGE)
    backlog.add("b", Urgency.EDIT)
    backlog.add("a", Urgency.EDIT)
    backlog.add("a", Urgency.NEW)
    assert [backlog.pop(), backlog.pop(), len(backlog)] == ["b", "a", 0]
