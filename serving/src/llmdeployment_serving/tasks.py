"""Tasks of lm-evaluation-harness: which are asked, and what it says of each question, as answers that are right or wrong.

A sample is one row of `simple_evaluate(..., log_samples=True)["samples"][task]`: one for each question and filter, with the values of the
task's metrics. Its fields are those of lm-evaluation-harness 0.4 (`docs/interface.md` there).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmdeployment_serving.checks import quote
from llmdeployment_serving.errors import join_lines
from llmdeployment_serving.evaluation_result import Failure
from llmdeployment_serving.golden import GoldenError

METRICS = ("exact_match", "acc")
"""The metrics that say whether an answer is right, the first one first. A task without them has to have one that is 0 or 1."""
MAX_STOPS = 4
"""Texts at which an answer ends, of which OpenAI's API takes so many. All of them end it here."""
_NOT_OF_THE_API = frozenset({"until", "do_sample", "max_gen_toks"})
_HASHES = ("doc_hash", "prompt_hash", "target_hash")

Samples = Mapping[str, Sequence[Mapping[str, Any]]]
"""Samples by task."""


@dataclass(frozen=True)
class TaskSet:
    """Tasks, and where they are.

    Attributes:
        tasks: names of tasks, groups or tags.
        folder: has the tasks' YAML files and data.
        name: the folder's name in messages.
        limit: how many questions of each task are asked, the first ones; None asks all.
        num_fewshot: examples before each question; None leaves it to the task.
    """

    tasks: tuple[str, ...]
    folder: Path
    name: str
    limit: int | None = None
    num_fewshot: int | None = None


@dataclass(frozen=True)
class TaskResult:
    """The answers to all questions, in the order of the tasks and of the questions in each.

    Attributes:
        total: questions.
        failures: those that were answered wrongly.
        contents: hash of the questions as they were asked, and of what is right.
    """

    total: int
    failures: tuple[Failure, ...]
    contents: str


def build_body(
    model: str,
    max_tokens: int | None,
    messages: Sequence[Mapping[str, str]],
    wanted: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the request of a question.

    Args:
        model: value of the field `model`.
        max_tokens: limit of the answer's tokens for a task without its own, or None.
        messages: the conversation.
        wanted: the task's `generation_kwargs`, whose names are not all OpenAI's.

    >>> build_body("chat", None, [], {"until": ["Q:"], "do_sample": False, "max_gen_toks": 8, "top_p": 0.5})
    {'model': 'chat', 'temperature': 0, 'messages': [], 'max_tokens': 8, 'stop': ['Q:'], 'top_p': 0.5}
    """
    body: dict[str, Any] = {"model": model, "temperature": 0, "messages": list(messages)}
    limit = wanted.get("max_gen_toks", max_tokens)
    if limit is not None:
        body["max_tokens"] = int(limit)
    if stops := _list_stops(wanted.get("until")):
        body["stop"] = stops[:MAX_STOPS]
    return body | {name: value for name, value in wanted.items() if name not in _NOT_OF_THE_API}


def cut(answer: str, until: str | Iterable[str] | None) -> str:
    """Return an answer up to the first of the texts that end it.

    >>> cut("4. Question: 5 + 5?", ["Answer:", "Question:"])
    '4. '
    """
    ends = [place for stop in _list_stops(until) if (place := answer.find(stop)) >= 0]
    return answer[: min(ends)] if ends else answer


def read_samples(samples: Samples, refused: Mapping[tuple[str, int], str]) -> TaskResult:
    """Return the answers.

    Args:
        samples: of each task.
        refused: why the revision gave no answer, by task and number of the question.

    Raises:
        GoldenError: a task has no metric that is 0 or 1 for each question, or there is no question.

    >>> row = {"doc_id": 0, "filter": "none", "metrics": ["exact_match"], "target": "4"}
    >>> rows = [{**row, "exact_match": 1.0}, {**row, "doc_id": 1, "exact_match": 0.0, "filtered_resps": ["5"]}]
    >>> read_samples({"sums": rows}, {}).failures
    (Failure(number=2, id='sums/1', why="is '5', not '4'"),)
    """
    failures, asked = [], []
    for task in sorted(samples):
        rows = _select_first_filter(samples[task])
        metric = _find_metric(task, rows)
        for row in rows:
            place = int(row["doc_id"])
            asked.append([task, place, metric, *(row.get(each) for each in _HASHES)])
            if not row[metric]:
                why = refused.get((task, place)) or _describe(row)
                failures.append(Failure(len(asked), f"{task}/{place}", why))
    if not asked:
        raise GoldenError(f"the tasks {', '.join(sorted(samples))} hold no question")
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    contents = hashlib.sha256(text.encode()).hexdigest()[:16]
    return TaskResult(len(asked), tuple(failures), contents)


def _list_stops(until: str | Iterable[str] | None) -> list[str]:
    texts = [until] if isinstance(until, str) else list(until or ())
    return [text for text in texts if text]


def _select_first_filter(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return one sample a question, of the first of the task's filters, in the order of the questions."""
    first = rows[0].get("filter") if rows else None
    return sorted((r for r in rows if r.get("filter") == first), key=lambda row: int(row["doc_id"]))


def _find_metric(task: str, rows: Sequence[Mapping[str, Any]]) -> str:
    listed = list(dict.fromkeys(str(each) for row in rows for each in row.get("metrics", ())))
    known = [metric for metric in METRICS if metric in listed]
    for metric in (*known, *listed):
        if all(row.get(metric) in (0, 1) for row in rows):
            return metric
    if not rows:
        return ""
    raise GoldenError(
        f"task {task} has no metric that is 0 or 1 for each question (it has {', '.join(listed) or 'none'}). "
        "Use a task with exact_match or acc"
    )


def _describe(row: Mapping[str, Any]) -> str:
    answers = row.get("filtered_resps") or [""]
    said, wanted = join_lines(str(answers[0])).strip(), join_lines(str(row.get("target"))).strip()
    return f"is {quote(said)}, not {quote(wanted)}"
