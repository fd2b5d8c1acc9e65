"""The CustomResourceDefinition.

`python -m llmdeployment_operator.api.crd [ROOT]` writes it.
"""

import json
import sys
from pathlib import Path
from typing import Any

from llmdeployment_operator.api.arms import build_overrides_schema
from llmdeployment_operator.api.rules import ADAPTER_IS_MODEL, OBJECT_ADAPTERS
from llmdeployment_operator.api.schema import Schema, build_structural
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.types import GROUP, KIND, PLURAL, VERSION, Spec

MANIFEST = Path("manifests/crds/llmdeployments.yaml")
TEMPLATE = Path("charts/llmdeployment-operator/templates/crds.yaml")

_HEADER = "# Made by `make crds` from operator/src/llmdeployment_operator/api. Do not edit.\n"

_OBJECT_RULES = [
    {
        "rule": "self.metadata.name.size() <= 38",
        "message": (
            "metadata.name must be at most 38 characters long, because pods and labels are named after it."
        ),
    },
    {
        "rule": "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "message": (
            "metadata.name must start with a letter and contain only lower-case letters, digits and -, "
            "because the gateway's Service has the same name."
        ),
    },
    {"rule": OBJECT_ADAPTERS, "message": ADAPTER_IS_MODEL},
]

_UNSEEN = {"observedGeneration": -1}
"""The status of an object that no operator has looked at. Without one, kstatus takes the object for finished."""

_COLUMNS = [
    ("Ready", "string", ".status.ready", 0),
    ("Up-to-date", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
    ("Available", "string", '.status.conditions[?(@.type=="Available")].status', 0),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', 0),
    ("Traffic", "string", ".status.traffic", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Model", "string", ".status.model", 1),
    ("Source", "string", ".spec.model.source", 1),
    ("Endpoint", "string", ".status.endpoint", 1),
]


def build_crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition as an object of the API."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["llm"],
                "categories": ["all"],
            },
            "versions": [_build_version()],
        },
    }


def _build_version() -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path, "priority": priority}
            for name, kind, path, priority in _COLUMNS
        ],
        "schema": {"openAPIV3Schema": _build_schema()},
    }


def _build_schema() -> Schema:
    return {
        "description": "An LLM that is served on Ray Serve, behind a gateway of its own.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _build_spec(),
            "status": {**build_structural(Status), "default": _UNSEEN},
        },
        "x-kubernetes-validations": _OBJECT_RULES,
    }


def _build_spec() -> Schema:
    spec = build_structural(Spec)
    arm = spec["properties"]["arms"]["items"]["properties"]
    told = arm["overrides"]["description"]
    arm["overrides"] = {"description": told, **build_overrides_schema(spec)}
    return spec


_LABELS = """\
  {{- with .Values.commonLabels }}
  labels: {{- toYaml . | nindent 4 }}
  {{- end }}
"""


def format_yaml(value: object, indent: int = 0) -> str:
    """Return JSON data as YAML blocks, scalars in JSON's form, which is YAML too.

    The operator has no YAML library: it needs none but here.

    >>> print(format_yaml({"a": [{"b": 1, "c": []}], "d": "x"}), end="")
    a:
    - b: 1
      c: []
    d: "x"
    """
    pad = " " * indent
    if isinstance(value, dict) and value:
        return "".join(
            f"{pad}{_format_key(key)}:{_format_below(item, indent)}" for key, item in value.items()
        )
    if isinstance(value, list) and value:
        return "".join(f"{pad}- {format_yaml(item, indent + 2).lstrip(' ')}" for item in value)
    return f"{pad}{json.dumps(value, ensure_ascii=False)}\n"


def _format_key(key: str) -> str:
    return key if key.replace("-", "").isalnum() else json.dumps(key)


def _format_below(value: object, indent: int) -> str:
    if isinstance(value, dict | list) and value:
        return "\n" + format_yaml(value, indent if isinstance(value, list) else indent + 2)
    return f" {json.dumps(value, ensure_ascii=False)}\n"


def format_manifest() -> str:
    """Return the text of the CRD's manifest."""
    return _HEADER + format_yaml(build_crd())


def format_template() -> str:
    """Return the text of the chart's template.

    A template and no file in the chart's `crds/`, because Helm never upgrades those. The annotation
    keeps `helm uninstall` from deleting the CRD, and with it every LLMDeployment there is.
    """
    kept = build_crd()
    kept["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    text = format_yaml(kept).replace("\nspec:\n", f"\n{_LABELS}spec:\n", 1)
    return f"{_HEADER}{{{{- if .Values.crds.install }}}}\n{text}{{{{- end }}}}\n"


def main() -> None:
    """Write manifest and template below the project's root: the first argument, or here."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    for path, text in ((MANIFEST, format_manifest()), (TEMPLATE, format_template())):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
