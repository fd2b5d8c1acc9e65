"""`make demo` succeeds with the right answer only."""

import pytest
from dev.cluster.stages import StageError
from dev.demo.__main__ import check_answer


def test_the_right_answer_is_a_success() -> None:
    check_answer("The capital of France is Paris.")


@pytest.mark.parametrize(
    "text", ["", "  \n", "L'Étoile, la Marseillaise, la femme au martyre, la femme au martyre"]
)
def test_any_other_answer_is_an_error(text: str) -> None:
    with pytest.raises(StageError, match="Paris"):
        check_answer(text)
