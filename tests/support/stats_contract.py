"""The forms of `/stats` that replicas, gateways and the operator agree on: docs/reference/contracts."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from llmdeployment_serving.config import UserConfig, parse
from llmdeployment_serving.shadow import Shadows

CONTRACTS = Path(__file__).parents[2] / "docs/reference/contracts"


def load(kind: str) -> dict[str, Any]:
    """Return the schema of a `replica`'s or a `gateway`'s `/stats`."""
    return dict(json.loads((CONTRACTS / f"{kind}-stats.schema.json").read_text()))


def check(kind: str, document: object) -> None:
    """Fail unless a document has the form of `/stats`."""
    schema = load(kind)
    Draft202012Validator.check_schema(schema)
    faults = [
        f"{'.'.join(map(str, fault.absolute_path))}: {fault.message}"
        for fault in Draft202012Validator(schema).iter_errors(document)
    ]
    assert not faults, "\n".join(faults)


class Declared(Mapping[str, Any]):
    """A document whose reader fails as soon as it asks for a field that the schema does not declare."""

    def __init__(
        self,
        document: Mapping[str, Any],
        schema: dict[str, Any],
        root: dict[str, Any] | None = None,
    ) -> None:
        self._document, self._root = document, root or schema
        self._schema = self._resolve(schema)

    def __getitem__(self, key: str) -> Any:
        schema = self._find(key)
        value = self._document[key]
        return Declared(value, schema, self._root) if isinstance(value, Mapping) else value

    def __contains__(self, key: object) -> bool:
        self._find(str(key))
        return key in self._document

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)

    def _find(self, key: str) -> dict[str, Any]:
        found = self._schema.get("properties", {}).get(key) or self._schema.get(
            "additionalProperties"
        )
        assert found, f"the schema does not declare {key!r}"
        return dict(found)

    def _resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        ref = schema.get("$ref")
        return self._root["$defs"][ref.removeprefix("#/$defs/")] if ref else schema


def write_shadows() -> Any:
    """Return what a replica writes that compared two requests."""
    shadows = Shadows(ask=None, has_room=None)  # type: ignore[arg-type]  # because nothing is asked
    shadow = {"stable": "7", "revision": "8", "url": "http://a:1", "percent": 1}
    config = parse(UserConfig, {"shadows": [{**shadow, "maxTokens": 1, "seconds": 1}]})
    shadows.take(config.shadows, ())
    (found,) = shadows._shadows.values()
    found.counts.add(("a b", "a b"), ({"refusal": True}, {"refusal": True}))
    found.counts.add(("a b", "a c"), ({"refusal": False, "empty": False}, {"refusal": True}))
    found.counts.failed, found.counts.skipped, found.counts.excluded = 3, 4, 5
    return json.loads(json.dumps(shadows.describe()))
