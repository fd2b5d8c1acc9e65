"""Leadership by a Lease: takes it, renews it, gives it up, and opens and closes the fence accordingly.

What to do next is decided in `plan/base/leadership.py`; here are the calls. The official client brings an election too
(`kubernetes.aio.leaderelection`). It judges by the wall read_clock, ends at the first connection that breaks, releases
nothing at its end, and gives the leader no deadline to check before a write, so it cannot be used here.
"""

import asyncio
import contextlib
import logging
import random
import socket
import uuid
from datetime import UTC, datetime

from kubernetes.aio.client import ApiClient

from llmdeployment_operator.kube import objects
from llmdeployment_operator.kube.errors import (
    ApiConflict,
    ApiRefused,
    LeaseLost,
    OperatorError,
)
from llmdeployment_operator.kube.fence import Fence, read_clock
from llmdeployment_operator.kube.objects import Object
from llmdeployment_operator.kube.resources import LEASE
from llmdeployment_operator.plan.base.leadership import (
    Election,
    Observation,
    Step,
    build_held_spec,
    build_released_spec,
    decide,
    observe_lease,
    read_lease,
)

log = logging.getLogger(__name__)

REQUEST_SECONDS = 5.0
"""One try to take or renew the Lease; half the default renewal deadline, so that a lost answer leaves time for another."""

RELEASE_SECONDS = 3.0

REFUSALS = 3
"""So many refusals in a row, and only before the Lease was ever read, mean that there is no RBAC rule for Leases.

One may be an API server that does not know a new RoleBinding yet.
"""

_FORBIDDEN = 403
_ATTEMPT_ERRORS = (OperatorError, TimeoutError)


class Leadership:
    """Whether this process is the one that acts.

    Args:
        client: a client without a fence: the Lease is written before anything may be.
        election: how a leader is elected; None: this process is alone and always leads.
        fence: is open while this process leads.
    """

    def __init__(self, client: ApiClient, election: Election | None, fence: Fence) -> None:
        self._client = client
        self._alone = election is None
        self._election = election or Election("", "")
        self._fence = fence
        self._identity = f"{socket.gethostname()}_{uuid.uuid4()}"
        self._observation: Observation | None = None
        self._deadline: float | None = None
        self._refusals = 0

    @property
    def leads(self) -> bool:
        """Whether this process may write now."""
        return self._fence.seconds_left() > 0

    async def acquire(self, stop: asyncio.Event) -> bool:
        """Wait until this process leads; return False when `stop` was set before."""
        if self._alone:
            log.info("leader election is off: run one operator only")
            self._fence.open_until(float("inf"))
        while not stop.is_set() and not self.leads:
            # Nothing was done yet in the name of a Lease that was taken and is lost already.
            self._deadline = None
            step = await self._try(REQUEST_SECONDS)
            if not self.leads:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._seconds_to_next(step))
        return self.leads

    async def keep(self) -> None:
        """Renew the Lease for as long as this process leads.

        Raises:
            LeaseLost: it does not lead any more. Nothing it knows can be relied on from here, because another operator
                may act already: the process should end, and be started again as a new candidate.
        """
        while self._alone:
            await asyncio.Event().wait()
        while True:
            left = self._fence.seconds_left()
            pause = min(self._election.retry_seconds, max(0.0, left))
            await asyncio.sleep(pause)  # why: the period of renewals
            left = self._fence.seconds_left()
            step = await self._try(min(REQUEST_SECONDS, max(0.0, left)))
            if step is Step.MAKE:
                # It was deleted: take the new one before others do.
                step = await self._try(min(REQUEST_SECONDS, max(0.0, left)))
            if step is Step.STOP or not self.leads:
                self._fence.close()
                raise LeaseLost(self._explain_loss())

    async def release(self) -> None:
        """Give the Lease up, if this process holds it, so that another takes it at once; call when all passes have ended."""
        held = self.leads and not self._alone
        self._fence.close()
        if not held:
            return
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                while not await self._give_up():
                    pass
        except _ATTEMPT_ERRORS as error:
            log.warning(
                "the Lease could not be released: another operator takes it when it expires: %s",
                _describe(error),
            )
        else:
            log.info("released %s", self._describe_lease())

    async def _give_up(self) -> bool:
        """Release the Lease; return False when it was changed meanwhile, such as by a renewal that was on its way."""
        obj = await self._read()
        if obj is None or (lease := read_lease(obj)).holder != self._identity:
            return True
        try:
            await objects.replace(
                self._client, {**obj, "spec": build_released_spec(lease, _format_now())}
            )
        except ApiConflict:
            return False
        return True

    async def _try(self, seconds: float) -> Step | None:
        """Look at the Lease and do what follows; return what was done, or None when an error came in between."""
        try:
            async with asyncio.timeout(seconds):
                step = await self._act()
        except ApiConflict as error:
            # Somebody else was faster, or changed a label: the next try sees what they wrote.
            log.debug("the Lease was changed meanwhile: %s", error)
            return None
        except _ATTEMPT_ERRORS as error:
            self._report_failure(error)
            return None
        return step

    async def _act(self) -> Step:
        election = self._election
        obj = await self._read()
        now = read_clock()
        observation = None
        if obj is not None:
            self._observation = observation = observe_lease(
                self._observation, read_lease(obj), election.lease_seconds, now
            )
        step = decide(self._identity, observation, self._deadline, now)
        if step is Step.MAKE:
            await objects.create(self._client, self._build_unheld())
        elif obj is not None and observation is not None and step in {Step.TAKE, Step.RENEW}:
            spec = build_held_spec(
                self._identity, election.lease_seconds, observation.lease, _format_now()
            )
            # Before the request: a candidate that sees it counts from later on, however long it is on its way.
            sent = read_clock()
            await objects.replace(self._client, {**obj, "spec": spec})
            self._deadline = sent + election.renew_seconds
            self._fence.open_until(self._deadline)
            if step is Step.TAKE:
                log.info("took %s as %s", self._describe_lease(), self._identity)
        return step

    async def _read(self) -> Object | None:
        election = self._election
        return await objects.get(self._client, LEASE, election.namespace, election.name)

    def _report_failure(self, error: Exception) -> None:
        """Log an error; act alone after repeated refusals to a process that never saw the Lease."""
        forbidden = isinstance(error, ApiRefused) and error.status == _FORBIDDEN
        if self._observation is not None or not forbidden:
            self._refusals = 0
            log.warning("the Lease cannot be read or written now: %s", _describe(error))
            return
        self._refusals += 1
        if self._refusals == REFUSALS:
            log.warning(
                "leader election is off, because Leases are refused: run one operator only, or grant get, create and "
                "update of leases.coordination.k8s.io. The API server said: %s",
                error,
            )
            self._alone = True
            self._fence.open_until(float("inf"))

    def _seconds_to_next(self, step: Step | None) -> float:
        """Return the seconds until a candidate looks again: after a period with jitter, or when the Lease may be free."""
        election = self._election
        if step is Step.MAKE:
            return 0.0
        pause = election.retry_seconds * (1 + random.random() / 5)  # noqa: S311  # because jitter is no secret
        if step is Step.WAIT and self._observation is not None:
            pause = min(pause, max(0.0, self._observation.free_at - read_clock()))
        return pause

    def _explain_loss(self) -> str:
        holder = self._observation.lease.holder if self._observation else ""
        if holder and holder != self._identity:
            return f"{self._describe_lease()} is held by {holder} now"
        return f"{self._describe_lease()} could not be renewed for {self._election.renew_seconds} s"

    def _describe_lease(self) -> str:
        return f"the Lease {self._election.namespace}/{self._election.name}"

    def _build_unheld(self) -> Object:
        election = self._election
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"namespace": election.namespace, "name": election.name},
        }


def _format_now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _describe(error: Exception) -> str:
    return str(error) or f"no answer ({type(error).__name__})"
