"""The configuration that the operator gives to a replica: `ServingConfig` at its start, and `UserConfig` whenever it changes.

Both are strict. A replica refuses a field that it does not know, because an ignored field is a setting that a user relies
on. The operator renders them; `tests/data/serving/put.json` holds both sides to the same text.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from llmdeployment_serving.errors import ConfigError

DEPLOYMENT_NAME = "replica"
REPLICA_RESOURCE = "replica"
REPLICA_PORT = 30000

FlagName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*(\.[A-Za-z0-9_-]+)*$", max_length=64)
]
BASE_URL = r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?$"
"""No credentials, query or fragment: a key in a URL ends up in logs."""
FlagValue = bool | int | float | str
AdapterName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$", max_length=128)
]
PatternName = Annotated[
    str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=32)
]
RevisionNumber = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,9}$")]

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
    "data-parallel-size": "scaling adds replicas",
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
    "enable-elastic-ep": "scaling adds replicas",
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
"""Flags of `vllm serve` that `spec.engine.args` may not hold, and why. All others go to vLLM, which checks them."""

ENGINE_TASKS = {"simulated": ("Generate", "Embed"), "transformers": ("Generate",)}
"""Tasks of the engines that have not all of them."""
TASK_FLAGS = ("runner", "convert")
"""Flags that `task` sets."""

RESERVED_DEFAULTS = ("messages", "model", "prompt", "stream", "stream_options")


class _Strict(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


class PromptConfig(_Strict):
    """Fields that a revision adds to its requests."""

    system: str | None = None
    """Text that goes before all messages of the client."""
    defaults: dict[str, JsonValue] = Field(default_factory=dict)
    """Request fields for clients that leave them out, such as `temperature`."""

    @field_validator("defaults")
    @classmethod
    def _no_reserved_defaults(cls, defaults: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name in RESERVED_DEFAULTS:
            if name in defaults:
                raise ValueError(f"prompt.defaults cannot hold {name}")
        return defaults


class ExternalConfig(_Strict):
    """An OpenAI-compatible API that somebody else runs. Its key is in the environment: see `external.API_KEY`."""

    base_url: str = Field(alias="baseURL", pattern=BASE_URL)
    """The `base_url` of an OpenAI client; `/chat/completions` is appended to it."""
    model: str = Field(min_length=1)
    """The model's name in that API."""
    timeout_seconds: int = Field(default=600, ge=1, le=3600)
    """Seconds that the API may send nothing before a request fails."""
    prompt: PromptConfig = PromptConfig()
    """The prompt of all revisions of these pods: without Ray it cannot change while they run."""


class EngineConfig(_Strict):
    """Which engine, and its flags without the leading dashes."""

    name: Literal["vllm", "transformers", "simulated", "external"] = "vllm"
    args: dict[FlagName, FlagValue] = Field(default_factory=dict)
    external: ExternalConfig | None = Field(default=None, exclude_if=lambda value: value is None)
    """The external API; for the external engine only."""

    @field_validator("args")
    @classmethod
    def _no_reserved_flags(cls, args: dict[str, FlagValue]) -> dict[str, FlagValue]:
        for flag in args:
            # vLLM takes `lora-modules.name` for a part of `lora-modules`.
            whole = flag.removeprefix("no-").split(".")[0]
            if reason := RESERVED_FLAGS.get(whole):
                raise ValueError(f"flag {flag} cannot be set: {reason}")
        return args

    @model_validator(mode="after")
    def _external_if_named(self) -> "EngineConfig":
        if (self.name == "external") != (self.external is not None):
            raise ValueError("external must be set for the external engine, and for no other")
        if self.name == "external" and self.args:
            raise ValueError("args must be empty: the external engine has no flags")
        return self


class ServingConfig(_Strict):
    """The configuration that a replica starts with; any change makes a new runtime."""

    served_name: str = Field(min_length=1)
    """The name that clients put in `model`."""
    model_path: str = ""
    """Folder of the model in this pod; may be empty for the simulated engine only."""
    engine: EngineConfig = EngineConfig()
    max_ongoing_requests: int = Field(default=256, ge=1)
    """Requests that a replica takes at once, with waiting ones; it refuses more with 503."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    pipeline_parallel_size: int = Field(default=1, ge=1)
    gpus: int = Field(default=0, ge=0)
    """GPUs of a replica (Ray's `num_gpus`); 0 runs on the CPU."""
    adapters: bool = False
    """Whether the engine can load LoRA adapters; the `UserConfig` lists them."""
    task: Literal["Generate", "Embed", "Rerank", "Classify", "Reward"] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    """What the model does; None leaves it to the model's own config."""

    @model_validator(mode="after")
    def _consistent(self) -> "ServingConfig":
        name = self.engine.name
        if name in {"vllm", "transformers"} and not self.model_path:
            raise ValueError(f"modelPath is empty: the {name} engine needs a model")
        if name == "transformers" and self.adapters:
            raise ValueError("adapters must be false: the transformers engine loads none")
        self._check_task()
        wanted = self.tensor_parallel_size * self.pipeline_parallel_size
        if name == "transformers" and wanted > 1:
            raise ValueError("tensorParallelSize must be 1: the transformers engine has one GPU")
        if self.gpus and self.gpus != wanted:
            raise ValueError(
                f"gpus is {self.gpus} but tensorParallelSize x pipelineParallelSize is {wanted}"
            )
        return self

    def _check_task(self) -> None:
        if self.task is None:
            return
        if self.engine.name == "external":
            raise ValueError("task cannot be set for the external engine")
        if self.task not in ENGINE_TASKS.get(self.engine.name, (self.task,)):
            known = " or ".join(ENGINE_TASKS[self.engine.name])
            raise ValueError(f"task must be {known}: the {self.engine.name} engine does no other")
        for flag in TASK_FLAGS:
            if flag in self.engine.args:
                raise ValueError(f"flag {flag} cannot be set: task sets it")


class AdapterConfig(_Strict):
    """A LoRA adapter."""

    name: AdapterName
    """The name that clients put in `model`."""
    path: str = Field(min_length=1)
    """Its folder in this pod."""


class RevisionConfig(_Strict):
    """One revision of this runtime."""

    prompt: PromptConfig = PromptConfig()
    adapters: tuple[AdapterConfig, ...] = Field(default=(), max_length=16)


class SelfTestConfig(_Strict):
    """How a replica shows that it computes right; see `self_test`."""

    enabled: bool = True
    reference: float | None = None
    """Nats per token that the operator knows of; None until it does."""
    reference_from: Literal["Transformers", "FirstReplica"] = "Transformers"
    """Where the reference comes from, or should come from if there is none yet."""
    period_seconds: int = Field(default=21_600, ge=60)
    """Seconds between two tests of a running replica."""


class OutputPatternConfig(_Strict):
    """A pattern that is looked for in answers."""

    name: PatternName
    """Its name in `/stats` and in metrics, after `pattern/`."""
    pattern: str = Field(min_length=1, max_length=512)
    """What is looked for, as RE2 writes it. The operator has tried it; one that is not RE2 is not looked for."""


class TracesConfig(_Strict):
    """Which answers get a span: those of sampled traces, those that fail, and slow ones."""

    sample_percent: float = Field(default=1.0, ge=0, le=100)
    """Percent of the traces that begin here that are sampled; a sender decides for its own."""
    slower_than_seconds: float = Field(default=30.0, gt=0)
    """Seconds from arrival to the last byte, above which an answer is slow."""


class RequestLogConfig(_Strict):
    """What is logged of requests, and where; see `request_log`."""

    level: Literal["Metadata", "Content"] = "Metadata"
    """Content: prompts and answers too. The operator says it only if whoever installed it allows it."""
    sample_percent: int = Field(default=100, ge=1, le=100)
    """Percent of the requests that are logged."""
    redact: tuple[OutputPatternConfig, ...] = Field(default=(), max_length=16)
    """What is removed from prompts and answers, besides the built-in secrets."""
    sink: Literal["Stdout", "OTLP", "PVC"] = "Stdout"
    """Where lines go."""
    endpoint: str = Field(default="", pattern=r"^(https?://[A-Za-z0-9.:/_-]*)?$", max_length=512)
    """Base URL of the collector; empty: that of the environment."""
    retention_days: int = Field(default=30, ge=1, le=3650)
    """Days that files are kept on a claim."""
    max_size_gib: int = Field(default=10, ge=1, le=100_000, alias="maxSizeGiB")
    """GiB that the files of the LLMDeployment may take on it."""


class MonitoringConfig(_Strict):
    """What answers are looked at for, besides the built-in shares, and what is logged of them."""

    output_patterns: tuple[OutputPatternConfig, ...] = Field(default=(), max_length=16)
    traces: TracesConfig | None = None
    """Which answers get a span; None: none."""
    request_log: RequestLogConfig | None = None


class ShadowConfig(_Strict):
    """A revision without requests, which a sample of live requests is asked of too; see `shadow`."""

    stable: RevisionNumber
    """The revision whose requests are sampled."""
    revision: RevisionNumber
    """The canary."""
    url: str = Field(pattern=r"^http://[a-z0-9.-]{1,400}:[0-9]{1,5}$")
    """Base URL of the canary's replicas."""
    percent: int = Field(ge=1, le=100)
    """Percent of the requests that are sampled."""
    max_tokens: int = Field(ge=1, le=4096)
    """Limit of an answer's tokens."""
    seconds: int = Field(ge=1, le=86_400)
    """How long requests are sampled: an operator that is gone cannot end it."""


class UserConfig(_Strict):
    """The configuration that may change while a replica runs."""

    revisions: dict[RevisionNumber, RevisionConfig] = Field(default_factory=dict)
    self_test: SelfTestConfig = SelfTestConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
    shadows: tuple[ShadowConfig, ...] = Field(default=(), max_length=8)
    """One for each arm whose canary is shadowed."""

    def find_newest(self) -> str | None:
        """Return the highest revision number, or None if there is none."""
        return max(self.revisions, key=int, default=None)


_Config = TypeVar("_Config", ServingConfig, UserConfig, MonitoringConfig)


def parse(kind: type[_Config], document: Any) -> _Config:  # noqa: ANN401  # because JSON from outside may be anything
    """Return `document` as `kind`.

    Raises:
        ConfigError: the message names each refused field in one line. Pydantic's own text ends in a link, and a user sees only
            the last line.
    """
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or kind.__name__}: "
            f"{item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_url=False, include_input=False)
        )
        raise ConfigError(f"{kind.__name__} is not valid: {found}") from None
