"""The extended resources a replica asks for. Nothing but the names is any vendor's."""

from collections.abc import Mapping
from typing import Any

from llmdeployment_operator.plan.base.drift import quantity

NVIDIA = "nvidia.com/gpu"


def accelerators(resources: Mapping[str, Any]) -> dict[str, int]:
    """Return what is asked for, by name.

    >>> accelerators({"limits": {"nvidia.com/gpu": 2, "cpu": "4"}})
    {'nvidia.com/gpu': 2}
    """
    asked = {**resources.get("requests", {}), **resources.get("limits", {})}
    return {
        name: int(quantity(value))
        for name, value in asked.items()
        if "/" in name
        and not name.startswith(("kubernetes.io/", "hugepages-"))
        and quantity(value) > 0
    }
