"""What the API server has, kept in memory: objects by kind and name, and by the LLMDeployment that they belong to.

Reflectors put in what they list and what their watches tell; whoever writes puts in what the API server answered, so that
the next pass sees its own writes. Events may be lost, late, doubled or out of order: an object replaces one of its name
only if its resourceVersion is higher. Kubernetes documents that resourceVersions of one kind can be compared as numbers
(KEP-5504), and the API server has kept to it since there is etcd 3.

An object is kept as compressed JSON, a tenth of the memory that its dictionaries take, and decoded for each pass.
"""

import zlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from llmdeployment_operator.plan.base.names import OWNER
from llmdeployment_operator.plan.base.objects import Object

Owner = tuple[str, str]
"""Namespace and name of an LLMDeployment."""

Address = tuple[str, str, str]
"""Kind, namespace and name of an object."""

TOMBSTONES = 10_000
"""Deletions that are remembered, so that a late event brings no object back."""

_DROPPED_ANNOTATIONS = ("kubectl.kubernetes.io/last-applied-configuration",)


@dataclass(frozen=True, slots=True)
class _Entry:
    uid: str
    version: int
    owner: Owner | None
    data: bytes


class Store:
    """Objects by address, with an index by owner."""

    def __init__(self) -> None:
        self._entries: dict[Address, _Entry] = {}
        self._owned: dict[Owner, dict[Address, None]] = {}
        self._gone: OrderedDict[Address, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return an object, or None where there is none."""
        entry = self._entries.get((kind, namespace, name))
        return None if entry is None else _decode(entry.data)

    def owned(self, owner: Owner) -> list[Object]:
        """Return the objects that are labelled with an owner, whatever their kind."""
        return [_decode(self._entries[each].data) for each in self._owned.get(owner, ())]

    def put(self, obj: Mapping[str, Any]) -> bool:
        """Take an object as the API server has it; return whether it was news."""
        address, version = address_of(obj), version_of(obj)
        known = self._entries.get(address)
        if known is not None and version <= known.version:
            return False
        if version <= self._gone.get(address, -1):
            return False
        self._discard(address)
        owner = owner_of(obj)
        self._entries[address] = _Entry(
            obj["metadata"].get("uid", ""), version, owner, _encode(obj)
        )
        if owner is not None:
            self._owned.setdefault(owner, {})[address] = None
        return True

    def remove(self, obj: Mapping[str, Any]) -> bool:
        """Take an object as gone, as its DELETED event has it; return whether it was news."""
        address, version = address_of(obj), version_of(obj)
        known = self._entries.get(address)
        if known is not None and known.version > version:
            # Made anew under the same name.
            return False
        self._bury(address, version)
        return known is not None

    def take_deletion(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """Take an object as gone that was just deleted, if it is still the one of this uid."""
        known = self._entries.get((kind, namespace, name))
        if known is not None and known.uid == uid:
            self._bury((kind, namespace, name), known.version)

    def replace(
        self, kind: str, namespace: str | None, listed: Iterable[Mapping[str, Any]], version: int
    ) -> set[Owner]:
        """Take a list of all objects of a kind as what there is, and return the owners of what changed.

        What was written after the list was made is newer than it, and stays.

        Args:
            kind: of the objects.
            namespace: the only one that was listed, or None for all.
            listed: the objects.
            version: the list's own resourceVersion.
        """
        changed: set[Owner] = set()
        present = set()
        for obj in listed:
            present.add(address_of(obj))
            if self.put(obj) and (owner := owner_of(obj)) is not None:
                changed.add(owner)
        for address, entry in list(self._entries.items()):
            listed_here = address[0] == kind and namespace in (None, address[1])
            if listed_here and address not in present and entry.version <= version:
                self._bury(address, version)
                if entry.owner is not None:
                    changed.add(entry.owner)
        return changed

    def list_owners(self, kind: str) -> list[Owner]:
        """Return namespace and name of every object of a kind."""
        return [address[1:] for address in self._entries if address[0] == kind]

    def _bury(self, address: Address, version: int) -> None:
        self._discard(address)
        self._gone[address] = max(version, self._gone.pop(address, -1))
        while len(self._gone) > TOMBSTONES:
            self._gone.popitem(last=False)

    def _discard(self, address: Address) -> None:
        entry = self._entries.pop(address, None)
        if entry is None or entry.owner is None:
            return
        owned = self._owned[entry.owner]
        del owned[address]
        if not owned:
            del self._owned[entry.owner]


def address_of(obj: Mapping[str, Any]) -> Address:
    """Return an object's kind, namespace and name; the namespace is empty for kinds of the cluster."""
    meta = obj["metadata"]
    return obj["kind"], meta.get("namespace", ""), meta["name"]


def version_of(obj: Mapping[str, Any]) -> int:
    """Return an object's resourceVersion as a number."""
    return int(obj["metadata"].get("resourceVersion") or 0)


def owner_of(obj: Mapping[str, Any]) -> Owner | None:
    """Return the LLMDeployment that an object belongs to by its label, itself for an LLMDeployment."""
    meta = obj["metadata"]
    if obj["kind"] == "LLMDeployment":
        return meta["namespace"], meta["name"]
    name = (meta.get("labels") or {}).get(OWNER)
    return (meta.get("namespace", ""), name) if name else None


def _encode(obj: Mapping[str, Any]) -> bytes:
    return zlib.compress(orjson.dumps(_trim(obj)), 1)


def _decode(data: bytes) -> Object:
    found: Object = orjson.loads(zlib.decompress(data))
    return found


def _trim(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object without what nobody reads: who manages which field, and what kubectl applied last."""
    meta = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    if annotations := meta.get("annotations"):
        meta["annotations"] = {
            key: value for key, value in annotations.items() if key not in _DROPPED_ANNOTATIONS
        }
    return {**obj, "metadata": meta}
