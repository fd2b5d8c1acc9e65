"""Every value is in the schema, has a comment, and has a row in the README, which is made from values.yaml.

`LLMD_UPDATE_GOLDEN=1 pytest tests/chart` writes the rows anew.
"""

import json
import os
from collections.abc import Iterator

import pytest
import yaml
from tests.chart.rendering import CHART, Object

pytestmark = pytest.mark.chart

SCHEMA: Object = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
DEFINITIONS: Object = SCHEMA["definitions"]
TEXT = (CHART / "values.yaml").read_text(encoding="utf-8")
VALUES: Object = yaml.safe_load(TEXT)
README = CHART / "README.md"
HEADER = "| value | default | what for |\n|---|---|---|\n"
LINKED = "docs/operate/security.md"


def list_leaves(
    schema: Object, values: Object, path: str = ""
) -> Iterator[tuple[str, object, bool]]:
    """Yield path, default and whether the schema knows it, of each value."""
    known = schema.get("properties", {})
    for key, value in values.items():
        below = known.get(key, {})
        if "$ref" in below:
            below = DEFINITIONS[below["$ref"].rpartition("/")[2]]
        if key != "resources" and "properties" in below:
            yield from list_leaves(below, value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value, key in known


LEAVES = list(list_leaves(SCHEMA, VALUES))


def read_comments() -> list[str]:
    """Return the comment of each value, in their order."""
    found: list[str] = []
    above = ""
    for line in map(str.strip, TEXT.splitlines()):
        if line.startswith("# -- "):
            found.append(line.removeprefix("# -- "))
        elif line.startswith("# ") and above.startswith("# ") and found:
            found[-1] += f" {line.removeprefix('# ')}"
        above = line
    return found


def build_rows() -> str:
    comments = [c.replace(LINKED, f"[{LINKED}](../../{LINKED})") for c in read_comments()]
    return "".join(
        f"| `{path}` | `{json.dumps(value)}` | {comment} |\n"
        for (path, value, _), comment in zip(LEAVES, comments, strict=True)
    )


def test_every_value_has_a_comment() -> None:
    assert len(read_comments()) == len(LEAVES)


def test_the_schema_knows_every_value() -> None:
    assert [path for path, _, known in LEAVES if not known] == []


def test_the_readme_has_every_value_with_its_default_and_no_other() -> None:
    text, _, rows = README.read_text(encoding="utf-8").partition(HEADER)
    if os.environ.get("LLMD_UPDATE_GOLDEN"):
        README.write_text(text + HEADER + build_rows(), encoding="utf-8")
        rows = build_rows()

    assert rows == build_rows(), "LLMD_UPDATE_GOLDEN=1 pytest tests/chart/test_values.py writes it"
