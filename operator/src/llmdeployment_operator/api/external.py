"""`spec.engine.external`: an OpenAI-compatible API somewhere else, as an engine."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from llmdeployment_operator.api.fields import KeyName, Model, ObjectName, Text, cel
from llmdeployment_operator.api.urls import (
    ORIGIN,
    build_key_rule,
    describe_key_in_clear,
    may_carry_key,
)

NAME = "external"
SCHEME = "external://"
MAX_PROMPT_BYTES = 96 * 1024
"""The prompt is part of an environment variable, and Linux takes 128 KiB of one."""

_URL = (
    rf"{ORIGIN}"
    r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?"
)
_base_url = Text(1, 1024).must(
    _URL,
    "spec.engine.external.baseURL must be https://host/path, such as https://api.example.com/v1, "
    "without credentials, query or fragment. Put a key into the Secret of spec.engine.external.apiKeySecretRef.",
)
BaseURL = Annotated[str, *_base_url.annotations()]

KEY_IN_CLEAR = describe_key_in_clear("spec.engine.external", "baseURL")
EXTERNAL = cel((build_key_rule("baseURL"), KEY_IN_CLEAR))

BOTH = (
    "spec.engine.external is for spec.engine.name external, which needs it. "
    "Set both, or remove spec.engine.external."
)
NO_ARGS = "spec.engine.args cannot be set with spec.engine.name external, which has no flags. Remove them."
ENGINE = cel(
    # Without a name: the API server checks the default `{}` before it fills it.
    ("(has(self.name) && self.name == 'external') == has(self.external)", BOTH),
    ("!has(self.name) || self.name != 'external' || !has(self.args)", NO_ARGS),
)

SOURCE = (
    "spec.engine.name external needs a spec.model.source of external://<the model's name at the API>, "
    "and no other engine may have one. Set both or neither."
)
NO_ACCELERATORS = (
    "spec.resources cannot contain accelerators with spec.engine.name external, "
    "because its pods only pass requests on. Remove them."
)
NO_PARALLELISM = "spec.parallelism cannot be set with spec.engine.name external, because its pods only pass requests on. Remove it."
_NO_ACCELERATORS = " && ".join(
    f"(!has(self.resources.{field}) || !self.resources.{field}.exists(k, k.contains('/')))"
    for field in ("requests", "limits")
)
_NO_PARALLELISM = "self.parallelism.tensor == 1 && self.parallelism.pipeline == 1"
NO_ADAPTERS = "spec.model.adapters cannot be set with spec.engine.name external. Name the adapted model in spec.model.source."
SPEC_RULES = (
    (
        "self.engine.name != 'external' || !has(self.model.adapters) || self.model.adapters.size() == 0",
        NO_ADAPTERS,
    ),
    ("(self.engine.name == 'external') == self.model.source.startsWith('external://')", SOURCE),
    (f"self.engine.name != 'external' || ({_NO_ACCELERATORS})", NO_ACCELERATORS),
    (f"self.engine.name != 'external' || ({_NO_PARALLELISM})", NO_PARALLELISM),
)
LONG_PROMPT = (
    f"spec.prompt is larger than {MAX_PROMPT_BYTES // 1024} KiB, "
    "more than the pods of an external engine can be given. Shorten it."
)


_OF_THE_FILES = frozenset(
    {"tokenSecretRef", "credentialsSecretRef", "sha256", "allowPickle", "adapters"}
)


class ApiKeyReference(Model):
    """One key of a Secret in the LLMDeployment's namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: KeyName = "api-key"
    """Key in the Secret."""


class ExternalSpec(Model):
    """An OpenAI-compatible API outside the operator's control."""

    model_config = ConfigDict(json_schema_extra=EXTERNAL)

    base_url: BaseURL = Field(alias="baseURL")
    """What OpenAI clients call `base_url`. `/chat/completions` and `/completions` are appended to it."""
    api_key_secret_ref: ApiKeyReference | None = None
    """API key, sent as `Authorization: Bearer`. Default: no key is sent."""
    timeout_seconds: Annotated[int, Field(ge=1, le=3600, json_schema_extra={"format": "int32"})] = (
        600
    )
    """How many seconds the API may send nothing before the request fails with 504."""

    @model_validator(mode="after")
    def _key_is_safe(self) -> Self:
        if self.api_key_secret_ref is not None and not may_carry_key(self.base_url):
            raise ValueError(KEY_IN_CLEAR)
        return self


def check_engine(name: str, external: ExternalSpec | None, args: Mapping[str, Any]) -> None:
    """Check an engine.

    Raises:
        ValueError: a sentence with the field and the fix.
    """
    if (name == NAME) != (external is not None):
        raise ValueError(BOTH)
    if name == NAME and args:
        raise ValueError(NO_ARGS)


def check_source(engine: str, source: str, adapters: int) -> None:
    """Check that a model elsewhere and an engine elsewhere come together, without adapters.

    Raises:
        ValueError: a sentence with the field and the fix.
    """
    if (engine == NAME) != source.startswith(SCHEME):
        raise ValueError(SOURCE)
    if engine == NAME and adapters:
        raise ValueError(NO_ADAPTERS)


def check_pods(resources: Iterable[str], accelerators: int, prompt: Mapping[str, Any]) -> None:
    """Check what the pods of an external engine get: resources by name, tensor x pipeline, the prompt.

    Raises:
        ValueError: a sentence with the field and the fix.
    """
    if any("/" in name for name in resources):
        raise ValueError(NO_ACCELERATORS)
    if accelerators != 1:
        raise ValueError(NO_PARALLELISM)
    if len(json.dumps(prompt, ensure_ascii=False).encode()) > MAX_PROMPT_BYTES:
        raise ValueError(LONG_PROMPT)


def inherit_fields(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an arm takes over from the spec: from an API elsewhere to an engine here, or back, nothing that is the engine's own.

    >>> spec = {"engine": {"args": {"a": 1}}, "resources": {"limits": {"nvidia.com/gpu": "1"}}, "replicas": 2}
    >>> inherit_fields(spec, {"engine": {"name": "external"}}), inherit_fields(spec, {}) == spec
    ({'replicas': 2}, True)
    """
    old = (base.get("engine") or {}).get("name", "vllm")
    new = (overrides.get("engine") or {}).get("name", old)
    if (old == NAME) == (new == NAME):
        return dict(base)
    kept = {k: v for k, v in base.items() if k not in {"engine", "resources", "parallelism"}}
    if "model" in kept:
        kept["model"] = {k: v for k, v in kept["model"].items() if k not in _OF_THE_FILES}
    return kept
