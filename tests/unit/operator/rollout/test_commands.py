"""Commands, as the annotations of an LLMDeployment give them."""

import pytest

from llmdeployment_operator.plan.rollout.commands import Commands, read_commands


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ({"promote": "3"}, Commands(promote={3: None})),
        ({"promote": "3/2"}, Commands(promote={3: 2})),
        ({"abort": "3", "pause": "4"}, Commands(abort={3}, pause={4})),
        ({"retry": "3/1"}, Commands(retry={3: 1})),
        ({"promote": "3/1,4, 5/2"}, Commands(promote={3: 1, 4: None, 5: 2})),
        ({"promote": "3/1,x,4/"}, Commands(promote={3: 1})),
        ({"promote": "3/1,3/2"}, Commands(promote={3: 2})),
        ({"abort": "3,4", "pause": ",5,"}, Commands(abort={3, 4}, pause={5})),
        ({"retry": "3/1,4/2"}, Commands(retry={3: 1, 4: 2})),
        ({"retry": "3"}, Commands()),
        ({"abort": "3/1"}, Commands()),
        ({"promote": "-1"}, Commands()),
        ({"promote": "9" * 5000}, Commands()),
        ({"promote": "1/2/3"}, Commands()),
        ({"promote": ""}, Commands()),
        ({"promote": "3/"}, Commands()),
    ],
)
def test_commands_are_annotations(annotation: dict[str, str], expected: Commands) -> None:
    found = read_commands({f"llmdeployment.dev/{key}": value for key, value in annotation.items()})
    assert found == expected
