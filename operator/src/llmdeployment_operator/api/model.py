"""What is served: `spec.model`."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from llmdeployment_operator.api import rules, sources
from llmdeployment_operator.api.fields import KeyName, Model, ObjectName, cel
from llmdeployment_operator.api.task import Task


class SecretKeyReference(Model):
    """One key of a Secret in the LLMDeployment's namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: KeyName = "token"
    """Key in the Secret."""


class AdapterSpec(Model):
    """A LoRA adapter of the model."""

    model_config = ConfigDict(json_schema_extra=cel(*sources.ADAPTER_RULES))

    name: rules.AdapterName
    """What clients put in `model` to use this adapter."""
    source: sources.AdapterSource
    """Where its files are, in PEFT's format: `pvc://claim/path`, `file:///path/in/the/image`, `hf://organisation/name@commit`,
    `s3://bucket/prefix` or `https://host/folder/SHA256SUMS` (with sha256)."""
    sha256: sources.Sha256 | None = None
    """SHA-256 of the list of files that an https:// source names."""

    @model_validator(mode="after")
    def _list_has_sha256(self) -> Self:
        if (self.sha256 is not None) != self.source.startswith("https://"):
            raise ValueError(sources.ADAPTER_LIST)
        return self


class ModelSpec(Model):
    """The model that is served."""

    model_config = ConfigDict(json_schema_extra=rules.MODEL)

    source: sources.ModelSource
    """Where the model's files are: `hf://organisation/name@revision` (Hugging Face Hub; without a revision `main`),
    `s3://bucket/prefix`, `https://host/folder/SHA256SUMS` (with sha256), `oci://registry/repository:tag` (an image volume, where
    the cluster has them), `pvc://claim/path`, `file:///path/in/the/image`, or `external://` and the model's name at the API of
    spec.engine.external."""
    served_name: rules.ServedName | None = None
    """What clients put in `model`. Default: metadata.name."""
    task: Task | None = None
    """What the model does: `Generate` text, `Embed`, `Rerank`, `Classify`, or score answers (`Reward`). Each task has paths of its own
    (docs/concepts/tasks.md). Default: what the model's own config says."""
    token_secret_ref: SecretKeyReference | None = None
    """Token for a gated repository of the Hub, or sent to an https:// source as `Authorization: Bearer`."""
    credentials_secret_ref: sources.CredentialsReference | None = None
    """Credentials of the S3 store, for s3://. Default: those of the pod's ServiceAccount, else none (a public bucket)."""
    sha256: sources.Sha256 | None = None
    """SHA-256 of the list of files that an https:// source names."""
    allow_pickle: bool = False
    """Whether weights may be pickle files (*.bin, *.pt, *.pkl) if the source has no safetensors. Such a file can run any code
    when it is loaded."""
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
    def _fields_go_with_source(self) -> Self:
        sources.check_source_fields(
            self.source,
            tuple(adapter.source for adapter in self.adapters),
            token=self.token_secret_ref is not None,
            credentials=self.credentials_secret_ref is not None,
            sha256=self.sha256 is not None,
            pickle=self.allow_pickle,
        )
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
