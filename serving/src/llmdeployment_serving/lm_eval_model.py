"""A revision as a model of lm-evaluation-harness, and the program that asks it tasks. This module needs the extra `lm-eval`.

lm-evaluation-harness has a model for OpenAI's API too, `local-chat-completions`. One refused request ends its run; here, as with every
golden set, it is a wrong answer. It also takes a tokenizer and a second HTTP client, which this does without.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import aiohttp
from lm_eval import __version__, simple_evaluate
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from llmdeployment_serving.checks import quote
from llmdeployment_serving.errors import ServingError
from llmdeployment_serving.evaluate import (
    REQUEST_SECONDS,
    Evaluation,
    ask,
    extract_content,
)
from llmdeployment_serving.golden import MAX_QUESTIONS, GoldenError
from llmdeployment_serving.tasks import Samples, TaskSet, build_body, cut

_GENERATES = "generate_until"


def ask_tasks(
    examination: Evaluation, wanted: TaskSet
) -> tuple[Samples, dict[tuple[str, int], str]]:
    """Return the samples of each task, and why questions have no answer, by task and number of the question.

    Raises:
        GoldenError: a task is unknown, its data cannot be read, or it does not generate text.
        EvaluationError: the revision cannot be reached.
    """
    manager = _build_manager(wanted)
    tasks = [_load(manager, name, wanted) for name in wanted.tasks]
    model = Revision(examination)
    try:
        results = simple_evaluate(
            model=model,
            tasks=tasks,
            task_manager=manager,
            num_fewshot=wanted.num_fewshot,
            limit=wanted.limit,
            bootstrap_iters=0,
            log_samples=True,
            apply_chat_template=True,
            fewshot_as_multiturn=True,
        )
    except ServingError:
        raise
    except Exception as error:
        raise GoldenError(
            f"lm-evaluation-harness {__version__} failed: {_describe(error)}"
        ) from error
    return dict((results or {}).get("samples", {})), model.refused


def _build_manager(wanted: TaskSet) -> Any:  # noqa: ANN401  # because lm-eval has no types
    """Return what knows the tasks. Those that lm-evaluation-harness ships are read only if they are asked for: there are thousands."""
    folder = str(wanted.folder)
    manager = TaskManager(include_path=folder, include_defaults=False)
    if set(wanted.tasks) <= set(manager.all_tasks):
        return manager
    manager = TaskManager(include_path=folder)
    if unknown := [name for name in wanted.tasks if name not in manager.all_tasks]:
        raise GoldenError(
            f"task {unknown[0]} is neither in {wanted.name} nor one of lm-evaluation-harness {__version__}. "
            f"Put its YAML file into {wanted.name}, or correct the name"
        )
    return manager


def _load(manager: Any, name: str, wanted: TaskSet) -> Any:  # noqa: ANN401  # because lm-eval has no types
    """Return a task or a group of tasks with its data.

    Raises:
        GoldenError: its data cannot be read, or it compares probabilities, which a chat API does not give.
    """
    try:
        loaded = manager.load([name])
    except OSError as error:
        raise GoldenError(
            f"the data of task {name} cannot be read: {_describe(error)}. Nothing is downloaded: put the data into {wanted.name}"
        ) from error
    except Exception as error:
        raise GoldenError(
            f"task {name} cannot be loaded: {_describe(error)}. Correct its YAML file or its data"
        ) from error
    for task, made in loaded["tasks"].items():
        if (kind := made.get_config("output_type")) != _GENERATES:
            raise GoldenError(
                f"task {task} compares probabilities of texts ({kind}), which a chat API does not give. "
                f"Use a task whose output_type is {_GENERATES}"
            )
    return loaded["groups"].get(name) or next(iter(loaded["tasks"].values()))


def _describe(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


class Revision(LM):  # type: ignore[misc]  # because lm-eval has no types
    """One revision, asked through the chat API of its replicas."""

    def __init__(self, examination: Evaluation) -> None:
        super().__init__()
        self._examination = examination
        self.refused: dict[tuple[str, int], str] = {}
        """Why there is no answer, by task and number of the question."""

    @property
    def tokenizer_name(self) -> str:
        """The chat template's name: the replicas apply their own."""
        return "chat"

    def apply_chat_template(
        self, chat_history: Sequence[Mapping[str, str]], **_options: object
    ) -> str:
        """Return the messages as JSON, in which form `generate_until` gets them."""
        return json.dumps(list(chat_history), ensure_ascii=False)

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Refuse: a chat API gives no probabilities of texts."""
        raise GoldenError(f"task {requests[0].task_name} compares probabilities of texts")

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Refuse, as `loglikelihood` does."""
        raise GoldenError(f"task {requests[0].task_name} compares probabilities of texts")

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Return the answers, empty where there is none.

        Raises:
            EvaluationError: the revision cannot be reached.
            GoldenError: there are too many questions.
        """
        if len(requests) > MAX_QUESTIONS:
            raise GoldenError(
                f"the tasks hold {len(requests)} questions: at most {MAX_QUESTIONS}. Set lmEval.limit"
            )
        return asyncio.run(self._ask_all(requests))

    async def _ask_all(self, requests: Sequence[Any]) -> list[str]:
        slots = asyncio.Semaphore(self._examination.concurrency)

        async def one(session: aiohttp.ClientSession, request: Any) -> str:  # noqa: ANN401  # because lm-eval has no types
            async with slots:
                return await self._ask_one(session, request)

        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(one(session, request)) for request in requests]
            except ExceptionGroup as errors:
                # Not `except*`: Python 3.11.2 wraps what is raised there into a group again.
                raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _ask_one(self, session: aiohttp.ClientSession, request: Any) -> str:  # noqa: ANN401  # because lm-eval has no types
        asked = self._examination
        context, wanted = request.args
        body = build_body(asked.model, asked.max_tokens, json.loads(context), wanted)
        url = f"{asked.url}/v1/chat/completions"
        who = f"revision {asked.revision} at {asked.url}"
        headers = {"x-llm-revision": asked.revision}
        status, text = await ask(session, asked, who, url, body, headers)
        answer = extract_content(text) if status == HTTPStatus.OK else None
        if answer is None:
            why = "no text" if status == HTTPStatus.OK else str(int(status))
            self.refused[request.task_name, int(request.doc_id)] = f"answered {why}: {quote(text)}"
            return ""
        return cut(answer, wanted.get("until"))
