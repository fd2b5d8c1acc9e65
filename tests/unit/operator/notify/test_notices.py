"""Which changes of a status are told, once each; the story is a rollout as the whole plan makes it.

After a change that is meant: `LLMD_UPDATE_GOLDEN=1 pytest tests/unit/operator/notify`, and read the difference.
"""

import itertools
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.stories import serving_world
from tests.support.world import World

from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.status_document import read_status
from llmdeployment_operator.plan.notify import memory as memory_module
from llmdeployment_operator.plan.notify.bodies import TYPES, build_cloud_event, build_link
from llmdeployment_operator.plan.notify.memory import NoticeMemory
from llmdeployment_operator.plan.notify.notices import (
    Notice,
    NoticeKind,
    Subject,
    find_notices,
    keep_compared,
)

ROOT = Path(__file__).resolve().parents[4]
GOLDEN = ROOT / "tests/data/operator/notices.json"
PAGE = ROOT / "docs/how-to/notifications.md"
CHAT = Subject("shop", "chat", "1a2b")
AT, LATER = "2026-01-02T03:04:05Z", "2026-01-02T04:04:05Z"
ROLLOUT = {
    "strategy": "Canary",
    "steps": [
        {"weight": 10, "pause": {"duration": "1m"}},
        {"weight": 50, "pause": {"duration": "1m"}},
    ],
    "progressDeadlineSeconds": 300,
}


class Teller:
    """Tells what each pass over a world changed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.memory = NoticeMemory()
        self.told: list[Notice] = []

    def run(self, passes: int, seconds: int = 10, *, obeyed: bool = True) -> None:
        for _ in range(passes):
            if obeyed:
                self.world.obey()
            self.memory.begin(CHAT, self.world.cluster.status)
            events = self.world.step().events
            self.told += self.memory.take_new(CHAT, self.world.cluster.status, events)
            self.world.now += timedelta(seconds=seconds)

    def change_engine(self, seed: int) -> None:
        args = {**self.world.raw["spec"]["engine"]["args"], "seed": seed}
        self.world.edit(engine={"name": "simulated", "args": args}, rollout=ROLLOUT)


def tell_a_rollout() -> list[Notice]:
    """A revision that is promoted, one that never starts, and one that somebody aborts."""
    teller = Teller(serving_world())
    teller.run(3)
    teller.change_engine(2)
    teller.run(30)
    teller.change_engine(3)
    teller.run(4, obeyed=False)
    teller.run(4, seconds=200, obeyed=False)
    teller.change_engine(4)
    teller.run(4)
    teller.world.raw["metadata"]["annotations"] = {"llmdeployment.dev/abort": "4"}
    teller.run(4)
    return teller.told


def test_a_rollout_is_told_in_the_order_in_which_it_happens() -> None:
    console = "https://llm.example.com/"
    events = [build_cloud_event(notice, build_link(console, notice)) for notice in tell_a_rollout()]
    text = json.dumps(events, indent=1) + "\n"
    if os.environ.get("LLMD_UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_the_same_story_has_the_same_ids() -> None:
    first, second = (tell_a_rollout() for _ in range(2))
    assert [notice.id for notice in first] == [notice.id for notice in second]
    assert len({notice.id for notice in first}) == len(first)


def build_arm(**fields: Any) -> dict[str, Any]:
    return {"name": "main", "weight": 100, **fields}


def build_condition(kind: str, status: str, reason: str, at: str = AT) -> dict[str, Any]:
    message = "Ready says." if kind == "Degraded" else f"{kind} says."
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": at,
    }


REJECTED = {"revision": 2, "attempt": 1, "at": AT, "message": "It was slow"}
EXPERIMENT = {"startedAt": AT, "writtenAt": AT, "outcome": "Running"}
ENDED = {**EXPERIMENT, "endedAt": LATER, "outcome": "Winner", "winner": "b", "message": "b wins."}
STEP = {"stable": 1, "canary": 2, "canaryWeight": 10, "attempt": 1, "step": 1}
TABLE: dict[str, tuple[Any, Any, list[tuple[str, str]]]] = {
    "the first revision": (
        {},
        {"revisions": [{"name": "c-1", "number": 1, "hash": "h", "runtime": "r"}]},
        [],
    ),
    "a revision beside another": (
        {"revisions": [{"name": "c-1", "number": 1, "hash": "h", "runtime": "r"}]},
        {
            "revisions": [
                {"name": f"c-{n}", "number": n, "hash": "h", "runtime": "r"} for n in (1, 2)
            ]
        },
        [("RevisionCreated", "Revision 2 was created.")],
    ),
    "an old revision that is listed again": (
        {"revisions": [{"name": "c-3", "number": 3, "hash": "h", "runtime": "r"}]},
        {
            "revisions": [
                {"name": f"c-{n}", "number": n, "hash": "h", "runtime": "r"} for n in (2, 3)
            ]
        },
        [],
    ),
    "a step whose traffic does not flow yet": (
        {"arms": [build_arm(stable=1)]},
        {"arms": [build_arm(**STEP)]},
        [],
    ),
    "a step whose traffic flows": (
        {"arms": [build_arm(**STEP)]},
        {"arms": [build_arm(**STEP, stepStartedAt=AT)]},
        [("StepEntered", "Revision 2 is in step 1 and gets 10 % of the requests.")],
    ),
    "a step that lasts": (
        {"arms": [build_arm(**STEP, stepStartedAt=AT)]},
        {"arms": [build_arm(**{**STEP, "canaryReady": 3}, stepStartedAt=AT)]},
        [],
    ),
    "a step of an arm": (
        {"arms": [{**build_arm(**STEP), "name": "terse"}]},
        {"arms": [{**build_arm(**STEP, stepStartedAt=AT), "name": "terse"}]},
        [("StepEntered", "Revision 2 is in step 1 and gets 10 % of the requests of arm terse.")],
    ),
    "a promotion": (
        {"arms": [build_arm(stable=1)]},
        {"arms": [build_arm(stable=2)]},
        [("Promoted", "Revision 2 serves all requests. Before, revision 1 did.")],
    ),
    "an arm that is new": (
        {"arms": [build_arm(stable=1)]},
        {"arms": [build_arm(stable=1), {**build_arm(stable=2), "name": "terse"}]},
        [],
    ),
    "an arm that gets its first revision": (
        {"arms": [build_arm()]},
        {"arms": [build_arm(stable=1)]},
        [],
    ),
    "a rollback": (
        {"arms": [build_arm(**STEP)], "conditions": [build_condition("Degraded", "False", "AsExpected")]},
        {
            "arms": [build_arm(stable=1, rejected=REJECTED)],
            "conditions": [
                {**build_condition("Ready", "False", "RolledBack"), "message": "Revision 1 serves. It was slow"},
                build_condition("Degraded", "True", "RolledBack"),
            ],
        },
        [("RolledBack", "It was slow")],
    ),
    "a rollback of another attempt": (
        {"arms": [build_arm(stable=1, rejected=REJECTED)]},
        {"arms": [build_arm(stable=1, rejected={**REJECTED, "attempt": 2})]},
        [("RolledBack", "It was slow")],
    ),
    "a rollback that stands": (
        {"arms": [build_arm(stable=1, rejected=REJECTED)]},
        {"arms": [build_arm(stable=1, rejected=REJECTED)]},
        [],
    ),
    "an abort": (
        {"arms": [build_arm(**STEP, rejected={**REJECTED, "revision": 5})]},
        {
            "arms": [build_arm(stable=1, rejected={**REJECTED, "revision": 5})],
            "conditions": [
                build_condition("Ready", "False", "RolledBack"),
                build_condition("Degraded", "True", "RolledBack"),
            ],
        },
        [("RolledBack", "Ready says.")],
    ),
    "the end of an experiment": (
        {"experiment": EXPERIMENT},
        {"experiment": ENDED},
        [("ExperimentEnded", "The experiment has ended. b wins.")],
    ),
    "an experiment that has ended": ({"experiment": ENDED}, {"experiment": ENDED}, []),
    "an experiment of a status that was lost": ({}, {"experiment": ENDED}, []),
    "drift": (
        {"conditions": [build_condition("Drifting", "False", "NoDrift")]},
        {"conditions": [build_condition("Drifting", "True", "ScoreFell")]},
        [("Drifting", "Drifting says.")],
    ),
    "drift for another reason": (
        {"conditions": [build_condition("Drifting", "True", "ScoreFell")]},
        {"conditions": [build_condition("Drifting", "True", "DiffersFromFirst")]},
        [("Drifting", "Drifting says.")],
    ),
    "drift that is over": (
        {"conditions": [build_condition("Drifting", "True", "ScoreFell")]},
        {"conditions": [build_condition("Drifting", "False", "NoDrift")]},
        [],
    ),
    "a budget that is nearly spent": (
        {"conditions": [build_condition("BudgetExceeded", "False", "WithinBudget")]},
        {"conditions": [build_condition("BudgetExceeded", "False", "NearBudget")]},
        [],
    ),
    "a budget that is spent": (
        {"conditions": [build_condition("BudgetExceeded", "False", "NearBudget")]},
        {"conditions": [build_condition("BudgetExceeded", "True", "OverBudget")]},
        [("BudgetExceeded", "BudgetExceeded says.")],
    ),
    "something wrong while it serves": (
        {},
        {
            "conditions": [
                build_condition("Ready", "True", "Serving"),
                {**build_condition("Degraded", "True", "CrashLoop"), "message": "A pod ends."},
            ]
        },
        [("Degraded", "A pod ends.")],
    ),
    "a condition that nobody is told of": (
        {},
        {"conditions": [build_condition("Progressing", "True", "Canary")]},
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after", "told"), TABLE.values(), ids=TABLE)
def test_changes_that_are_told(before: Any, after: Any, told: list[tuple[str, str]]) -> None:
    found = find_notices(CHAT, read_status(before), read_status(after))
    assert [(notice.kind.value, notice.message) for notice in found] == told


def test_the_table_has_every_kind() -> None:
    told = {kind for _, _, rows in TABLE.values() for kind, _ in rows}
    assert told == {kind.value for kind in NoticeKind}


def test_a_rollback_says_from_where_to_where_and_why() -> None:
    before, after, _ = TABLE["a rollback"]
    (found,) = find_notices(CHAT, read_status(before), read_status(after))
    assert (found.revision, found.before, found.after, found.at) == (2, 2, 1, AT)


def test_the_end_of_an_experiment_says_who_won() -> None:
    (found,) = find_notices(
        CHAT, read_status({"experiment": EXPERIMENT}), read_status({"experiment": ENDED})
    )
    assert (found.reason, found.winner, found.at) == ("Winner", "b", LATER)


def test_one_that_was_made_anew_has_ids_of_its_own() -> None:
    before, after, _ = TABLE["a promotion"]
    statuses = read_status(before), read_status(after)
    (first,) = find_notices(CHAT, *statuses)
    (second,) = find_notices(Subject("shop", "chat", "9z9z"), *statuses)
    assert first.id != second.id


def make_statuses() -> st.SearchStrategy[list[Status]]:
    """Statuses in a row, in which revisions come and go, and conditions change back and forth."""
    arm = st.fixed_dictionaries(
        {"name": st.just("main")},
        optional={
            "stable": st.integers(1, 3),
            "canary": st.integers(1, 3),
            "step": st.integers(1, 2),
            "stepStartedAt": st.sampled_from([AT, LATER]),
            "rejected": st.just(REJECTED),
        },
    )
    revision = st.integers(1, 4).map(
        lambda n: {"name": f"c-{n}", "number": n, "hash": "h", "runtime": "r", "createdAt": AT}
    )
    condition = st.tuples(
        st.sampled_from(["Drifting", "BudgetExceeded", "Degraded"]),
        st.sampled_from(["True", "False"]),
        st.sampled_from(["ScoreFell", "RolledBack"]),
        st.sampled_from([AT, LATER]),
    ).map(lambda row: build_condition(*row))
    document = st.fixed_dictionaries(
        {},
        optional={
            "arms": st.lists(arm, max_size=1),
            "revisions": st.lists(revision, max_size=3, unique_by=lambda each: each["number"]),
            "conditions": st.lists(condition, max_size=2, unique_by=lambda each: each["type"]),
            "experiment": st.sampled_from([EXPERIMENT, ENDED]),
            "observedGeneration": st.integers(1, 2),
        },
    )
    return st.lists(document.map(read_status), min_size=2, max_size=8)


@given(make_statuses(), st.data())
def test_repeated_passes_restarts_and_lost_answers_tell_nothing_twice_and_lose_nothing(
    statuses: list[Status], data: st.DataObject
) -> None:
    undisturbed, disturbed = NoticeMemory(), NoticeMemory()
    told: list[str] = []
    wanted: list[str] = []
    for before, after in itertools.pairwise(statuses):
        undisturbed.begin(CHAT, before)
        wanted += [notice.id for notice in undisturbed.take_new(CHAT, after)]

        disturbed.begin(CHAT, before)
        if data.draw(st.booleans(), "the answer to the write is lost"):
            disturbed.begin(CHAT, after)
        told += [notice.id for notice in disturbed.take_new(CHAT, after)]
        if data.draw(st.booleans(), "the operator starts again"):
            disturbed = NoticeMemory()
        for _ in range(data.draw(st.integers(0, 2), "passes that change nothing")):
            disturbed.begin(CHAT, after)
            assert disturbed.take_new(CHAT, after) == ()

    # After a restart an id that was told long before may be told again: receivers know it by that id.
    assert list(dict.fromkeys(told)) == wanted


@given(make_statuses())
def test_what_is_remembered_is_all_that_is_compared(statuses: list[Status]) -> None:
    for before, after in itertools.pairwise(statuses):
        assert find_notices(CHAT, keep_compared(before), after) == find_notices(CHAT, before, after)


def test_what_is_remembered_is_small() -> None:
    """The parts that grow are not among it."""
    world = serving_world()
    kept = keep_compared(world.cluster.status.model_copy(update={"selector": "x" * 1000}))
    assert len(kept.revisions) == 1
    assert (kept.scaling, kept.cost, kept.selector, kept.revisions[0].shares) == (
        None,
        None,
        "",
        (),
    )


def test_the_page_shows_what_is_sent() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = json.loads(text.partition("```json\n")[2].partition("```")[0])
    sent = next(
        event for event in json.loads(GOLDEN.read_text("utf-8")) if event["type"] == shown["type"]
    )
    del sent["data"]["url"]
    assert shown == sent
    rows = [f"| `{kind.value}` | `{TYPES[kind]}` |" for kind in NoticeKind]
    assert [row for row in rows if row not in text] == []


def test_one_that_is_gone_is_forgotten() -> None:
    memory = NoticeMemory()
    memory.begin(CHAT, Status())
    memory.forget(("shop", "chat"))
    memory.forget(("shop", "never-there"))
    assert len(memory) == 0


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "OBJECTS", 3)
    monkeypatch.setattr(memory_module, "IDS", 2)
    before, after, _ = TABLE["a promotion"]
    memory = NoticeMemory()
    for number in range(9):
        subject = Subject("shop", f"chat-{number}", str(number))
        memory.begin(subject, read_status(before))
        assert len(memory.take_new(subject, read_status(after))) == 1
    assert (len(memory), len(memory._ids)) == (3, 2)
