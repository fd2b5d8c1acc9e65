"""Objects the API server must refuse, each with a sentence that names the field and the fix."""

import pytest
from dev.cluster.control_plane import ControlPlane
from tests.component.refusals import (
    arms,
    cost,
    engine,
    experiment,
    gateway,
    model,
    monitoring,
    pods,
    request_log,
    rollout,
    scaling,
    task,
)
from tests.support import crd

from llmdeployment_operator.api.rules import RESERVED_FLAGS, SWITCHES

pytestmark = pytest.mark.component

REFUSED = {
    f"{table.__name__.rpartition('.')[2]}: {case}": expected
    for table in (
        model,
        engine,
        pods,
        arms,
        experiment,
        gateway,
        rollout,
        monitoring,
        request_log,
        scaling,
        cost,
        task,
    )
    for case, expected in table.REFUSED.items()
}


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> ControlPlane:
    crd.install(control_plane)
    return control_plane


@pytest.mark.parametrize(("patch", "message"), REFUSED.values(), ids=REFUSED)
def test_a_bad_object_is_refused_with_what_to_do(
    installed: ControlPlane, namespace: str, patch: str, message: str
) -> None:
    status, answer = crd.dry_run(installed, namespace, crd.deployment(patch))

    assert status in {400, 422}, answer
    assert message in answer["message"]


def test_the_table_is_long_enough() -> None:
    assert len(REFUSED) >= 40


@pytest.mark.parametrize("flag", RESERVED_FLAGS)
def test_every_reserved_flag_is_refused(installed: ControlPlane, namespace: str, flag: str) -> None:
    body = crd.deployment()
    body["spec"]["engine"] = {"args": {flag: True if flag in SWITCHES else "x"}}

    status, answer = crd.dry_run(installed, namespace, body)

    assert status == 422
    assert f"cannot contain {flag}, because {RESERVED_FLAGS[flag]}. Remove it." in answer["message"]
