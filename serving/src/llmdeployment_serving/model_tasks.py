"""What a model does with a text (`spec.model.task`), and the paths that it answers then.

vLLM runs a model either to generate or to pool: to make vectors, scores or labels of its last layer. Which of these a model can do is in
its own config, so the engine is asked once it has started.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from llmdeployment_serving.errors import ConfigError

EMBEDDING_PATH = "/v1/embeddings"
SCORING_PATHS = ("/v1/rerank", "/v2/rerank", "/v1/score")
CLASSIFY_PATH = "/classify"
POOLING_PATH = "/pooling"


class Task(StrEnum):
    """The values of `spec.model.task`."""

    GENERATE = "Generate"
    EMBED = "Embed"
    RERANK = "Rerank"
    CLASSIFY = "Classify"
    REWARD = "Reward"


_VERBS = {
    Task.GENERATE: "generates text",
    Task.EMBED: "embeds",
    Task.RERANK: "reranks",
    Task.CLASSIFY: "classifies",
    Task.REWARD: "scores answers (Reward)",
}


@dataclass(frozen=True)
class ModelTask:
    """A model's task, and its own paths; those of a model that generates are its engine's."""

    task: Task
    paths: tuple[str, ...] = ()

    @property
    def verb(self) -> str:
        """What the model does, for sentences that begin with "this model"."""
        return _VERBS[self.task]

    def describe(self) -> dict[str, str]:
        """Return this part of `/stats`: nothing of a model that generates, as before there were tasks."""
        return {} if self.task == Task.GENERATE else {"task": self.task.value}


_CLASSIFYING = ("ForSequenceClassification", "ForTokenClassification")
_WRITING = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
"""Ends of the names of classes, as vLLM reads them (`_SUFFIX_TO_DEFAULTS` of its model config)."""
GENERATES = ModelTask(Task.GENERATE)
_EMBEDS = ModelTask(Task.EMBED, (EMBEDDING_PATH, POOLING_PATH, *SCORING_PATHS))
_EMBEDS_TOKENS = ModelTask(Task.EMBED, (POOLING_PATH, *SCORING_PATHS))
_RERANKS = ModelTask(Task.RERANK, (*SCORING_PATHS, CLASSIFY_PATH, POOLING_PATH))
_CLASSIFIES = ModelTask(Task.CLASSIFY, (CLASSIFY_PATH, POOLING_PATH))
_CLASSIFIES_TOKENS = ModelTask(Task.CLASSIFY, (POOLING_PATH,))
_REWARDS = ModelTask(Task.REWARD, (POOLING_PATH,))


def check_architectures(architectures: Iterable[str], wanted: str | None) -> None:
    """Refuse a task that the model's last layer is not for, before vLLM loads it.

    Of a head that it does not need, vLLM only says which weights do not fit. One that it needs and the files lack it makes up.

    >>> check_architectures(["LlamaForCausalLM"], "Embed")

    Raises:
        ConfigError: what to set instead.
    """
    for name in architectures:
        if wanted in {Task.EMBED, Task.GENERATE} and name.endswith(_CLASSIFYING):
            raise ConfigError(
                f"spec.model.task is {wanted}, but this model ({name}) has a head that classifies. "
                "Set Rerank, Classify or Reward, or use another model."
            )
        if wanted in {Task.RERANK, Task.CLASSIFY} and name.endswith(_WRITING):
            raise ConfigError(
                f"spec.model.task is {wanted}, but this model ({name}) has no head that classifies. "
                "Use a model that has one, or name its class in the flag hf-overrides."
            )


def find_pooling(pooling_task: str, labels: int, architecture: str) -> ModelTask:
    """Return what a model does that vLLM pools.

    Args:
        pooling_task: vLLM's own name (`vllm.tasks.PoolingTask` of 0.32).
        labels: how many scores its head gives; a cross-encoder, which reranks, gives one.
        architecture: the model's class in its config.

    >>> find_pooling("classify", 1, "BertForSequenceClassification").task
    <Task.RERANK: 'Rerank'>
    >>> find_pooling("token_classify", 2, "Qwen2ForProcessRewardModel").paths
    ('/pooling',)
    """
    if pooling_task == "embed":
        return _EMBEDS
    if pooling_task == "token_embed":
        # Models with a vector for each token, such as ColBERT: vLLM gives them no /v1/embeddings.
        return _EMBEDS_TOKENS
    if pooling_task == "classify":
        return _RERANKS if labels == 1 else _CLASSIFIES
    return _CLASSIFIES_TOKENS if "ForTokenClassification" in architecture else _REWARDS


def choose_task(found: ModelTask, wanted: str | None) -> ModelTask:
    """Return what a model does that is found to do something, for a user who wants something.

    A head with one score is a reranker, a classifier of one label or a reward model, as its user says.

    >>> choose_task(_RERANKS, "Reward")
    ModelTask(task=<Task.REWARD: 'Reward'>, paths=('/classify', '/pooling'))

    Raises:
        ConfigError: the model cannot do what is wanted.
    """
    if wanted is None or wanted == found.task:
        return found
    if found.task in {Task.RERANK, Task.CLASSIFY} and wanted in {Task.CLASSIFY, Task.REWARD}:
        paths = tuple(path for path in found.paths if path not in SCORING_PATHS)
        return ModelTask(Task(wanted), paths)
    why = f"this model {found.verb}"
    if found.task == Task.CLASSIFY and wanted == Task.RERANK:
        why += ", with more than one label, and a reranker has one"
    raise ConfigError(
        f"spec.model.task is {wanted}, but {why}. Set {found.task}, or use another model."
    )
