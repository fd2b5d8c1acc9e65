"""Names that a plan asks for are looked up until it has all, and never for ever."""

import itertools
from collections.abc import Iterator
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from tests.support.world import SETTINGS, admitted, sample

from llmdeployment_operator import reconcile
from llmdeployment_operator.api.experiment_status import ExperimentStatus
from llmdeployment_operator.api.status import ArmStatus, Status
from llmdeployment_operator.api.status_document import dump_status
from llmdeployment_operator.api.types import parse
from llmdeployment_operator.kube.errors import ApiRefused, ApiUnavailable
from llmdeployment_operator.notifier import Notifier
from llmdeployment_operator.plan.base.objects import Ref
from llmdeployment_operator.plan.notify.notices import NoticeKind
from llmdeployment_operator.plan.observed.cluster_state import ClusterState
from llmdeployment_operator.plan.plan import Plan

FIRST: Ref = ("ConfigMap", "first")
SECOND: Ref = ("StatefulSet", "second")
DONE = Plan(status=Status(traffic="rev1 100%"))


class Clock:
    """Plans in a row, and the names that were looked up for them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, plans: Iterator[Plan]) -> None:
        self.asked: list[frozenset[Ref]] = []

        async def observe(*_: Any) -> ClusterState:
            return ClusterState()

        async def look_up(_: Any, __: Any, cluster: ClusterState, refs: frozenset[Ref]) -> Any:
            self.asked.append(refs)
            return cluster

        monkeypatch.setattr(reconcile, "observe", observe)
        monkeypatch.setattr(reconcile, "look_up", look_up)
        monkeypatch.setattr(reconcile, "build_plan", lambda *_: next(plans))

    async def plan(self) -> Plan:
        operator: Any = reconcile.Operator(clients=None, settings=SETTINGS, metrics=None)  # type: ignore[arg-type]  # because nothing is called
        made, _ = await reconcile._make_plan(operator, parse(admitted(sample("simulated"))), {})
        return made


async def test_a_plan_whose_names_are_known_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, iter([DONE]))
    assert (await clock.plan(), clock.asked) == (DONE, [])


async def test_an_answer_may_ask_for_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = [Plan(lookups=frozenset({FIRST})), Plan(lookups=frozenset({SECOND})), DONE]
    clock = Clock(monkeypatch, iter(rounds))
    assert await clock.plan() == DONE
    assert clock.asked == [{FIRST}, {SECOND}]


async def test_a_plan_that_never_has_enough_is_made_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(monkeypatch, iter(lambda: Plan(lookups=frozenset({FIRST})), None))
    made = await clock.plan()
    assert made.requeue_after is not None
    assert not made.lookups
    assert len(clock.asked) == reconcile.LOOKUP_ROUNDS
    assert "rounds of lookups" in caplog.text


@pytest.mark.parametrize(
    ("failure", "reported"),
    [(None, True), (ApiRefused(422, "no"), False), (ApiUnavailable("500"), False)],
    ids=["ends well", "is refused", "fails"],
)
async def test_counts_are_kept_until_a_pass_that_ends_well_has_reported_them(
    failure: Exception | None, monkeypatch: pytest.MonkeyPatch, *, reported: bool
) -> None:
    Clock(monkeypatch, itertools.repeat(DONE))
    raw, counted = admitted(sample("simulated")), Mock()

    async def execute(*_: Any) -> None:
        if failure is not None:
            raise failure

    monkeypatch.setattr(reconcile, "_execute", execute)
    monkeypatch.setattr(reconcile, "_write_status", AsyncMock())
    monkeypatch.setattr(reconcile, "_post_event", AsyncMock())
    clients: Any = Mock(counts_cache=counted, store=Mock(get=lambda *_: raw))
    operator = reconcile.Operator(clients, SETTINGS, Mock())
    key = reconcile.DeploymentKey(raw["metadata"]["namespace"], raw["metadata"]["name"])
    try:
        await reconcile.reconcile(operator, key)
    except ApiUnavailable as error:
        await reconcile.report_failure(operator, key, error)

    assert counted.mark_reported.called is reported
    assert clients.shadow_cache.mark_reported.called is reported
    # The point of the last hour is made of what such a pass reports.
    points = operator.live.list_points((key.namespace, key.name))
    assert len(points) == reported
    raw["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    await reconcile.reconcile(operator, key)
    assert operator.live.list_owners() == []


async def test_what_a_pass_changed_is_told_once_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though the answer to the write was lost, and not of one that is muted."""
    before, after = (Status(arms=(ArmStatus(name="main", stable=n),)) for n in (1, 2))
    Clock(monkeypatch, itertools.chain([Plan(status=after)], itertools.repeat(Plan())))
    raw, outbox = admitted(sample("simulated")), Mock()
    raw["status"] = dump_status(before)
    write = AsyncMock(side_effect=ApiUnavailable("the answer was lost"))
    monkeypatch.setattr(reconcile, "_write_status", write)
    clients: Any = Mock(store=Mock(get=lambda *_: raw))
    operator = reconcile.Operator(clients, SETTINGS, Mock(), notifier=Notifier(outbox))
    key = reconcile.DeploymentKey("team", "simulated")
    with pytest.raises(ApiUnavailable):
        await reconcile.reconcile(operator, key)
    assert not outbox.post.called

    raw["status"] = dump_status(after)
    await reconcile.reconcile(operator, key)
    await reconcile.reconcile(operator, key)
    told = [[notice.kind for notice in call.args[0]] for call in outbox.post.call_args_list]
    assert told == [[NoticeKind.PROMOTED], []]

    outbox.post.reset_mock()
    raw["metadata"]["annotations"] = {"llmdeployment.dev/mute": "true"}
    raw["status"] = dump_status(before)
    await reconcile.reconcile(operator, key)
    assert not outbox.post.called
    del raw["metadata"]["annotations"]
    await reconcile.reconcile(operator, key)
    assert outbox.post.call_args.args == ((),)

    raw["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    await reconcile.reconcile(operator, key)
    assert operator.notifier is not None
    assert len(operator.notifier) == 0


_STARTED = {"started_at": "2026-01-02T03:04:05Z", "written_at": "2026-01-02T03:04:05Z"}
_COUNTED = {**_STARTED, "written_at": "2026-01-02T03:04:35Z"}


@pytest.mark.parametrize(
    ("plan", "reported"),
    [
        (Plan(), False),
        (Plan(status=Status(traffic="rev1 100%", experiment=ExperimentStatus(**_STARTED))), False),
        (Plan(status=Status(experiment=ExperimentStatus(**_COUNTED))), True),
        (Plan(status=Status()), False),
    ],
    ids=["nothing is written", "the rest is written", "counts are written", "it is gone"],
)
async def test_counts_of_an_experiment_are_kept_until_they_are_written(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, *, reported: bool
) -> None:
    Clock(monkeypatch, itertools.repeat(plan))
    raw, counted = admitted(sample("simulated")), Mock()
    raw["status"] = dump_status(Status(experiment=ExperimentStatus(**_STARTED)))
    monkeypatch.setattr(reconcile, "_write_status", AsyncMock())
    clients: Any = Mock(experiment_cache=counted, store=Mock(get=lambda *_: raw))
    operator = reconcile.Operator(clients, SETTINGS, Mock())
    await reconcile.reconcile(operator, reconcile.DeploymentKey("team", "simulated"))

    assert counted.mark_reported.called is reported
