from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_serving.weights.eviction import Entry, plan_eviction

SIZES = {f"b{number}": number + 1 for number in range(8)}
"""Blobs of 1 to 8 bytes."""


def test_nothing_goes_while_there_is_room() -> None:
    old = Entry("old", {"o": 5})
    found = plan_eviction((old,), {"w": 5}, {"o": 5}, limit=10, free=5)
    assert (found.entries, found.lacking) == ((), 0)


def test_the_least_recently_used_goes_first_and_no_more_than_must() -> None:
    entries = tuple(Entry(f"at{at}", {f"b{at}": 4}, used_at=at) for at in (3, 1, 2))
    present = {"b1": 4, "b2": 4, "b3": 4}
    assert plan_eviction(entries, {"w": 4}, present, limit=12, free=99).entries == ("at1",)
    assert plan_eviction(entries, {"w": 5}, present, limit=12, free=99).entries == ("at1", "at2")


def test_what_is_used_stays_and_the_rest_is_told() -> None:
    used = Entry("used", {"u": 8}, used_at=0, in_use=True)
    found = plan_eviction((used,), {"w": 4}, {"u": 8}, limit=10, free=99)
    assert (found.entries, found.lacking) == ((), 2)
    assert plan_eviction((used,), {"w": 4}, {"u": 8}, limit=None, free=3).lacking == 1


def test_a_blob_of_two_models_frees_nothing_while_one_of_them_stays() -> None:
    both = (
        Entry("old", {"shared": 6}, used_at=1),
        Entry("new", {"shared": 6}, used_at=2, in_use=True),
    )
    found = plan_eviction(both, {"w": 4}, {"shared": 6}, limit=None, free=3)
    assert (found.entries, found.lacking) == ((), 1)


def test_what_another_download_has_still_to_write_counts() -> None:
    other = Entry("other", {"o": 10}, in_use=True)
    assert plan_eviction((other,), {"w": 4}, {"o": 2}, limit=None, free=12).lacking == 0
    assert plan_eviction((other,), {"w": 4}, {"o": 2}, limit=None, free=11).lacking == 1


def test_what_no_model_has_is_room() -> None:
    assert plan_eviction((), {"w": 4}, {"orphan": 3}, limit=None, free=1).lacking == 0
    assert plan_eviction((), {"w": 4}, {"orphan": 3}, limit=None, free=0).lacking == 1


def test_what_has_arrived_of_a_file_is_not_needed_again() -> None:
    assert plan_eviction((), {"w": 10}, {"w": 7}, limit=None, free=3).lacking == 0


blobs = st.frozensets(st.sampled_from(sorted(SIZES)), max_size=4).map(
    lambda names: {name: SIZES[name] for name in names}
)
entries = st.lists(
    st.builds(lambda b, at, used: ("", b, at, used), blobs, st.integers(0, 9), st.booleans()),
    max_size=5,
).map(lambda rows: tuple(Entry(f"e{n}", b, at, used) for n, (_, b, at, used) in enumerate(rows)))


@given(entries, blobs, blobs, st.none() | st.integers(0, 40), st.integers(0, 40))
def test_whatever_is_asked_what_is_used_stays_and_what_is_promised_fits(
    known: tuple[Entry, ...],
    wanted: dict[str, int],
    present: dict[str, int],
    limit: int | None,
    free: int,
) -> None:
    found = plan_eviction(known, wanted, present, limit=limit, free=free)
    gone = [entry for entry in known if entry.name in found.entries]
    assert not any(entry.in_use for entry in gone)
    if found.lacking:
        assert not gone
        return
    stay = [entry for entry in known if entry not in gone]
    kept = {**wanted, **{b: s for e in stay for b, s in e.blobs.items()}}
    if limit is not None:
        assert sum(kept.values()) <= limit
    left = sum(size for blob, size in present.items() if blob in kept)
    volume = free + sum(present.values())
    assert sum(kept.values()) - left <= volume - left
