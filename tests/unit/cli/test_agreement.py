"""The command imports nothing of the operator: what both say is compared here."""

from datetime import UTC, datetime

from llmdeployment_cli import kube
from llmdeployment_cli.arms import read_arms
from llmdeployment_cli.patches import TEMPLATE_FIELDS
from llmdeployment_operator.api import arms
from llmdeployment_operator.api.status import Status
from llmdeployment_operator.api.status_document import dump_status
from llmdeployment_operator.api.types import GROUP, PLURAL, VERSION, Spec
from llmdeployment_operator.plan.base import names
from llmdeployment_operator.plan.rollout.state import (
    Rejection,
    RolloutState,
    WarmRevision,
    build_arm_status,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_template_fields() -> None:
    assert set(TEMPLATE_FIELDS) == {
        Spec.model_fields[field].alias for field in arms.TEMPLATE_FIELDS
    }


def test_names() -> None:
    assert (kube.GROUP, kube.VERSION, kube.PLURAL) == (GROUP, VERSION, PLURAL)
    # Children of an older operator have no more labels than these.
    assert kube.build_labels("chat").items() <= names.labels("chat").items()


def test_what_the_operator_remembers_is_read() -> None:
    memory = RolloutState(
        stable=3,
        canary=4,
        step=1,
        since=NOW,
        weight=25,
        ready=2,
        progress_at=NOW,
        attempt=2,
        rejected=Rejection(4, 1, NOW, "no GPU"),
        warm=(WarmRevision(2, NOW),),
    )
    (arm,) = read_arms(
        {"spec": {}, "status": dump_status(Status(arms=(build_arm_status(memory, "terse", 10),)))}
    )
    assert (arm.name, arm.weight) == ("terse", 10)
    assert (arm.stable, arm.canary, arm.canary_weight, arm.canary_ready) == (3, 4, 25, 2)
    assert (arm.step, arm.since, arm.attempt) == (2, "2026-11-24T12:00:00Z", 2)
    assert arm.rejected == {
        "revision": 4,
        "attempt": 1,
        "at": "2026-11-24T12:00:00Z",
        "message": "no GPU",
    }
    assert arm.warm == ({"revision": 2, "until": "2026-11-24T12:00:00Z"},)
    assert not arm.leaving


def test_a_canary_that_is_taken_back_is_told_from_one_on_its_way() -> None:
    memory = RolloutState(stable=3, canary=4, step=1, weight=50, progress_at=NOW)
    status = Status(arms=(build_arm_status(memory.taken_back(4, 25), "main"),))
    (arm,) = read_arms({"spec": {}, "status": dump_status(status)})
    assert (arm.leaving, arm.canary, arm.canary_weight) == (True, 4, 25)
