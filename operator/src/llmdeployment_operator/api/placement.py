"""Where the gateway's pods run, and how its Service is reached: fields of `spec.gateway` as a pod and a Service have them."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator

from llmdeployment_operator.api.fields import Extension, Model, Text, cel

VALUE_WITH_EXISTS = (
    "A toleration with the operator Exists must not have a value. Remove one of them."
)
NO_KEY = "A toleration without a key must have the operator Exists. Name the taint's key."
SECONDS_WITHOUT_EFFECT = (
    "A toleration with tolerationSeconds must have the effect NoExecute. Set it, or remove both."
)
CLASS_WITHOUT_TYPE = "spec.gateway.service.loadBalancerClass is for type LoadBalancer only. Set the type, or remove loadBalancerClass."
POLICY_WITHOUT_TYPE = (
    "spec.gateway.service.externalTrafficPolicy is for the types NodePort and LoadBalancer only. "
    "Set one of them, or remove externalTrafficPolicy."
)
SERVICE_WITH_HTTPROUTE = (
    "spec.gateway.service has no effect with spec.gateway.mode HTTPRoute, which makes no Service. "
    "Remove it, and let the Gateway be reached from outside."
)

_TOLERATION: Extension = cel(
    ("!has(self.value) || self.operator != 'Exists'", VALUE_WITH_EXISTS),
    ("has(self.key) || self.operator == 'Exists'", NO_KEY),
    (
        "!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
        SECONDS_WITHOUT_EFFECT,
    ),
)
_SERVICE: Extension = cel(
    ("!has(self.loadBalancerClass) || self.type == 'LoadBalancer'", CLASS_WITHOUT_TYPE),
    ("!has(self.externalTrafficPolicy) || self.type != 'ClusterIP'", POLICY_WITHOUT_TYPE),
)
_PRESERVE: Extension = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_KEY = r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"

_label_key = Text(1, 317).must(
    _KEY, "must be the key of a label or taint, such as team or example.com/pool"
)
_label_value = Text(0, 63).must(
    r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?",
    "must be the value of a label or taint: letters, digits, -, _ and .",
)
_class_name = Text(1, 317).must(
    _KEY, "must be the name of a load balancer's class, such as example.com/internal"
)

LabelKey = Annotated[str, *_label_key.annotations()]
LabelValue = Annotated[str, *_label_value.annotations()]
ClassName = Annotated[str, *_class_name.annotations()]
Labels = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=317)], LabelValue], Field(max_length=32)
]
Annotations = Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=32)]
_Rules = Annotated[dict[str, JsonValue], Field(json_schema_extra=_PRESERVE)]


class Toleration(Model):
    """A taint of nodes that the pods accept."""

    model_config = ConfigDict(json_schema_extra=_TOLERATION)

    key: LabelKey | None = None
    """Key of the taint. Default: every taint, with the operator Exists."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """`Equal`: the taint has this value. `Exists`: it has any value."""
    value: LabelValue | None = None
    """Value of the taint, for the operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Default: every effect."""
    toleration_seconds: Annotated[int, Field(ge=0, le=86400)] | None = None
    """How many seconds a pod stays on a node that gets the taint, for the effect NoExecute. Default: for ever."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.value is not None and self.operator == "Exists":
            raise ValueError(VALUE_WITH_EXISTS)
        if self.key is None and self.operator != "Exists":
            raise ValueError(NO_KEY)
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError(SECONDS_WITHOUT_EFFECT)
        return self


class Affinity(Model):
    """Rules of where the pods run, with the fields that a pod's affinity has."""

    node_affinity: _Rules | None = None
    """Nodes that the pods need or prefer."""
    pod_affinity: _Rules | None = None
    """Pods that they run beside."""
    pod_anti_affinity: _Rules | None = None
    """Pods that they do not run beside."""


class SpreadConstraint(Model):
    """How the gateway's pods spread over nodes or zones. The operator adds the labels of the pods."""

    topology_key: LabelKey
    """Label of nodes that names the place, such as `topology.kubernetes.io/zone`."""
    max_skew: Annotated[int, Field(ge=1, le=32)] = 1
    """How many pods more than another one a place may have."""
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = "ScheduleAnyway"
    """What happens to a pod for which there is no such place."""


class GatewayServiceSpec(Model):
    """The Service in front of the gateway's pods. Its name is that of the LLMDeployment."""

    model_config = ConfigDict(json_schema_extra=_SERVICE)

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """`ClusterIP`: reached in the cluster only. `NodePort` and `LoadBalancer`: also from outside, without TLS. The chart's admission
    policies refuse these two and annotations to authors who may not create Services in the namespace."""
    annotations: Annotations = Field(default_factory=dict)
    """Annotations of the Service, such as those that a cloud's load balancer reads. A value that cannot be changed in place, such as an
    internal load balancer, may need the Service to be deleted: the operator makes it anew."""
    load_balancer_class: ClassName | None = None
    """Which controller makes the load balancer, for type LoadBalancer. Kubernetes refuses a change of it. Default: the cluster's."""
    external_traffic_policy: Literal["Cluster", "Local"] | None = None
    """`Local` keeps the clients' addresses, which `limits.connectionsPerSource` counts by, and sends requests only to pods of the node
    that they reach. For the types NodePort and LoadBalancer. Default: `Cluster`."""

    @model_validator(mode="after")
    def _fits_type(self) -> Self:
        if self.load_balancer_class is not None and self.type != "LoadBalancer":
            raise ValueError(CLASS_WITHOUT_TYPE)
        if self.external_traffic_policy is not None and self.type == "ClusterIP":
            raise ValueError(POLICY_WITHOUT_TYPE)
        return self
