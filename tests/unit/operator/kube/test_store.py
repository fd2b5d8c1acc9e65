"""The store is what the API server has, whatever becomes of the events on their way."""

import copy
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llmdeployment_operator.kube.store import Store, address_of

NAMES = st.sampled_from(["a", "b", "c"])
Object = dict[str, Any]


@dataclass
class Server:
    """An API server with one kind of objects; it keeps every event it ever sent."""

    version: int = 0
    uids: int = 0
    objects: dict[str, Object] = field(default_factory=dict)
    events: list[tuple[str, Object]] = field(default_factory=list)

    def write(self, name: str, owner: str = "chat") -> Object:
        known = self.objects.get(name)
        self.version += 1
        if known is None:
            self.uids += 1
        uid = known["metadata"]["uid"] if known is not None else f"uid-{self.uids}"
        labels = {"llmdeployment.dev/name": owner}
        meta = {"name": name, "namespace": "team", "uid": uid, "labels": labels}
        obj = {"kind": "Service", "metadata": {**meta, "resourceVersion": str(self.version)}}
        self.objects[name] = obj
        self.events.append(("MODIFIED", obj))
        return obj

    def delete(self, name: str) -> None:
        obj = self.objects.pop(name, None)
        if obj is None:
            return
        self.version += 1
        last = copy.deepcopy(obj)
        last["metadata"]["resourceVersion"] = str(self.version)
        self.events.append(("DELETED", last))


def kept(store: Store) -> dict[str, Object]:
    return {obj["metadata"]["name"]: obj for obj in store.owned(("team", "chat"))}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES),
        st.tuples(st.just("own write"), NAMES),
        st.tuples(st.just("delete"), NAMES),
        st.tuples(st.just("own delete"), NAMES),
        st.tuples(st.just("event"), st.integers(0, 200)),
        st.tuples(st.just("list"), st.just(0)),
    ),
    max_size=40,
)


@given(steps=STEPS, data=st.data())
def test_whatever_is_lost_late_doubled_or_out_of_order_the_end_is_right(
    steps: list[tuple[str, Any]], data: st.DataObject
) -> None:
    server, store = Server(), Store()
    for step, what in steps:
        if step in {"write", "own write"}:
            obj = server.write(what)
            if step == "own write":
                store.put(obj)
                assert kept(store)[what] == obj
        elif step in {"delete", "own delete"}:
            uid = server.objects.get(what, {}).get("metadata", {}).get("uid", "")
            server.delete(what)
            if step == "own delete":
                store.take_deletion("Service", "team", what, uid)
        elif step == "event" and server.events:
            take(store, server.events[what % len(server.events)])
        elif step == "list":
            store.replace("Service", "team", list(server.objects.values()), server.version)
            assert kept(store) == server.objects
    # Either the events that are left come, in any order and some twice, or everything is listed anew.
    if data.draw(st.booleans()):
        order = data.draw(st.permutations(range(len(server.events))))
        for number in (*order, *order[:3]):
            take(store, server.events[number])
    else:
        store.replace("Service", "team", list(server.objects.values()), server.version)
    assert kept(store) == server.objects


def take(store: Store, event: tuple[str, Object]) -> None:
    kind, obj = event
    if kind == "DELETED":
        store.remove(obj)
    else:
        store.put(obj)


def test_what_was_written_after_a_list_began_stays() -> None:
    server, store = Server(), Store()
    server.write("a")
    listed, version = list(server.objects.values()), server.version
    store.put(server.write("b"))
    store.replace("Service", "team", listed, version)
    assert kept(store) == server.objects


def test_a_list_tells_whose_objects_changed_and_of_what_is_gone() -> None:
    server, store = Server(), Store()
    for name, owner in (("a", "chat"), ("b", "other"), ("c", "still")):
        store.put(server.write(name, owner))
    server.delete("b")
    server.write("a")
    changed = store.replace("Service", None, list(server.objects.values()), server.version)
    assert changed == {("team", "chat"), ("team", "other")}


def test_a_list_of_one_namespace_or_kind_says_nothing_of_others() -> None:
    server, store = Server(), Store()
    store.put(server.write("a"))
    store.replace("Service", "elsewhere", [], server.version + 1)
    store.replace("Deployment", None, [], server.version + 1)
    assert kept(store) == server.objects


def test_an_object_that_changes_hands_is_no_more_its_old_owners() -> None:
    server, store = Server(), Store()
    store.put(server.write("a"))
    store.put(server.write("a", "other"))
    assert kept(store) == {}
    assert [address_of(o)[2] for o in store.owned(("team", "other"))] == ["a"]


def test_what_nobody_reads_is_not_kept() -> None:
    store = Store()
    last = "kubectl.kubernetes.io/last-applied-configuration"
    meta = {"name": "a", "namespace": "team", "resourceVersion": "1", "managedFields": [{}]}
    meta["annotations"] = {last: "{}", "mine": "x"}  # type: ignore[assignment]  # because metadata holds all kinds of values
    store.put({"kind": "Service", "metadata": meta})
    found = store.get("Service", "team", "a")
    assert found is not None
    assert found["metadata"].keys() == {"name", "namespace", "resourceVersion", "annotations"}
    assert found["metadata"]["annotations"] == {"mine": "x"}
