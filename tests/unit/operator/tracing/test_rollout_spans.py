"""What a rollout looks like as a trace: a world in which the real plan makes one, and the spans of each of its passes."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.support.stories import GATEWAY, pods_of, serving_world
from tests.support.world import World, sample

from llmdeployment_operator.api.status import Status
from llmdeployment_operator.plan.base.span import Span
from llmdeployment_operator.plan.tracing.identity import make_trace_id, to_nanoseconds
from llmdeployment_operator.plan.tracing.rollout_spans import list_rollout_spans

STEPS = [{"weight": 10, "pause": {"duration": "1m"}}, {"weight": 50, "pause": {"duration": "2m"}}]
UID = "uid-of-the-owner"
TRACE = make_trace_id(UID, 2)


class Traced:
    """A world whose passes are traced."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.spans: list[Span] = []

    def step(self, seconds: float = 0) -> list[Span]:
        """Let time go by, make a pass and return its spans."""
        self.world.now += timedelta(seconds=seconds)
        before = self.world.cluster
        plan = self.world.step()
        made = list_spans(self.world, before.status, plan.status or before.status)
        self.spans += made
        return made

    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def find(self, name: str) -> Span:
        (found,) = (span for span in self.spans if span.name == name)
        return found


def list_spans(world: World, before: Status, after: Status) -> list[Span]:
    cluster = replace(world.cluster, status=before)
    return list(list_rollout_spans(world.deployment, cluster, after, world.now))


def start_rollout(**rollout: Any) -> tuple[Traced, str, str]:
    """Return a world in which a canary was just begun, with the runtimes before and after."""
    world = serving_world()
    (old,) = world.runtimes()
    args = {**world.raw["spec"]["engine"]["args"], "seed": 2}
    told = {"strategy": "Canary", "steps": STEPS, **rollout}
    world.edit(engine={"name": "simulated", "args": args}, rollout=told)
    traced = Traced(world)
    traced.step()
    (new,) = set(world.runtimes()) - {old}
    return traced, old, new


def answer(traced: Traced, old: str, new: str) -> None:
    """Let the canary answer and every gateway have the routes, until nothing is left to do."""
    world = traced.world
    for _ in range(6):
        workers = world.cluster.children["Deployment", f"simulated-{new}"]["spec"]["replicas"]
        world.pods(*pods_of(old), *pods_of(new, workers=workers), GATEWAY)
        world.serve(new, replicas=workers)
        world.gateway_applies(up=2)
        traced.step()


def at(text: str) -> int:
    return to_nanoseconds(datetime.fromisoformat(text))


def test_one_trace_tells_a_rollout_up_to_its_promotion() -> None:
    traced, old, new = start_rollout()
    began = traced.world.now
    traced.step(20)
    answer(traced, old, new)
    traced.step(61)
    answer(traced, old, new)
    traced.step(121)
    answer(traced, old, new)

    names = ["prepare 1", "step 1", "prepare 2", "step 2", "promotion", "rollout"]
    assert traced.names() == names
    assert {span.trace_id for span in traced.spans} == {TRACE}
    assert len({span.span_id for span in traced.spans}) == len(names)
    root = traced.find("rollout")
    assert {span.parent_id for span in traced.spans[:-1]} == {root.span_id}
    assert root.parent_id == ""
    assert root.attributes["llmdeployment.outcome"] == "promoted"
    assert (root.error, root.attributes["llmdeployment.stable"]) == ("", "1")
    assert root.start == to_nanoseconds(began) == traced.find("prepare 1").start
    assert (traced.find("prepare 1").end - root.start) / 1e9 == 20
    for number, weight, seconds in ((1, 10, 61), (2, 50, 121)):
        step = traced.find(f"step {number}")
        assert (step.end - step.start) / 1e9 == seconds
        assert step.attributes["llmdeployment.weight"] == weight
    promoted = next(r for r in traced.world.status["revisions"] if r["number"] == 2)["promotedAt"]
    assert root.end == at(promoted) == traced.find("promotion").end


def test_a_rollback_ends_the_trace_with_why() -> None:
    traced, old, new = start_rollout(progressDeadlineSeconds=60)
    answer(traced, old, new)
    # Its replicas go away, so the second step never begins.
    traced.world.pods(*pods_of(old), GATEWAY)
    for _ in range(8):
        traced.step(40)

    names = traced.names()
    assert names[:2] == ["prepare 1", "step 1"]
    assert names[-1] == "rollout"
    root = traced.find("rollout")
    rejected = traced.world.status["arms"][0]["rejected"]
    assert root.attributes["llmdeployment.outcome"] == "rolled back"
    assert root.error == rejected["message"]
    assert root.end == at(rejected["at"]) == traced.spans[-2].end


def test_a_second_attempt_begins_where_the_first_ended() -> None:
    traced, _, _ = start_rollout(progressDeadlineSeconds=60)
    for _ in range(4):
        traced.step(40)
    first = traced.find("rollout")
    traced.world.raw["metadata"]["annotations"] = {"llmdeployment.dev/retry": "2/1"}
    traced.spans.clear()
    for _ in range(6):
        traced.step(40)

    second = traced.find("rollout")
    assert first.trace_id == second.trace_id
    assert first.span_id != second.span_id
    assert second.attributes["llmdeployment.attempt"] == 2
    assert second.start == first.end


def test_a_rollout_that_somebody_aborts_says_so() -> None:
    traced, old, new = start_rollout()
    answer(traced, old, new)
    traced.world.raw["metadata"]["annotations"] = {"llmdeployment.dev/abort": "2"}
    for _ in range(4):
        traced.step(2)

    assert traced.names() == ["prepare 1", "step 1", "rollout"]
    root = traced.find("rollout")
    assert (root.attributes["llmdeployment.outcome"], root.error) == ("aborted", "")


def test_a_rollout_that_another_one_replaces_says_so() -> None:
    traced, old, new = start_rollout()
    answer(traced, old, new)
    args = {**traced.world.raw["spec"]["engine"]["args"], "seed": 3}
    traced.world.edit(engine={"name": "simulated", "args": args})
    for _ in range(4):
        traced.step(2)

    assert traced.find("rollout").attributes["llmdeployment.outcome"] == "replaced"
    assert traced.find("rollout").trace_id == TRACE


def test_the_first_revision_is_a_rollout_too() -> None:
    traced = Traced(World(sample("simulated")))
    began = traced.world.now
    traced.step()
    (runtime,) = traced.world.runtimes()
    traced.world.pods(*pods_of(runtime), GATEWAY)
    traced.world.serve(runtime, replicas=2)
    traced.step(30)
    traced.world.gateway_applies(up=2)
    for _ in range(4):
        traced.step()

    (root,) = traced.spans
    assert (root.name, root.trace_id) == ("rollout", make_trace_id(UID, 1))
    assert root.start == to_nanoseconds(began)
    assert (root.end - root.start) / 1e9 == 30


def test_a_pass_whose_status_is_the_same_ends_nothing() -> None:
    traced, old, new = start_rollout()
    answer(traced, old, new)
    status = traced.world.cluster.status

    assert list_spans(traced.world, status, status) == []


def test_a_span_that_is_made_again_has_the_same_ids() -> None:
    """The write of a status fails, or the operator ends before it: the next pass makes the span again, a little later."""
    traced, old, new = start_rollout()
    answer(traced, old, new)
    traced.world.now += timedelta(seconds=61)
    before, plan = traced.world.cluster.status, traced.world.plan()
    assert plan.status is not None
    first = list_spans(traced.world, before, plan.status)
    traced.world.now += timedelta(seconds=3)
    again = traced.world.plan()
    assert again.status is not None
    second = list_spans(traced.world, before, again.status)

    assert [span.name for span in first] == ["step 1"]
    assert [span.span_id for span in first] == [span.span_id for span in second]
    assert second[0].end - first[0].end == 3_000_000_000
