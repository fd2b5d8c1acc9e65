"""Kubernetes objects as the operator handles them, and how it names them."""

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""An object as the API server's JSON has it."""

Ref = tuple[str, str]
"""Kind and name of an object in the LLMDeployment's namespace."""


@dataclass(frozen=True)
class Removal:
    """One object to delete, if it still is the one that was looked at."""

    kind: str
    name: str
    uid: str
