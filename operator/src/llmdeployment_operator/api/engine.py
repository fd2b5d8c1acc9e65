"""What runs the model, and how: `spec.engine`."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from llmdeployment_operator.api import external, rules
from llmdeployment_operator.api.env import EnvVar
from llmdeployment_operator.api.external import ExternalSpec
from llmdeployment_operator.api.fields import Model
from llmdeployment_operator.api.self_test import SelfTestSpec


class EngineSpec(Model):
    """What runs the model."""

    model_config = ConfigDict(json_schema_extra=external.ENGINE)

    name: Literal["vllm", "transformers", "simulated", "external"] = "vllm"
    """`vllm`, `transformers`, `simulated` or `external`. `transformers` is its own continuous batching, for models that vLLM does not
    know, for small models and for CPUs. `simulated` is a queueing model of an engine, for tests; it answers with the
    words of the request. `external` is an OpenAI-compatible API outside the operator's control."""
    external: ExternalSpec | None = None
    """The API of the external engine."""
    args: Annotated[
        dict[rules.FlagName, bool | int | float | str],
        Field(max_length=64, json_schema_extra=rules.ENGINE_ARGS),
    ] = Field(default_factory=dict)
    """Flags of `vllm serve`, as a map and not as a list: `max-model-len: 4096` for `--max-model-len=4096`. `true` is `--flag`,
    `false` is `--no-flag`. Leading dashes and underscores are understood too. Any flag may be here but those that are listed
    below as refused. The `transformers` engine has a few of them only (docs/concepts/engines.md)."""
    env: Annotated[
        tuple[EnvVar, ...],
        Field(
            strict=False,
            max_length=64,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = ()
    """Environment of the worker's container."""
    self_test: SelfTestSpec | None = None
    """How replicas show that they compute right. Default: they are tested, with the defaults of these fields."""

    @field_validator("args", mode="before")
    @classmethod
    def _one_form_each(cls, args: object) -> object:
        if not isinstance(args, Mapping):
            return args
        named = {rules.name_flag(flag): value for flag, value in args.items()}
        if len(named) < len(args):
            found = Counter(rules.name_flag(flag) for flag in args)
            twice = next(flag for flag, count in found.items() if count > 1)
            raise ValueError(f"contains {twice} twice, in two forms. Keep one.")
        return named

    @field_validator("args")
    @classmethod
    def _no_reserved_flags(cls, args: dict[str, Any]) -> dict[str, Any]:
        for flag in args:
            # vLLM takes `lora-modules.name` for a part of `lora-modules`.
            whole = flag.removeprefix("no-").split(".")[0]
            if why := rules.RESERVED_FLAGS.get(whole):
                raise ValueError(rules.describe_reserved_flag(flag, why))
        return args

    @model_validator(mode="after")
    def _external_if_named(self) -> Self:
        external.check_engine(self.name, self.external, self.args)
        return self
