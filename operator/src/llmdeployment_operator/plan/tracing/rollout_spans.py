"""Spans of rollouts and evaluations, from the status before a pass and after it.

A span is made by the pass after which something has ended, from the times of both statuses. All of a revision are in one trace:

    rollout                    from the revision's creation to its promotion or rollback
      prepare 1                until the first step's replicas and routes were there
        evaluation             the Job that asked the golden set
        shadow                 a sample of live requests
      step 1                   from when every gateway had the step's weight
        analysis               the comparison with the stable revision
      prepare 2, step 2, ...
      promotion                the replicas for all of the requests

A pass whose status could not be written makes none; the next one makes them, later by as much. An operator that ends between writing a
status and sending its spans loses them. So each is sent once, or not at all, or twice with the same id.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from llmdeployment_operator.api.evaluation_status import EvaluationStatus
from llmdeployment_operator.api.status import ArmStatus, RevisionStatus, Status
from llmdeployment_operator.api.types import LLMDeployment
from llmdeployment_operator.plan.base.pods import read_time
from llmdeployment_operator.plan.base.span import Attribute, Span
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.rollout.evaluation_result import REVISION
from llmdeployment_operator.plan.tracing.identity import (
    make_rollout_id,
    make_span_id,
    make_trace_id,
    name_deployment,
    to_nanoseconds,
)

MESSAGE = 1024
"""Characters of a sentence of the status, as an attribute."""
PROMOTED, ROLLED_BACK, REPLACED, ABORTED = "promoted", "rolled back", "replaced", "aborted"
"""How a rollout ends: `replaced` by a newer revision, `aborted` by somebody, by annotation or by the old spec."""


@dataclass(frozen=True)
class Rollout:
    """A canary on its way, as the status before the pass has it.

    Attributes:
        deployment: whose it is.
        arm: the arm's row.
        revision: the canary.
        began: when this attempt began.
    """

    deployment: LLMDeployment
    arm: ArmStatus
    revision: int
    began: datetime | None

    @property
    def trace_id(self) -> str:
        """The trace of the revision."""
        return make_trace_id(self.deployment.metadata.uid, self.revision)

    @property
    def attempt(self) -> int:
        """How many times the canary was started."""
        return self.arm.attempt or 1

    @property
    def root_id(self) -> str:
        """The span of the whole rollout."""
        return make_rollout_id(self.trace_id, self.arm.name, self.attempt)

    def make_id(self, *what: object) -> str:
        """Return the id of a part of the rollout."""
        return make_span_id(self.trace_id, self.arm.name, self.attempt, *what)

    def build_span(
        self,
        name: str,
        span_id: str,
        times: tuple[datetime, datetime],
        parent: str = "",
        error: str = "",
        **known: Attribute,
    ) -> Span:
        """Return a span of it; a start that is unknown or later than the end is the end."""
        start, end = times
        attributes = {
            **name_deployment(self.deployment),
            "llmdeployment.arm": self.arm.name,
            "llmdeployment.revision": str(self.revision),
            "llmdeployment.attempt": self.attempt,
            **{f"llmdeployment.{key}": value for key, value in known.items()},
        }
        return Span(
            name=name,
            trace_id=self.trace_id,
            span_id=span_id,
            start=to_nanoseconds(min(start, end)),
            end=to_nanoseconds(end),
            parent_id=parent,
            attributes=attributes,
            error=error,
        )


def list_rollout_spans(
    deployment: LLMDeployment, cluster: ClusterState, after: Status, now: datetime
) -> tuple[Span, ...]:
    """Return the spans of what has ended with a pass.

    Args:
        deployment: whose rollouts they are.
        cluster: what the pass was made from; its status is the one before.
        after: the status that the pass wrote.
        now: the time of the pass, UTC.
    """
    before = cluster.status
    arms = {row.name: row for row in after.arms}
    found: list[Span] = []
    for row in before.arms:
        if (rollout := _find_rollout(deployment, before, row)) is not None:
            found += _list_arm_spans(rollout, arms.get(row.name), after, now)
    found += _list_first_starts(deployment, before, after)
    found += _list_evaluations(deployment, cluster, after)
    return tuple(found)


def find_rollout(deployment: LLMDeployment, status: Status) -> Rollout | None:
    """Return the first rollout that is under way by a status, or None."""
    found = (_find_rollout(deployment, status, row) for row in status.arms)
    return next((rollout for rollout in found if rollout is not None), None)


def _find_rollout(deployment: LLMDeployment, status: Status, arm: ArmStatus) -> Rollout | None:
    if arm.canary is None or arm.step is None:
        return None
    rejected = arm.rejected
    again = rejected is not None and rejected.revision == arm.canary
    created = next((r.created_at for r in status.revisions if r.number == arm.canary), None)
    # A later attempt begins where the one before it ended.
    began = read_time(rejected.at if again and rejected is not None else created)
    return Rollout(deployment, arm, arm.canary, began)


def _list_arm_spans(
    rollout: Rollout, after: ArmStatus | None, status: Status, now: datetime
) -> Iterator[Span]:
    before, started = rollout.arm, read_time(rollout.arm.step_started_at)
    outcome = _find_outcome(rollout, after)
    is_left = bool(outcome) or (after is not None and after.step != before.step)
    end = _find_end(rollout, after, status, outcome) or now
    begun = read_time(after.step_started_at) if after is not None and not is_left else None
    if started is None and (is_left or begun is not None):
        yield _build_preparation(rollout, begun or end)
    if before.shadow is not None and before.shadow.result == "Running":
        yield from _list_shadow(rollout, after, now, is_over=bool(outcome))
    if started is not None and is_left:
        yield from _list_step_spans(rollout, (started, end))
    if outcome:
        yield _build_rollout(rollout, after, outcome, end)


def _find_outcome(rollout: Rollout, after: ArmStatus | None) -> str:
    """Return how a rollout ended with this pass; empty while it goes on."""
    number = rollout.revision
    if after is None:
        return REPLACED
    if after.stable == number:
        return PROMOTED
    if after.rejected is not None and after.rejected != rollout.arm.rejected:
        return ROLLED_BACK if after.rejected.revision == number else REPLACED
    if after.canary not in {None, number}:
        return REPLACED
    goes_on = after.canary == number and after.step is not None
    return "" if goes_on and (after.attempt or 1) == rollout.attempt else ABORTED


def _find_end(
    rollout: Rollout, after: ArmStatus | None, status: Status, outcome: str
) -> datetime | None:
    if outcome == ROLLED_BACK and after is not None and after.rejected is not None:
        return read_time(after.rejected.at)
    if outcome == PROMOTED:
        row = next((r for r in status.revisions if r.number == rollout.revision), None)
        return read_time(row.promoted_at) if row is not None else None
    return None


def _build_preparation(rollout: Rollout, end: datetime) -> Span:
    """Return the span of the time before a step: of the first one from the rollout's begin, of a later one from its last progress."""
    step = rollout.arm.step or 1
    begin = rollout.began if step == 1 else read_time(rollout.arm.progress_at)
    # The step after the last one of the spec.
    is_last = step > len(rollout.deployment.spec.rollout.steps)
    name = "promotion" if is_last and step > 1 else f"prepare {step}"
    span_id = _name_preparation(rollout, step)
    return rollout.build_span(name, span_id, (begin or end, end), rollout.root_id)


def _name_preparation(rollout: Rollout, step: int) -> str:
    return rollout.make_id("prepare", step)


def _list_step_spans(rollout: Rollout, times: tuple[datetime, datetime]) -> Iterator[Span]:
    arm, (_, end) = rollout.arm, times
    step_id = rollout.make_id("step", arm.step)
    if (analysis := arm.analysis) is not None:
        yield rollout.build_span(
            "analysis",
            rollout.make_id("analysis", arm.step),
            (max(times[0], end - timedelta(seconds=analysis.seconds)), end),
            step_id,
            result=analysis.result,
            message=analysis.message[:MESSAGE],
        )
    yield rollout.build_span(
        f"step {arm.step}",
        step_id,
        times,
        rollout.root_id,
        step=arm.step or 1,
        weight=arm.canary_weight or 0,
    )


def _list_shadow(
    rollout: Rollout, after: ArmStatus | None, now: datetime, *, is_over: bool
) -> Iterator[Span]:
    now_known = after.shadow if after is not None else None
    if not is_over and now_known is not None and now_known.result == "Running":
        return
    before = rollout.arm.shadow
    shadow = now_known if now_known is not None and not is_over else before
    if shadow is not None:
        yield rollout.build_span(
            "shadow",
            rollout.make_id("shadow"),
            (read_time(shadow.started_at) or now, now),
            _name_preparation(rollout, 1),
            result=shadow.result,
            compared=shadow.compared,
            message=shadow.message[:MESSAGE],
        )


def _build_rollout(rollout: Rollout, after: ArmStatus | None, outcome: str, end: datetime) -> Span:
    why = ""
    if outcome == ROLLED_BACK and after is not None and after.rejected is not None:
        why = after.rejected.message[:MESSAGE]
    return rollout.build_span(
        "rollout",
        rollout.root_id,
        (rollout.began or end, end),
        error=why,
        outcome=outcome,
        stable=str(rollout.arm.stable or ""),
    )


def _list_first_starts(deployment: LLMDeployment, before: Status, after: Status) -> Iterator[Span]:
    """Yield the rollout of each revision that answers for the first time without having been a canary, such as the first one."""
    known = {row.number: row for row in before.revisions}
    canaries = {row.canary for row in (*before.arms, *after.arms)}
    for row in after.revisions:
        earlier = known.get(row.number)
        is_new = row.first_ready_at and (earlier is None or earlier.first_ready_at is None)
        arm = next((each for each in after.arms if each.stable == row.number), None)
        begin, end = read_time(row.created_at), read_time(row.first_ready_at)
        if is_new and arm is not None and row.number not in canaries and end is not None:
            rollout = Rollout(deployment, arm.model_copy(update={"attempt": 1}), row.number, begin)
            yield _build_rollout(rollout, arm, PROMOTED, end)


def _list_evaluations(
    deployment: LLMDeployment, cluster: ClusterState, after: Status
) -> Iterator[Span]:
    """Yield the evaluations that have ended, of a rollout and of the schedule."""
    known = {row.number: row for row in cluster.status.revisions}
    for row in after.revisions:
        earlier = known.get(row.number)
        parent = _find_evaluation_parent(deployment, cluster.status, after, row.number)
        result, old = row.evaluation, earlier.evaluation if earlier is not None else None
        if result is not None and (old is None or old.at != result.at):
            begin = _find_job_start(cluster, row.number)
            yield from _build_evaluation(deployment, row, result, "evaluation", begin, parent)
        recheck = row.recheck
        seen = earlier.recheck if earlier is not None else None
        if recheck is not None and (seen is None or seen.result.at != recheck.result.at):
            due = read_time(recheck.due_at)
            yield from _build_evaluation(deployment, row, recheck.result, "recheck", due, parent)


def _find_evaluation_parent(
    deployment: LLMDeployment, before: Status, after: Status, number: int
) -> str:
    """Return the span that an evaluation is a part of: the preparation of the rollout that waits for it, else the rollout."""
    found = (_find_rollout(deployment, before, row) for row in before.arms)
    waiting = next((each for each in found if each is not None and each.revision == number), None)
    if waiting is not None:
        return _name_preparation(waiting, 1)
    trace_id = make_trace_id(deployment.metadata.uid, number)
    arm = next((row.name for row in after.arms if row.stable == number), "")
    return make_rollout_id(trace_id, arm, 1) if arm else ""


def _build_evaluation(
    deployment: LLMDeployment,
    row: RevisionStatus,
    result: EvaluationStatus,
    name: str,
    begin: datetime | None,
    parent: str,
) -> Iterator[Span]:
    """Yield the span of an evaluation, if the status says when it ended."""
    trace_id = make_trace_id(deployment.metadata.uid, row.number)
    if (end := read_time(result.at)) is None:
        return
    attributes: dict[str, Attribute] = {
        **name_deployment(deployment),
        "llmdeployment.revision": str(row.number),
        "llmdeployment.attempt": result.attempt,
        "gen_ai.evaluation.name": "golden set",
    }
    if result.score is not None:
        attributes["gen_ai.evaluation.score.value"] = result.score / 100
    if result.message:
        attributes["gen_ai.evaluation.explanation"] = result.message[:MESSAGE]
    yield Span(
        name=name,
        trace_id=trace_id,
        span_id=make_span_id(trace_id, name, result.golden, result.attempt, result.at),
        start=to_nanoseconds(min(begin or end, end)),
        end=to_nanoseconds(end),
        parent_id=parent,
        attributes=attributes,
        error="" if result.score is not None else "there is no result",
    )


def _find_job_start(cluster: ClusterState, revision: int) -> datetime | None:
    """Return when the newest Job was made that asks a revision the golden set, as far as one is left."""
    made = (
        read_time(job["metadata"].get("creationTimestamp"))
        for (kind, _), job in cluster.children.items()
        if kind == "Job" and job["metadata"].get("labels", {}).get(REVISION) == str(revision)
    )
    return max((each for each in made if each is not None), default=None)
