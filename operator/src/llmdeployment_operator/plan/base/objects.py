"""Kubernetes objects as the operator handles them, and how it names them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Object = dict[str, Any]
"""An object as the API server's JSON has it."""


class Kind(StrEnum):
    """The kinds of objects that an LLMDeployment consists of, and its pods."""

    CONFIG_MAP = "ConfigMap"
    CONTROLLER_REVISION = "ControllerRevision"
    DEPLOYMENT = "Deployment"
    HTTP_ROUTE = "HTTPRoute"
    JOB = "Job"
    NETWORK_POLICY = "NetworkPolicy"
    POD = "Pod"
    POD_DISRUPTION_BUDGET = "PodDisruptionBudget"
    ROLE = "Role"
    ROLE_BINDING = "RoleBinding"
    SECRET = "Secret"  # noqa: S105  # because it is a kind
    SERVICE = "Service"
    SERVICE_ACCOUNT = "ServiceAccount"
    STATEFUL_SET = "StatefulSet"


Ref = tuple[str, str]
"""Kind and name of an object in the LLMDeployment's namespace."""


@dataclass(frozen=True)
class Removal:
    """One object to delete, if it still is the one that was looked at."""

    kind: str
    name: str
    uid: str
