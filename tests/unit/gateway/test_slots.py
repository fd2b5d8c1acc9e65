import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_gateway import slots

SERVICES = st.lists(st.sampled_from([f"s{n}" for n in range(24)]), max_size=16, unique=True)


@pytest.mark.parametrize(
    ("services", "before", "busy", "assigned"),
    [
        ((), {}, (), {}),
        (("a",), {}, (), {"a": "slot0"}),
        (("a", "b", "a"), {}, (), {"a": "slot0", "b": "slot1"}),
        (("b",), {"a": "slot0", "b": "slot1"}, (), {"b": "slot1"}),
        (("b", "c"), {"a": "slot0", "b": "slot1"}, (), {"b": "slot1", "c": "slot0"}),
        (("b", "c"), {"b": "slot1"}, ("slot0",), {"b": "slot1", "c": "slot2"}),
        (("a",), {}, slots.NAMES, {"a": "slot0"}),
    ],
    ids=["none", "first", "once-each", "kept", "reused", "busy-avoided", "all-busy"],
)
def test_every_service_has_a_slot(
    services: tuple[str, ...],
    before: dict[str, str],
    busy: tuple[str, ...],
    assigned: dict[str, str],
) -> None:
    assert slots.assign(services, before, busy) == assigned


@given(SERVICES, SERVICES)
def test_slots_are_never_shared_and_never_change(first: list[str], then: list[str]) -> None:
    before = slots.assign(first, {}, ())
    after = slots.assign(then, before, before.values())

    assert set(after) == set(then)
    assert len(set(after.values())) == len(after)
    assert all(after[service] == before[service] for service in set(first) & set(then))


def test_too_many_services_are_an_error_that_says_how_many_fit() -> None:
    with pytest.raises(
        slots.NoSlotError,
        match=r"17 Services have rows in routes\.json, but a gateway has 16 slots",
    ):
        slots.assign([f"s{n}" for n in range(17)], {}, ())


def test_a_damaged_file_gives_what_can_be_read() -> None:
    assert slots.parse_slots("a slot3\n\nb\nc slot99\nd slot1 x\n") == {"a": "slot3"}
