"""The rules of the spec that are more than a type, and their sentences.

`types.py` applies them to parsed objects, `schema.py` prints them into the CRD.
"""

from typing import Annotated, Any

from llmdeployment_operator.api import (
    cost,
    experiment,
    external,
    monitoring,
    scaling,
    shadow,
    sources,
    task,
    transformers,
)
from llmdeployment_operator.api.fields import AMOUNT, Extension, Text, cel
from llmdeployment_operator.api.gateway_api import COUNTED_BY_GATEWAY

_PRESERVE: Extension = {"x-kubernetes-preserve-unknown-fields": True}

_name = Text(1, 38).must(
    r"[a-z]([-a-z0-9]*[a-z0-9])?",
    "must start with a letter and contain only lower-case letters, digits and -",
)
_served_name = Text(1, 128).must(
    r"[A-Za-z0-9][A-Za-z0-9._:/-]*",
    "spec.model.servedName must start with a letter or digit "
    "and contain only letters, digits, ., _, :, / and -.",
)
_adapter_name = Text(1, 128).must(
    r"[A-Za-z0-9][A-Za-z0-9._:/-]*",
    "The name of an adapter must start with a letter or digit "
    "and contain only letters, digits, ., _, :, / and -.",
)
_flag = Text(1, 64).must(
    r"[a-z0-9]+(-[a-z0-9]+)*(\.[A-Za-z0-9_-]+)*",
    "is not a flag of `vllm serve`, which are written such as max-model-len",
)
_env_name = (
    Text(1, 128)
    .must(
        r"[A-Za-z_][A-Za-z0-9_]*",
        "must be the name of an environment variable and contain only letters, digits and _",
    )
    .never(
        "LLMD_",
        "cannot start with LLMD_, because the operator sets these variables. Choose another name.",
    )
    .never(
        "RAY_AUTH_",
        "cannot start with RAY_AUTH_, because the operator sets these variables. Choose another name.",
    )
    .must(
        r"HF_TOKEN.+",
        "must not contain the token itself. Set spec.model.tokenSecretRef instead.",
        "HF_TOKEN",
    )
)

Name = Annotated[str, *_name.annotations()]
ServedName = Annotated[str, *_served_name.annotations()]
AdapterName = Annotated[str, *_adapter_name.annotations()]
FlagName = Annotated[str, *_flag.annotations()]
EnvName = Annotated[str, *_env_name.annotations()]

RESERVED_FLAGS: dict[str, str] = {
    "model": "spec.model.source sets it",
    "model-tag": "spec.model.source sets it",
    "served-model-name": "spec.model.servedName sets it",
    "tensor-parallel-size": "spec.parallelism.tensor sets it",
    "pipeline-parallel-size": "spec.parallelism.pipeline sets it",
    "host": "the operator sets it",
    "port": "the operator sets it",
    "uds": "the operator sets it",
    "root-path": "the operator sets it",
    "api-key": "spec.gateway.apiKeysSecretRef sets it",
    "ssl-keyfile": "replicas speak plain HTTP to the gateway",
    "ssl-certfile": "replicas speak plain HTTP to the gateway",
    "ssl-ca-certs": "replicas speak plain HTTP to the gateway",
    "config": "flags come from spec.engine.args alone",
    "help": "the engine would print it and end",
    "headless": "a replica is one server",
    "grpc": "a replica is one HTTP server",
    "grpc-port": "a replica is one HTTP server",
    "api-server-count": "a replica is one server",
    "data-parallel-size": "spec.replicas and spec.scaling add replicas",
    "data-parallel-address": "a replica is one server",
    "data-parallel-backend": "a replica is one server",
    "data-parallel-external-lb": "a replica is one server",
    "data-parallel-hybrid-lb": "a replica is one server",
    "data-parallel-multi-port-external-lb": "a replica is one server",
    "data-parallel-rank": "a replica is one server",
    "data-parallel-rpc-port": "a replica is one server",
    "data-parallel-size-local": "a replica is one server",
    "data-parallel-start-rank": "a replica is one server",
    "data-parallel-supervisor-port": "a replica is one server",
    "enable-elastic-ep": "spec.replicas and spec.scaling add replicas",
    "nnodes": "a replica is one pod",
    "node-rank": "a replica is one pod",
    "master-addr": "a replica is one pod",
    "master-port": "a replica is one pod",
    "distributed-executor-backend": "a replica is one pod and its processes",
    "download-dir": "spec.model.source fetches the model before the engine starts",
    "disable-log-stats": "scaling and rollouts decide on the engine's statistics",
    "middleware": "the replica's own middleware is fixed",
    "enable-lora": "spec.model.adapters sets it",
    "lora-modules": "spec.model.adapters sets it",
    "hf-token": "spec.model.tokenSecretRef sets it",
    "allowed-local-media-path": "clients would read files of the replica's pod",
}
"""Flags that `spec.engine.args` cannot contain, and why; serving refuses them too."""

SWITCHES = frozenset(
    {"help", "headless", "grpc", "disable-log-stats", "enable-lora", "enable-elastic-ep"}
    | {f"data-parallel-{kind}-lb" for kind in ("external", "hybrid", "multi-port-external")}
)
"""Those of them that take no value."""

RESERVED_DEFAULTS: dict[str, Extension] = {
    "messages": {"type": "array", "items": {"type": "object", **_PRESERVE}, "maxItems": 1024},
    "model": {"type": "string", "maxLength": 1024},
    "prompt": {"type": "string", "maxLength": 16384},
    "stream": {"type": "boolean"},
    "stream_options": {"type": "object", **_PRESERVE},
}
"""Request fields that belong to the client alone, with the schema that lets CEL see them."""


def name_flag(written: str) -> str:
    """Return a flag as the operator keeps it, from any form in which vLLM's own documentation writes it.

    >>> name_flag("--max-model-len"), name_flag("max_model_len"), name_flag("compilation_config.max_x")
    ('max-model-len', 'max-model-len', 'compilation-config.max_x')
    """
    flag, dot, rest = written.removeprefix("--").partition(".")
    return flag.replace("_", "-") + dot + rest


def describe_reserved_flag(flag: str, why: str) -> str:
    """Return the sentence for a flag that may not be set."""
    return f"spec.engine.args cannot contain {flag}, because {why}. Remove it."


def describe_reserved_default(name: str) -> str:
    """Return the sentence for a request field that has no default."""
    return f"spec.prompt.defaults cannot contain {name}, because every request brings its own. Remove it."


def _forbid(properties: dict[str, Extension], rules: list[tuple[str, str]]) -> Extension:
    # CEL sees a field of a preserving object only if it is declared: declared is what is forbidden.
    return {"type": "object", "properties": properties, **_PRESERVE, **cel(*rules)}


def _escape(name: str) -> str:
    """Return a property's name as CEL writes it."""
    return name.replace("-", "__dash__")


def _flag_schema(flag: str) -> Extension:
    kind: dict[str, Any] = (
        {"type": "boolean"} if flag in SWITCHES else {"x-kubernetes-int-or-string": True}
    )
    return {**kind, "description": f"Refused, because {RESERVED_FLAGS[flag]}."}


ENGINE_ARGS = _forbid(
    {flag: _flag_schema(flag) for flag in RESERVED_FLAGS} | task.FLAGS,
    [
        (f"!has(self.{_escape(flag)})", describe_reserved_flag(flag, why))
        for flag, why in RESERVED_FLAGS.items()
    ],
)
PROMPT_DEFAULTS = _forbid(
    {name: {**schema, "description": "Refused."} for name, schema in RESERVED_DEFAULTS.items()},
    [(f"!has(self.{name})", describe_reserved_default(name)) for name in RESERVED_DEFAULTS],
)
POD_SPEC: Extension = {"type": "object", **_PRESERVE}

ADAPTER_IS_MODEL = (
    "spec.model.adapters contains the name of the model itself (spec.model.servedName, else "
    "metadata.name), so clients could not tell them apart. Choose another name."
)
MODEL = cel(
    *sources.MODEL_RULES,
    (
        (
            "!has(self.servedName) || !has(self.adapters) || "
            "self.adapters.all(a, a.name != self.servedName)"
        ),
        ADAPTER_IS_MODEL,
    ),
)
OBJECT_ADAPTERS = (
    "!has(self.spec.model.adapters) || has(self.spec.model.servedName) || "
    "self.spec.model.adapters.all(a, a.name != self.metadata.name)"
)

ONE_ENV_SOURCE = "valueFrom must have exactly one of secretKeyRef, configMapKeyRef and fieldRef."
_ONE_ENV_SOURCE = (
    "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)]"
    ".filter(x, x).size() == 1"
)
ENV_SOURCE = cel((_ONE_ENV_SOURCE, ONE_ENV_SOURCE))

VALUE_OR_SOURCE = "Set value or valueFrom, not both."
ENV_VAR = cel(("!(has(self.value) && has(self.valueFrom))", VALUE_OR_SOURCE))

RESOURCE_NAMES = (
    "contains a name that is not a resource. "
    "Use cpu, memory, ephemeral-storage, or a name with a domain such as nvidia.com/gpu."
)
_RESOURCE_NAMES = (
    "self.all(k, k in ['cpu', 'memory', 'ephemeral-storage'] || k.contains('/') "
    "|| k.startsWith('hugepages-'))"
)
_ARE_AMOUNTS = "self.all(k, isQuantity(string(self[k])))"
AMOUNTS = cel((_RESOURCE_NAMES, RESOURCE_NAMES), (_ARE_AMOUNTS, AMOUNT))

REQUESTS_WITHIN_LIMITS = "requests must not exceed limits. Raise the limit or lower the request."
_REQUESTS_WITHIN_LIMITS = (
    "!has(self.requests) || !has(self.limits) || ['cpu', 'memory', 'ephemeral-storage']"
    ".all(k, !(k in self.requests) || !(k in self.limits) || "
    "!isQuantity(string(self.requests[k])) || !isQuantity(string(self.limits[k])) || "
    "quantity(string(self.requests[k])).compareTo(quantity(string(self.limits[k]))) <= 0)"
)
RESOURCES = cel((_REQUESTS_WITHIN_LIMITS, REQUESTS_WITHIN_LIMITS))

GPUS_MATCH = (
    "spec.resources.limits['nvidia.com/gpu'] must be spec.parallelism.tensor x "
    "spec.parallelism.pipeline, because a replica uses all GPUs that it asks for. Change one of them."
)
_GPUS_MATCH = (
    "!has(self.resources.limits) || !('nvidia.com/gpu' in self.resources.limits) || "
    "string(self.resources.limits['nvidia.com/gpu']) in "
    "['0', string(self.parallelism.tensor * self.parallelism.pipeline)]"
)
SPEC = cel(
    (_GPUS_MATCH, GPUS_MATCH),
    *COUNTED_BY_GATEWAY,
    *external.SPEC_RULES,
    *transformers.SPEC_RULES,
    *monitoring.SPEC_RULES,
    *scaling.SPEC_RULES,
    *cost.SPEC_RULES,
    *experiment.SPEC_RULES,
    *shadow.SPEC_RULES,
    *task.SPEC_RULES,
)


def is_resource(name: str) -> bool:
    """Say whether a name can be that of a resource of a container, as `AMOUNTS` has it.

    >>> is_resource("nvidia.com/gpu"), is_resource("cpus")
    (True, False)
    """
    known = name in {"cpu", "memory", "ephemeral-storage"}
    return known or "/" in name or name.startswith("hugepages-")
