"""Programs that the demo runs beside one another, with programs of Python's own."""

import pytest
from dev.cluster.stages import StageError
from dev.demo.kube import run_module, running_module


def test_a_program_runs_beside_the_block_and_its_last_line_is_its_result() -> None:
    with running_module("calendar", "2026", "11") as finish:
        assert run_module("calendar", "2026", "12").split()[-1] == "31"
        assert finish().split()[-1] == "30"


def test_a_program_that_fails_raises_when_it_is_finished(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with (
        running_module("calendar", "--no-such-option") as finish,
        pytest.raises(StageError, match="`python -m calendar --no-such-option` failed"),
    ):
        finish()
    assert "--no-such-option" in capsys.readouterr().err


@pytest.mark.timeout(30)
def test_a_program_ends_with_its_block() -> None:
    with (
        pytest.raises(StageError, match="the cluster does not start"),
        running_module("timeit", "-n", "100000000000", "pass"),
    ):
        raise StageError("the cluster does not start")
