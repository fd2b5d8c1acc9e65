"""Tasks of lm-evaluation-harness as a golden set: `spec.rollout.evaluation.golden.lmEval`."""

from typing import Annotated

from pydantic import AfterValidator, Field

from llmdeployment_operator.api.fields import Model, Text

NEEDS_IMAGE = (
    "spec.rollout.evaluation.golden.lmEval needs spec.rollout.evaluation.image, because the default image has no lm-evaluation-harness. "
    "Name an image with llmdeployment-serving[lm-eval]."
)
NO_JUDGE = (
    "spec.rollout.evaluation.judge cannot be set with golden.lmEval, whose tasks have metrics of their own. "
    "Remove the judge."
)
NO_DUPLICATES = "spec.rollout.evaluation.golden.lmEval.tasks contains a task twice. Remove one."
RULES = (
    ("!has(self.golden.lmEval) || has(self.image)", NEEDS_IMAGE),
    ("!has(self.golden.lmEval) || !has(self.judge)", NO_JUDGE),
)
"""Rules of `spec.rollout.evaluation`."""

_task = Text(1, 128).must(
    r"[A-Za-z0-9_][A-Za-z0-9_.+-]*",
    "spec.rollout.evaluation.golden.lmEval.tasks must have names of tasks, such as gsm8k: letters, digits, _, ., + and -.",
)
_folder = Text(1, 1024).must(
    r"pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*",
    "spec.rollout.evaluation.golden.lmEval.pvc must be pvc://claim or pvc://claim/path. "
    "Write the name of a PersistentVolumeClaim and a path without .. or spaces.",
)
TaskName = Annotated[str, *_task.annotations()]
ClaimFolder = Annotated[str, *_folder.annotations()]


def _check_once(tasks: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(tasks)) < len(tasks):
        raise ValueError(NO_DUPLICATES)
    return tasks


class LmEvalSpec(Model):
    """Tasks of lm-evaluation-harness that generate text, and whose metric is 0 or 1 for each question (docs/how-to/golden-set.md)."""

    tasks: Annotated[
        tuple[TaskName, ...],
        Field(
            strict=False,
            min_length=1,
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
        AfterValidator(_check_once),
    ]
    """Names of tasks or groups: of YAML files in the folder, or of those that lm-evaluation-harness ships."""
    pvc: ClaimFolder
    """The folder with the tasks' YAML files and their data, `pvc://claim/path`; mounted read-only. Relative paths in the files begin there.
    Nothing is downloaded."""
    limit: Annotated[int, Field(ge=1, le=10_000, json_schema_extra={"format": "int32"})] | None = (
        None
    )
    """How many questions of each task are asked, the first ones. Default: all; more than 10,000 in all are refused."""
    num_fewshot: (
        Annotated[int, Field(ge=0, le=64, json_schema_extra={"format": "int32"})] | None
    ) = None
    """How many examples go before each question. Default: the task's own number."""
