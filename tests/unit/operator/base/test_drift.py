from typing import Any

import pytest

from llmdeployment_operator.plan.base.drift import is_satisfied, is_within, seal
from llmdeployment_operator.plan.resources.overlay import apply_overlay


@pytest.mark.parametrize(
    ("wanted", "live", "expected"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": {}}, {}, True),
        ({"a": []}, {}, True),
        ({"a": 0}, {}, True),
        ({"cpu": "1000m"}, {"cpu": "1"}, True),
        ({"cpu": "1Gi"}, {"cpu": "1024Mi"}, True),
        ({"cpu": "1G"}, {"cpu": "1Gi"}, False),
        ({"rules": [1, 2]}, {"rules": [1, 2, 3]}, False),
        (
            {"env": [{"name": "a", "value": "1"}]},
            {"env": [{"name": "x"}, {"name": "a", "value": "1"}]},
            True,
        ),
        ({"env": [{"name": "a", "value": "1"}]}, {"env": [{"name": "a", "value": "2"}]}, False),
        ({"env": [{"name": "a"}]}, {"env": []}, False),
        ({"selector": {"a": "b"}}, {"selector": {"a": "b", "c": "d"}}, False),
        ({"podSelector": {"matchLabels": {}}}, {"podSelector": {}}, True),
        ({"podSelector": {}}, {"podSelector": {"matchLabels": {"a": "b"}}}, False),
        ({"from": [{"x": 1}]}, {"from": [{"x": 1}, {}]}, False),
    ],
)
def test_within(wanted: Any, live: Any, *, expected: bool) -> None:
    assert is_within(wanted, live) is expected


def test_a_field_that_left_the_intent_needs_a_write() -> None:
    before = seal({"metadata": {"name": "a"}, "spec": {"x": 1, "y": 2}})
    after = seal({"metadata": {"name": "a"}, "spec": {"x": 1}})
    assert is_satisfied(before, before)
    assert not is_satisfied(after, before)
    assert not is_satisfied(after, None)


@pytest.mark.parametrize(
    ("base", "patch", "expected"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"tolerations": [1]}, {"tolerations": [2]}, {"tolerations": [2]}),
        (
            {"env": [{"name": "A", "value": "1"}]},
            {"env": [{"name": "A", "valueFrom": {}}, {"name": "B"}]},
            {"env": [{"name": "A", "valueFrom": {}}, {"name": "B"}]},
        ),
        (
            {"volumes": [{"name": "tmp", "emptyDir": {}}]},
            {"volumes": [{"name": "tmp", "hostPath": {"path": "/x"}}]},
            {"volumes": [{"name": "tmp", "hostPath": {"path": "/x"}}]},
        ),
        (
            {"containers": [{"name": "ray", "volumeMounts": [{"mountPath": "/a", "name": "x"}]}]},
            {"containers": [{"name": "ray", "volumeMounts": [{"mountPath": "/b", "name": "x"}]}]},
            {
                "containers": [
                    {
                        "name": "ray",
                        "volumeMounts": [
                            {"mountPath": "/a", "name": "x"},
                            {"mountPath": "/b", "name": "x"},
                        ],
                    }
                ]
            },
        ),
    ],
)
def test_overlay(base: Any, patch: Any, expected: Any) -> None:
    assert apply_overlay(base, patch) == expected
