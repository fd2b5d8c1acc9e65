"""What a model does: `spec.model.task`, and what of the spec is for models that generate only."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from llmdeployment_operator.api import external
from llmdeployment_operator.api.fields import Extension

Task = Literal["Generate", "Embed", "Rerank", "Classify", "Reward"]
ENGINE_TASKS: Mapping[str, tuple[Task, ...]] = {
    "simulated": ("Generate", "Embed"),
    "transformers": ("Generate",),
}
"""Tasks of the engines that have not all of them."""
WITHOUT_SHADOW = ("Rerank", "Classify", "Reward")
COUNTED = ("errorRate", "e2e", "feedback")
"""Metrics of answers that have no tokens."""

FLAGS: dict[str, Extension] = {
    flag: {
        "type": "string",
        "maxLength": 64,
        "description": "Refused with spec.model.task, which sets it.",
    }
    for flag in ("runner", "convert")
}
"""Flags that a task sets. CEL sees a field of a preserving object only if it is declared."""

WITH_FLAG = (
    "spec.engine.args cannot contain runner or convert with spec.model.task, which sets both. "
    "Remove the flags or the task."
)
WITH_EXTERNAL = (
    "spec.model.task cannot be set with spec.engine.name external, whose pods pass chats and completions on. "
    "Remove it."
)
NOT_OF_THE_ENGINE = (
    "spec.model.task must be Generate with spec.engine.name transformers, and Generate or Embed with simulated. "
    "Change one of them."
)
WITH_SYSTEM = (
    "spec.prompt.system is for models that generate, and spec.model.task is another. "
    "Remove spec.prompt.system."
)
WITH_EVALUATION = (
    "spec.rollout.evaluation asks questions, and a model with this spec.model.task answers none. "
    "Remove it, and compare with spec.rollout.analysis."
)
WITH_TARGETS = (
    "spec.scaling.targets can only have e2e with this spec.model.task, because the answers have no tokens. "
    "Remove ttft and itl."
)
WITH_METRICS = (
    "Metrics of spec.rollout.analysis and spec.experiment can only be errorRate, e2e and feedback with this spec.model.task, "
    "because the answers have no text. Remove the others."
)
WITH_SHADOW = (
    "spec.rollout.shadow compares texts and embeddings, and a model with this spec.model.task has neither. "
    "Remove it."
)

_ANY = "!has(self.model.task)"
_NO_METRIC_OF_TEXT = (
    "!has(self.rollout) || !has(self.rollout.analysis) || "
    f"self.rollout.analysis.metrics.all(m, m.name in {list(COUNTED)})"
)
_NO_ARM_BY_TEXT = (
    f"!has(self.experiment) || self.experiment.metrics.all(m, m.name in {list(COUNTED)})"
)
_NO_SHADOW = "!has(self.rollout) || !has(self.rollout.shadow)"
_GENERATES = f"{_ANY} || self.model.task == 'Generate'"
_NO_FLAG = (
    "!has(self.engine.args) || (!has(self.engine.args.runner) && !has(self.engine.args.convert))"
)
SPEC_RULES = (
    (f"{_ANY} || {_NO_FLAG}", WITH_FLAG),
    (f"{_ANY} || self.engine.name != 'external'", WITH_EXTERNAL),
    *(
        (
            f"{_ANY} || self.engine.name != '{engine}' || self.model.task in {list(tasks)}",
            NOT_OF_THE_ENGINE,
        )
        for engine, tasks in ENGINE_TASKS.items()
    ),
    (f"{_GENERATES} || !has(self.prompt) || !has(self.prompt.system)", WITH_SYSTEM),
    (f"{_GENERATES} || !has(self.rollout) || !has(self.rollout.evaluation)", WITH_EVALUATION),
    (
        f"{_GENERATES} || !has(self.scaling) || (!has(self.scaling.targets.ttft) && !has(self.scaling.targets.itl))",
        WITH_TARGETS,
    ),
    (f"{_GENERATES} || {_NO_METRIC_OF_TEXT}", WITH_METRICS),
    (f"{_GENERATES} || {_NO_ARM_BY_TEXT}", WITH_METRICS),
    (f"{_ANY} || !(self.model.task in {list(WITHOUT_SHADOW)}) || {_NO_SHADOW}", WITH_SHADOW),
)
"""Rules of `spec`: they look at two of its fields."""


def check_task_engine(task: Task | None, engine: str, args: Mapping[str, Any]) -> None:
    """Refuse a task that the engine or its flags contradict.

    Raises:
        ValueError: what to do instead.
    """
    if task is None:
        return
    if FLAGS.keys() & args.keys():
        raise ValueError(WITH_FLAG)
    if engine == external.NAME:
        raise ValueError(WITH_EXTERNAL)
    if task not in ENGINE_TASKS.get(engine, (task,)):
        raise ValueError(NOT_OF_THE_ENGINE)


def check_task_prompt(task: Task | None, system: str | None) -> None:
    """Refuse a system text of a model that has no place for it.

    Raises:
        ValueError: what to do instead.
    """
    if task not in {None, "Generate"} and system is not None:
        raise ValueError(WITH_SYSTEM)


def check_task_comparisons(
    task: Task | None, used: Mapping[str, bool], targets: Iterable[str], metrics: Iterable[str]
) -> None:
    """Refuse what looks at text or tokens of a model that makes none.

    Args:
        task: of the model.
        used: whether `evaluation` and `shadow` are set.
        targets: names of the scaling targets.
        metrics: names of the metrics of the analysis and of the experiment.

    Raises:
        ValueError: what to do instead.
    """
    if task in WITHOUT_SHADOW and used["shadow"]:
        raise ValueError(WITH_SHADOW)
    if task in {None, "Generate"}:
        return
    if used["evaluation"]:
        raise ValueError(WITH_EVALUATION)
    if set(targets) - {"e2e"}:
        raise ValueError(WITH_TARGETS)
    if set(metrics) - set(COUNTED):
        raise ValueError(WITH_METRICS)
