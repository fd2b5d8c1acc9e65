"""The flags of kubectl that say which cluster is asked, in which namespace, and as whom."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

CALL_SECONDS = 30.0
"""How long one call of the API server may take, in seconds, where no flag says so."""


@dataclass(frozen=True)
class Flags:
    """What the user wrote; None where nothing was written.

    Attributes:
        namespace: the namespace.
        context: a context of the kubeconfig.
        kubeconfig: the file that is read instead of $KUBECONFIG.
        as_user: the user to impersonate.
        as_group: the groups to impersonate.
        request_timeout: how long one call may take, in seconds; 0 is for ever.
    """

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None
    as_user: str | None = None
    as_group: tuple[str, ...] = ()
    request_timeout: float | None = None

    @property
    def call_seconds(self) -> float | None:
        """How long one call may take, in seconds; None is for ever."""
        given = CALL_SECONDS if self.request_timeout is None else self.request_timeout
        return given or None


def read_flags(values: Mapping[str, Any]) -> Flags:
    """Return the flags among the values of a command's parameters.

    >>> read_flags({"name": "chat", "namespace": "shop", "as_group": ["dev"]}).as_group
    ('dev',)
    """
    found: dict[str, Any] = {each.name: values.get(each.name) for each in fields(Flags)}
    return Flags(**{**found, "as_group": tuple(found["as_group"] or ())})


def merge_flags(earlier: Flags, later: Flags) -> Flags:
    """Return both: the later of two values wins, and groups add up.

    >>> merge_flags(Flags(namespace="a", context="c"), Flags(namespace="b"))
    Flags(namespace='b', context='c', kubeconfig=None, as_user=None, as_group=(), request_timeout=None)
    """
    values = {each.name: getattr(earlier, each.name) for each in fields(Flags)}
    for each in fields(Flags):
        if (value := getattr(later, each.name)) is not None:
            values[each.name] = value
    return Flags(**{**values, "as_group": earlier.as_group + later.as_group})


def list_kubectl_flags(flags: Flags) -> list[str]:
    """Return the arguments that make kubectl ask the same cluster as the same user; the namespace is not among them.

    >>> list_kubectl_flags(Flags(context="test", as_user="ada", as_group=("dev", "ops")))
    ['--context=test', '--as=ada', '--as-group=dev', '--as-group=ops']
    """
    named = (
        ("kubeconfig", flags.kubeconfig),
        ("context", flags.context),
        ("as", flags.as_user),
        *(("as-group", group) for group in flags.as_group),
    )
    return [f"--{name}={value}" for name, value in named if value is not None]
