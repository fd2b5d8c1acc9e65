"""The extended resources a replica asks for. Nothing but the names is any vendor's."""

from collections.abc import Mapping
from typing import Any

from llmdeployment_operator.plan.base.drift import parse_quantity

NVIDIA = "nvidia.com/gpu"


def count_accelerators(resources: Mapping[str, Any]) -> dict[str, int]:
    """Return what is asked for, by name.

    >>> count_accelerators({"limits": {"nvidia.com/gpu": 2, "cpu": "4"}})
    {'nvidia.com/gpu': 2}
    """
    asked = {**resources.get("requests", {}), **resources.get("limits", {})}
    return {
        name: int(parse_quantity(value))
        for name, value in asked.items()
        if "/" in name
        and not name.startswith(("kubernetes.io/", "hugepages-"))
        and parse_quantity(value) > 0
    }
