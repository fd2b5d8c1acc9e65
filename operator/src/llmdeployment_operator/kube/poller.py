"""Asks those who send no events, so that no pass waits for anybody: Ray heads, gateways, replicas.

A pass that finds no recent answers asks for a round and ends; the round asks everybody of that LLMDeployment at once and
calls for the next pass when all have answered, or at its deadline. Whoever hangs costs its own LLMDeployment some
seconds, and nobody else anything. Declarations to Ray Serve, which may take a minute, are made here as well.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from llmdeployment_operator.kube import serve
from llmdeployment_operator.kube.errors import ServeRefused, ServeUnavailable
from llmdeployment_operator.kube.store import Owner

log = logging.getLogger(__name__)

FRESH_SECONDS = 1.0
"""Answers of up to this age are taken for those of now; passes are made every two seconds while something is awaited."""

STATS_SECONDS = 5.0
"""How long a gateway or a replica may take to say how it is."""

LOAD_SECONDS = 1.0
"""The same for a replica that autoscaling looks at: one that takes longer did not answer."""

CONNECTIONS = 256
"""Requests to pods at one time."""


@dataclass(frozen=True)
class Target:
    """A pod to ask.

    Attributes:
        uid: of the pod, so that another pod of its name is another target.
        host: its address.
        port: where it answers.
        token: for a Ray head; None for `/stats`.
        seconds: how long it may take.
        path: what a gateway or a replica is asked for.
    """

    uid: str
    host: str
    port: int = 0
    token: str | None = field(default=None, repr=False)
    seconds: float = STATS_SECONDS
    path: str = serve.STATS


@dataclass(frozen=True)
class Answer:
    """What a pod said, and when that was read, in seconds since 1970; `error` says why there is nothing else."""

    at: float
    body: Mapping[str, Any] | None = None
    error: str = ""


@dataclass(frozen=True)
class Round:
    """One round: who was asked for what, and what they said, by uid of the pod; who did not answer in time is absent."""

    finished: float
    asked: frozenset[tuple[str, str]]
    answers: Mapping[str, Answer]


@dataclass
class _State:
    round: Round | None = None
    unread: bool = False
    """Whether no pass has had these answers yet: a pass that waited long in the queue takes them all the same."""
    task: asyncio.Task[None] | None = None
    declaring: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    refused: dict[str, tuple[Mapping[str, Any], str]] = field(default_factory=dict)


class Poller:
    """The last answers for each LLMDeployment, and the rounds under way.

    Args:
        session: for all requests.
        call: is told the LLMDeployment whose next pass is due.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        call: Callable[[Owner], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._call = call
        self._clock = clock
        self._states: dict[Owner, _State] = {}
        self._places = asyncio.Semaphore(CONNECTIONS)

    def answers(self, owner: Owner, targets: Mapping[str, Target]) -> Mapping[str, Answer] | None:
        """Return what these pods said a moment ago, or None: a round was begun, and a pass is called for at its end."""
        if not targets:
            return {}
        state = self._states.setdefault(owner, _State())
        if state.task is not None:
            return None
        last = state.round
        if last is not None and _list_questions(targets.values()) <= last.asked:
            recent = self._clock() - last.finished <= FRESH_SECONDS
            if recent or state.unread:
                state.unread = False
                return {uid: last.answers[uid] for uid in targets if uid in last.answers}
        state.task = asyncio.create_task(self._run_round(owner, state, tuple(targets.values())))
        return None

    def declare(
        self, owner: Owner, runtime: str, host: str, token: str, body: dict[str, Any]
    ) -> str:
        """Declare to Ray Serve in the background; return why it refused this very declaration before, or nothing."""
        state = self._states.setdefault(owner, _State())
        refused = state.refused.get(runtime)
        if refused is not None and refused[0] == body:
            return refused[1]
        if runtime not in state.declaring:
            work = self._declare(owner, state, runtime, host, token, body)
            state.declaring[runtime] = asyncio.create_task(work)
        return ""

    def forget(self, owner: Owner) -> None:
        """Forget an LLMDeployment that is gone, and end what is asked for it."""
        state = self._states.pop(owner, None)
        for task in (state.task, *state.declaring.values()) if state is not None else ():
            if task is not None:
                task.cancel()

    async def close(self) -> None:
        """End everything that is under way."""
        tasks = [
            task
            for state in self._states.values()
            for task in (state.task, *state.declaring.values())
            if task is not None
        ]
        for owner in list(self._states):
            self.forget(owner)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_round(self, owner: Owner, state: _State, targets: tuple[Target, ...]) -> None:
        asked = await asyncio.gather(*map(self._ask, targets), return_exceptions=True)
        answers = {}
        for target, answer in zip(targets, asked, strict=True):
            if isinstance(answer, Answer):
                answers[target.uid] = answer
            elif answer is not None:
                log.error("%s/%s: a pod could not be asked", *owner, exc_info=answer)
        questions = _list_questions(targets)
        state.round, state.unread = Round(self._clock(), questions, answers), True
        state.task = None
        self._call(owner)

    async def _ask(self, target: Target) -> Answer | None:
        """Return what a pod says, or None if it says nothing that can be read within its time."""
        async with self._places:
            if target.token is None:
                body = await serve.get_stats(
                    self._session, target.host, target.port, target.seconds, target.path
                )
                return None if body is None else Answer(time.time(), body)
            try:
                found = await serve.get_applications(
                    self._session, target.host, target.token, target.seconds
                )
            except ServeUnavailable as error:
                return Answer(time.time(), error=str(error))
            return Answer(time.time(), found)

    async def _declare(  # because it is one call with all that it needs
        self,
        owner: Owner,
        state: _State,
        runtime: str,
        host: str,
        token: str,
        body: dict[str, Any],
    ) -> None:
        state.refused.pop(runtime, None)
        try:
            await serve.put_applications(self._session, host, token, body)
        except ServeUnavailable as error:
            # The next pass reads Serve's state again and says so in a condition.
            log.info("runtime %s: %s", runtime, error)
        except ServeRefused as error:
            state.refused[runtime] = (body, str(error))
        finally:
            del state.declaring[runtime]
        # What Serve said before the declaration is no longer true.
        state.round = None
        self._call(owner)


def _list_questions(targets: Iterable[Target]) -> frozenset[tuple[str, str]]:
    """Return who is asked for what: an answer without counts by group does not stand for one with them."""
    return frozenset((target.uid, target.path) for target in targets)
