"""Tasks of lm-evaluation-harness as a golden set: `llmdeployment-serving evaluate --lm-eval`.

Nothing is downloaded. The tasks' files and data are in one folder, and relative paths in them are relative to it. The folder is also where
a task that lm-evaluation-harness ships finds its data: `gsm8k` asks for `openai/gsm8k`, and datasets prefers a folder of that name.
"""

import os

from llmdeployment_serving.evaluate import Evaluation
from llmdeployment_serving.evaluation_result import format_result
from llmdeployment_serving.golden import GoldenError
from llmdeployment_serving.tasks import TaskSet, read_samples

OFFLINE = {
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "HF_HUB_OFFLINE": "1",
    "TQDM_DISABLE": "1",
}
"""The environment of lm-evaluation-harness, which reads it when it is imported: no downloads, and no progress bars in the log."""
NO_PACKAGE = (
    "this image has no lm-evaluation-harness. Give spec.rollout.evaluation.image an image with "
    "llmdeployment-serving[lm-eval], such as one built with ENGINE=lm-eval"
)


def evaluate_tasks(examination: Evaluation, wanted: TaskSet) -> str:
    """Return the result as JSON, as `evaluate.evaluate` does. The process must not have imported lm-evaluation-harness before.

    Raises:
        GoldenError: the package is missing, or the tasks cannot be asked.
        EvaluationError: the revision cannot be reached.
    """
    if not wanted.folder.is_dir():
        raise GoldenError(f"{wanted.name} is not a folder: is the path right?")
    os.environ.update(OFFLINE)
    os.chdir(wanted.folder)
    try:
        from llmdeployment_serving import lm_eval_model  # noqa: PLC0415  # because it is heavy, and absent without the extra
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("llmdeployment"):
            raise
        raise GoldenError(NO_PACKAGE) from None
    samples, refused = lm_eval_model.ask_tasks(examination, wanted)
    found = read_samples(samples, refused)
    return format_result(found.total, found.failures, found.contents, examination.baseline)
