"""What is served: `spec.model`."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from llmdeployment_operator.api import rules
from llmdeployment_operator.api.fields import KeyName, Model, ObjectName
from llmdeployment_operator.api.task import Task


class SecretKeyReference(Model):
    """One key of a Secret in the LLMDeployment's namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: KeyName = "token"
    """Key in the Secret."""


class AdapterSpec(Model):
    """A LoRA adapter of the model."""

    name: rules.AdapterName
    """What clients put in `model` to use this adapter."""
    source: rules.AdapterSource
    """Where its files are, in PEFT's format: `pvc://claim/path` or `file:///path/in/the/image`."""


class ModelSpec(Model):
    """The model that is served."""

    model_config = ConfigDict(json_schema_extra=rules.MODEL)

    source: rules.ModelSource
    """Where the model's files are: `hf://organisation/name@revision` (Hugging Face Hub; without a revision, each pod gets
    `main` as it is when the pod starts), `pvc://claim/path`, `file:///path/in/the/image`, or `external://` and the model's
    name at the API of spec.engine.external."""
    served_name: rules.ServedName | None = None
    """What clients put in `model`. Default: metadata.name."""
    task: Task | None = None
    """What the model does: `Generate` text, `Embed`, `Rerank`, `Classify`, or score answers (`Reward`). Each task has paths of its own
    (docs/concepts/tasks.md). Default: what the model's own config says."""
    token_secret_ref: SecretKeyReference | None = None
    """Token for a gated repository of the Hub."""
    adapters: Annotated[
        tuple[AdapterSpec, ...],
        Field(
            strict=False,
            max_length=16,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = ()
    """LoRA adapters. Clients use each under its own model name. Replicas load them without a restart."""

    @model_validator(mode="after")
    def _token_goes_with_hub(self) -> Self:
        if self.token_secret_ref is not None and not self.source.startswith("hf://"):
            raise ValueError(rules.TOKEN_WITHOUT_HUB)
        return self

    @model_validator(mode="after")
    def _one_name_each(self) -> Self:
        names = [adapter.name for adapter in self.adapters]
        if len(set(names)) < len(names):
            raise ValueError(
                "spec.model.adapters contains a name twice. Give each adapter a name of its own."
            )
        if self.served_name in names:
            raise ValueError(rules.ADAPTER_IS_MODEL)
        return self
